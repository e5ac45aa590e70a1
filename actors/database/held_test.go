package database_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

var errFailed = errors.New("failed")

// adding returns a transaction function that adds a thing and returns err.
func adding(id string, err error) func(context.Context, bun.Tx) error {
	return func(ctx context.Context, tx bun.Tx) error { return errors.Join(actortest.AddThing(ctx, tx, id), err) }
}

// visible returns the number of things that a read through db with ctx sees.
func visible(ctx context.Context, t *testing.T, db *database.DB) int {
	t.Helper()
	n, err := db.NewSelect().TableExpr("things").Count(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

func TestHeldBeginsWithTheFirstWrite(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		ctx, held := db.Hold(t.Context())
		defer held.Close()
		if db.HeldFrom(ctx) != held || db.HeldFrom(t.Context()) != nil {
			t.Error("HeldFrom does not return the Held of its context")
		}
		// No transaction is open yet: another writer is not blocked.
		if err := db.RunInTx(t.Context(), adding("other", nil)); err != nil || db.HasTx(ctx) {
			t.Errorf("another write before the first one: %v, transaction open: %t", err, db.HasTx(ctx))
		}
		if err := db.RunInTx(ctx, adding("failed", errFailed)); !errors.Is(err, errFailed) || db.HasTx(ctx) {
			t.Errorf("a failed first write: %v, transaction open: %t", err, db.HasTx(ctx))
		}
		if err := db.RunInTx(ctx, adding("first", nil)); err != nil || !db.HasTx(ctx) {
			t.Fatalf("the first write: %v, transaction open: %t", err, db.HasTx(ctx))
		}
		if inside, outside := visible(ctx, t, db), visible(t.Context(), t, db); inside != 2 || outside != 1 {
			t.Errorf("%d things are visible inside and %d outside, want 2 and 1", inside, outside)
		}
	})
}

// After the first call of RunInTx, an error undoes only the changes of its own call.
func TestHeldSavepoints(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		ctx, held := db.Hold(t.Context())
		defer held.Close()
		var hooks []string
		run := func(id string, err error) error {
			return db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
				db.AfterCommit(ctx, func() { hooks = append(hooks, id) })
				return adding(id, err)(ctx, tx)
			})
		}
		if err := errors.Join(run("1", nil), run("2", nil)); err != nil {
			t.Fatal(err)
		}
		if err := run("undone", errFailed); !errors.Is(err, errFailed) {
			t.Errorf("%v, want the error of the function", err)
		}
		if err := run("1", nil); !database.IsUnique(err) {
			t.Errorf("%v, want a unique violation", err)
		}
		if err := run("3", nil); err != nil {
			t.Errorf("after two errors: %v", err)
		}
		if len(hooks) != 0 {
			t.Errorf("hooks ran before the commit: %v", hooks)
		}
		if err := held.Commit(t.Context(), adding("last", nil)); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(hooks) != "[1 2 3]" || visible(t.Context(), t, db) != 4 {
			t.Errorf("hooks %v ran, %d things", hooks, visible(t.Context(), t, db))
		}
	})
}

func TestHeldCloseRollsBack(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		ctx, held := db.Hold(t.Context())
		err := db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
			db.AfterCommit(ctx, func() { t.Error("a hook of a transaction that was rolled back ran") })
			return actortest.AddThing(ctx, tx, "a")
		})
		if err != nil {
			t.Fatal(err)
		}
		held.Close()
		held.Close()
		if visible(t.Context(), t, db) != 0 || db.HasTx(ctx) {
			t.Error("the transaction was not rolled back")
		}
		// The connection is free again: on SQLite it is the only one to write on.
		if err := db.RunInTx(t.Context(), adding("b", nil)); err != nil {
			t.Error(err)
		}
	})
}

