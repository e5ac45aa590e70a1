package database_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

func TestInTx(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		if db.HasTx(t.Context()) {
			t.Error("a context outside has a transaction")
		}
		err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
			if !db.InTx(ctx, tx) || !db.HasTx(ctx) {
				t.Error("RunInTx's own context and transaction are not recognised")
			}
			if db.InTx(t.Context(), tx) || db.InTx(ctx, bun.Tx{}) {
				t.Error("InTx accepts the outer context or another transaction")
			}
			return db.RunInTx(ctx, func(inner context.Context, savepoint bun.Tx) error {
				if !db.InTx(inner, savepoint) {
					t.Error("a savepoint is not recognised")
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestAfterCommit(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		ran := false
		if db.AfterCommit(t.Context(), func() { ran = true }); !ran {
			t.Error("outside a transaction the hook did not run at once")
		}
		var order []int
		mustTx(t, db, func(ctx context.Context, _ bun.Tx) error {
			for i := range 3 {
				db.AfterCommit(ctx, func() {
					order = append(order, i)
					if actortest.Count(t, db, "things") != 1 {
						t.Error("a hook does not see the commit")
					}
				})
			}
			return db.RunInTx(ctx, adding("a", nil)) // a savepoint
		})
		if fmt.Sprint(order) != "[0 1 2]" {
			t.Errorf("the hooks ran in the order %v", order)
		}
	})
}

// An error of a nested RunInTx undoes its changes alone, also if the nested call's context has ended: after its statements, or
// during one of them. Where the database has then given up the whole transaction, its commit fails and nothing of it is kept.
func TestSavepointOfAnEndedContext(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		for name, during := range map[string]bool{"between statements": false, "during a statement": true} {
			db := kind.Open(t, "auth", actortest.Things)
			slow := "INSERT INTO things (id) " +
				"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) SELECT 'slow' || max(i) FROM n"
			if db.Dialect() == database.DialectPostgres {
				slow = "INSERT INTO things (id) SELECT 'slow' FROM pg_sleep(0.5)"
			}
			err := db.RunInTx(t.Context(), func(ctx context.Context, _ bun.Tx) error {
				if err := db.RunInTx(ctx, adding("before", nil)); err != nil {
					return err
				}
				limit := time.Hour
				if during {
					limit = 50 * time.Millisecond
				}
				inner, cancel := context.WithTimeout(ctx, limit)
				defer cancel()
				nested := db.RunInTx(inner, func(ctx context.Context, tx bun.Tx) error {
					if err := actortest.AddThing(ctx, tx, "undone"); err != nil {
						return err
					}
					if !during {
						cancel()
						return errFailed
					}
					_, err := tx.ExecContext(ctx, slow)
					return err
				})
				if nested == nil {
					t.Errorf("%s: the nested transaction succeeded", name)
				}
				return db.RunInTx(ctx, adding("after", nil))
			})
			var kept []string
			if err := db.NewSelect().TableExpr("things").Column("id").Order("id").Scan(t.Context(), &kept); err != nil {
				t.Fatal(err)
			}
			switch {
			case !during && (err != nil || fmt.Sprint(kept) != "[after before]"):
				t.Errorf("%s: kept %v, %v", name, kept, err)
			case during && (err == nil && fmt.Sprint(kept) != "[after before]" || err != nil && len(kept) != 0):
				t.Errorf("%s: kept %v, %v", name, kept, err)
			}
		}
	})
}

func TestDetachedOutsideATransaction(t *testing.T) {
	t.Parallel()
	db := actortest.OpenDatabase(t, database.Config{Actor: "auth", DataDir: t.TempDir()})
	if ctx := t.Context(); db.Detached(ctx) != ctx {
		t.Error("a context without a transaction was changed")
	}
}

// On PostgreSQL a transaction on the detached context of another one is independent of it. On SQLite it would wait for it.
func TestDetachedInsideATransaction(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		err := db.RunInTx(t.Context(), func(ctx context.Context, _ bun.Tx) error {
			return errors.Join(db.RunInTx(db.Detached(ctx), adding("detached", nil)), errFailed)
		})
		if !errors.Is(err, errFailed) || actortest.Count(t, db, "things") != 1 {
			t.Errorf("%v, %d things, want the detached one", err, actortest.Count(t, db, "things"))
		}
	})
}

// sqliteError is an error with a SQLite result code, as the driver's.
type sqliteError int

func (e sqliteError) Error() string { return fmt.Sprintf("SQLite error %d", int(e)) }
func (e sqliteError) Code() int     { return int(e) }

const sqliteBusy sqliteError = 5

func TestRetries(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		for name, c := range map[string]struct {
			err   error // of the first attempts
			fails int
			want  int // attempts
			is    error
		}{
			"success":                  {nil, 0, 1, nil},
			"another error":            {errFailed, 9, 1, errFailed},
			"busy once":                {sqliteBusy, 1, 2, nil},
			"busy seven times":         {fmt.Errorf("wrapped: %w", sqliteBusy), 7, 8, nil},
			"always busy":              {sqliteBusy, 99, 8, database.ErrUnavailable},
			"unavailable, not retried": {sqliteError(13), 99, 1, database.ErrUnavailable},
		} {
			attempts := 0
			err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
				if attempts++; attempts <= c.fails {
					return errors.Join(actortest.AddThing(ctx, tx, name), c.err)
				}
				return actortest.AddThing(ctx, tx, name)
			})
			if attempts != c.want || !errors.Is(err, c.is) {
				t.Errorf("%s: %v after %d attempts, want %v after %d", name, err, attempts, c.is, c.want)
			}
		}
		if n := actortest.Count(t, db, "things"); n != 3 {
			t.Errorf("%d things, want 3: failed attempts were not rolled back", n)
		}
	})
}

func TestRetriesEndWithTheContext(t *testing.T) {
	t.Parallel()
	db := actortest.OpenDatabase(t, database.Config{Actor: "auth", DataDir: t.TempDir()})
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	attempts := 0
	err := db.RunInTx(ctx, func(context.Context, bun.Tx) error {
		if attempts++; attempts == 2 {
			cancel(stopped)
		}
		return sqliteBusy
	})
	if !errors.Is(err, stopped) || attempts != 2 {
		t.Errorf("%v after %d attempts, want the context's cause after 2", err, attempts)
	}
}

// A transaction of OpenTx ends with its lifetime, not with the context passed for its beginning.
func TestOpenTxLifetime(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		ctx, cancel := context.WithCancel(t.Context())
		o, err := db.OpenTx(ctx, t.Context(), adding("a", nil))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := actortest.AddThing(t.Context(), o.Tx(), "b"); err != nil {
			t.Errorf("after the end of the context: %v", err)
		}
		if err := o.Commit(); err != nil || actortest.Count(t, db, "things") != 2 {
			t.Errorf("commit: %v, %d things", err, actortest.Count(t, db, "things"))
		}

		lifetime, end := context.WithCancel(t.Context())
		if o, err = db.OpenTx(t.Context(), lifetime, adding("c", nil)); err != nil {
			t.Fatal(err)
		}
		end()
		if err := o.Commit(); err == nil || actortest.Count(t, db, "things") != 2 {
			t.Errorf("a commit after the lifetime: %v, %d things", err, actortest.Count(t, db, "things"))
		}
	})
}

func TestCleanupContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	cancel()
	ctx, stop := database.CleanupContext(parent, 20*time.Millisecond)
	defer stop()
	if ctx.Err() != nil || ctx.Value(key{}) != "value" {
		t.Errorf("%v, value %v", ctx.Err(), ctx.Value(key{}))
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); errors.Is(cause, context.Canceled) {
		t.Errorf("it ended with %v, want the timeout", cause)
	}
}

// TestWritersOfSQLiteTakeTurns: writers begin in the order in which they have come, within what the test can tell.
func TestWritersOfSQLiteTakeTurns(t *testing.T) {
	t.Parallel()
	db := actortest.OpenDatabase(t, database.Config{Actor: "turns", DataDir: t.TempDir()})
	var order []int
	var writers sync.WaitGroup
	mustTx(t, db, func(context.Context, bun.Tx) error {
		for i := range 50 {
			before := db.Waiting()
			writers.Go(func() {
				mustTx(t, db, func(context.Context, bun.Tx) error {
					order = append(order, i)
					return nil
				})
			})
			for db.Waiting() == before {
				runtime.Gosched()
			}
		}
		return nil
	})
	writers.Wait()
	for place, i := range order {
		if place-i > 3 || i-place > 3 { // a writer is counted a moment before it waits
			t.Fatalf("the order of the writers is %v", order)
		}
	}
}