func TestHeldCommit(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		for name, c := range map[string]struct {
			first bool // a write precedes Commit
			last  error
			want  int
		}{
			"with a write":             {true, nil, 2},
			"without a write":          {false, nil, 1},
			"with a write, failing":    {true, errFailed, 0},
			"without a write, failing": {false, errFailed, 0},
		} {
			db := kind.Open(t, "auth", actortest.Things)
			ctx, held := db.Hold(t.Context())
			if c.first {
				if err := db.RunInTx(ctx, adding("first", nil)); err != nil {
					t.Fatal(err)
				}
			}
			if err := held.Commit(ctx, adding("last", c.last)); !errors.Is(err, c.last) {
				t.Errorf("%s: %v, want %v", name, err, c.last)
			}
			if n := visible(t.Context(), t, db); n != c.want || db.HasTx(ctx) {
				t.Errorf("%s: %d things, want %d; transaction open: %t", name, n, c.want, db.HasTx(ctx))
			}
			// Close does not undo what Commit has committed. The next write begins a new transaction.
			if err := db.RunInTx(ctx, adding("next", nil)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			held.Close()
			if n := visible(t.Context(), t, db); n != c.want {
				t.Errorf("%s: %d things after Close, want %d", name, n, c.want)
			}
		}
	})
}

// A detached transaction is committed at once and independently of the Held.
func TestDetachedInsideHeld(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		ctx, held := db.Hold(t.Context())
		detached := db.Detached(ctx)
		if db.HeldFrom(detached) != nil || db.HasTx(detached) {
			t.Error("a detached context still has the Held")
		}
		if err := errors.Join(db.RunInTx(detached, adding("detached", nil)), db.RunDetached(ctx, adding("detached 2", nil))); err != nil {
			t.Fatal(err)
		}
		if n := visible(t.Context(), t, db); n != 2 || db.HasTx(ctx) {
			t.Errorf("%d things are committed, want 2", n)
		}
		if err := db.RunInTx(ctx, adding("held", nil)); err != nil {
			t.Fatal(err)
		}
		if inside, outside := visible(ctx, t, db), visible(db.Detached(ctx), t, db); inside != 3 || outside != 2 {
			t.Errorf("%d things are visible inside and %d detached, want 3 and 2", inside, outside)
		}
		held.Close()
		if n := visible(t.Context(), t, db); n != 2 {
			t.Errorf("%d things after Close, want the detached 2", n)
		}
	})
}

// The caller's cancellation after the first write does not end the transaction.
func TestHeldSurvivesItsCallersCancellation(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		caller, cancel := context.WithCancel(t.Context())
		ctx, held := db.Hold(caller)
		defer held.Close()
		if err := db.RunInTx(ctx, adding("a", nil)); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := db.RunInTx(ctx, adding("b", nil)); !errors.Is(err, context.Canceled) {
			t.Errorf("a write with a canceled context: %v", err)
		}
		if err := held.Commit(t.Context(), adding("last", nil)); err != nil {
			t.Fatal(err)
		}
		if n := visible(t.Context(), t, db); n != 2 {
			t.Errorf("%d things, want the first and the last", n)
		}
	})
}

// The caller's cancellation during the first write rolls it back.
func TestHeldCanceledDuringItsFirstWrite(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		caller, cancel := context.WithCancel(t.Context())
		ctx, held := db.Hold(caller)
		defer held.Close()
		err := db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
			err := actortest.AddThing(ctx, tx, "a")
			cancel()
			return err
		})
		if !errors.Is(err, context.Canceled) || db.HasTx(ctx) {
			t.Errorf("%v, want a canceled context; transaction open: %t", err, db.HasTx(ctx))
		}
		if err := db.RunInTx(t.Context(), adding("b", nil)); err != nil || visible(t.Context(), t, db) != 1 {
			t.Errorf("another write: %v, %d things", err, visible(t.Context(), t, db))
		}
	})
}

// Waiting for a connection ends with the caller's context, not with beginTimeout.
func TestHeldWaitingForAConnection(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		cfg := kind.Config(t, "auth")
		cfg.MaxOpen, cfg.MaxIdle = 1, 1
		db := actortest.OpenDatabase(t, cfg, actortest.Things)
		caller, cancel := context.WithCancel(t.Context())
		ctx, held := db.Hold(caller)
		defer held.Close()
		result := make(chan error, 1)
		err := db.RunInTx(t.Context(), func(context.Context, bun.Tx) error { // has the only connection to write on
			go func() { result <- db.RunInTx(ctx, adding("a", nil)) }()
			actortest.Eventually(t, "the Held waits", func() bool { return db.Waiting() > 0 })
			cancel()
			select {
			case err := <-result:
				return err
			case <-time.After(10 * time.Second):
				return errors.New("it still waits")
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want a canceled context", err)
		}
	})
}

// Acquire excludes other goroutines; waiting for it ends with the context.
func TestHeldAcquire(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		ctx, held := db.Hold(t.Context())
		defer held.Close()
		if err := held.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		stopped := errors.New("stopped")
		canceled, cancel := context.WithCancelCause(ctx)
		cancel(stopped)
		for name, err := range map[string]error{
			"Acquire": held.Acquire(canceled),
			"RunInTx": db.RunInTx(canceled, adding("a", nil)),
			"Commit":  held.Commit(canceled, adding("a", nil)),
		} {
			if !errors.Is(err, stopped) {
				t.Errorf("%s: %v, want the context's cause", name, err)
			}
		}
		result := make(chan error, 1)
		go func() { result <- db.RunInTx(ctx, adding("b", nil)) }()
		held.Release()
		if err := <-result; err != nil {
			t.Errorf("after Release: %v", err)
		}
	})
}

// Concurrent calls in one Held run one at a time, so that none rolls back another's savepoint.
func TestHeldInSeveralGoroutines(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		ctx, held := db.Hold(t.Context())
		defer held.Close()
		if err := db.RunInTx(ctx, adding("sum", nil)); err != nil {
			t.Fatal(err)
		}
		const goroutines, each = 4, 20
		var group sync.WaitGroup
		for g := range goroutines {
			group.Go(func() {
				for i := range each {
					fails := error(nil)
					if i%2 == 1 {
						fails = errFailed
					}
					err := db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
						var sum int
						if err := tx.NewRaw("SELECT n FROM things WHERE id = 'sum'").Scan(ctx, &sum); err != nil {
							return err
						}
						if _, err := tx.NewRaw("UPDATE things SET n = ? WHERE id = 'sum'", sum+1).Exec(ctx); err != nil {
							return err
						}
						return adding(fmt.Sprint(g, "/", i), fails)(ctx, tx)
					})
					if !errors.Is(err, fails) {
						t.Errorf("%v, want %v", err, fails)
					}
				}
			})
		}
		group.Wait()
		if err := held.Commit(t.Context(), adding("last", nil)); err != nil {
			t.Fatal(err)
		}
		var sum int
		if err := db.NewSelect().TableExpr("things").Column("n").Where("id = 'sum'").Scan(t.Context(), &sum); err != nil {
			t.Fatal(err)
		}
		if want := goroutines * each / 2; sum != want || visible(t.Context(), t, db) != want+2 {
			t.Errorf("the sum is %d with %d things, want %d and %d", sum, visible(t.Context(), t, db), want, want+2)
		}
	})
}

// A Held belongs to one database: transactions on another one are independent of it.
func TestHeldOfAnotherDatabase(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db, other := kind.Open(t, "auth", actortest.Things), kind.Open(t, "consent", actortest.Things)
		ctx, held := db.Hold(t.Context())
		if other.HeldFrom(ctx) != nil {
			t.Error("HeldFrom returns the Held of another database")
		}
		if err := errors.Join(db.RunInTx(ctx, adding("a", nil)), other.RunInTx(ctx, adding("a", nil))); err != nil {
			t.Fatal(err)
		}
		held.Close()
		if here, there := visible(t.Context(), t, db), visible(t.Context(), t, other); here != 0 || there != 1 {
			t.Errorf("%d and %d things, want 0 and 1", here, there)
		}
	})
}
