package database_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/uptrace/bun"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

func TestRunInTxCommitsOrNot(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db, ctx, no := kind.Open(t, "auth", actortest.Things), t.Context(), errors.New("no")
		committed := 0
		hook := func() { committed++ }
		err := db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
			db.AfterCommit(ctx, hook)
			if err := actortest.AddThing(ctx, tx, "kept"); err != nil {
				return err
			}
			err := db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
				db.AfterCommit(ctx, func() { t.Error("a hook of a rolled back savepoint ran") })
				return errors.Join(actortest.AddThing(ctx, tx, "undone"), no)
			})
			if !errors.Is(err, no) {
				t.Errorf("savepoint returned %v", err)
			}
			if n, err := db.NewSelect().TableExpr("things").Count(ctx); err != nil || n != 1 {
				t.Errorf("inside the transaction, DB sees %d things (%v), want 1", n, err)
			}
			if n := actortest.Count(t, db, "things"); n != 0 {
				t.Errorf("outside the transaction, DB sees %d things before the commit", n)
			}
			if committed != 0 {
				t.Error("a hook ran before the commit")
			}
			return nil
		})
		if err != nil || committed != 1 {
			t.Fatalf("RunInTx: %v, %d hooks", err, committed)
		}
		err = db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
			db.AfterCommit(ctx, hook)
			return errors.Join(actortest.AddThing(ctx, tx, "rolled back"), no)
		})
		if !errors.Is(err, no) || committed != 1 || actortest.Count(t, db, "things") != 1 {
			t.Fatalf("after a rollback: %v, %d hooks, %d things", err, committed, actortest.Count(t, db, "things"))
		}
		func() {
			defer func() { _ = recover() }()
			_ = db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
				_ = actortest.AddThing(ctx, tx, "panicked")
				panic("in a transaction")
			})
		}()
		if n := actortest.Count(t, db, "things"); n != 1 {
			t.Fatalf("%d things after a panic, want 1", n)
		}
		err = db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error { return actortest.AddThing(ctx, tx, "kept") })
		if !database.IsUnique(err) || errors.Is(err, database.ErrUnavailable) {
			t.Errorf("second insert: %v, want a unique violation", err)
		}
	})
}

func TestDBOutsideATransactionOnlyReads(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		if err := actortest.AddThing(t.Context(), db.DB, "a"); err == nil || errors.Is(err, database.ErrUnavailable) {
			t.Errorf("writing through DB: %v, want a permanent error", err)
		}
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := actortest.AddThing(t.Context(), tx, "a"); err == nil {
			t.Error("writing in a read-only transaction succeeded")
		}
		_ = tx.Rollback()
		if n := actortest.Count(t, db, "things"); n != 0 {
			t.Errorf("%d things", n)
		}
	})
}

// If fn ignores a statement's error, RunInTx must not report a commit that PostgreSQL has turned into a rollback.
func TestCommitOfAFailedTransactionFails(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
			if err := actortest.AddThing(ctx, tx, "a"); err != nil {
				return err
			}
			_ = actortest.AddThing(ctx, tx, "a")
			return nil
		})
		if n := actortest.Count(t, db, "things"); (err == nil) != (n == 1) {
			t.Errorf("RunInTx returns %v and there are %d things", err, n)
		}
		if err := db.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestManyWritersLoseNothing(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		if err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error { return actortest.AddThing(ctx, tx, "sum") }); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		var reads atomic.Int64
		for w := range 64 {
			group.Go(func() {
				for n := range 10 {
					err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
						var sum int
						q := tx.NewSelect().TableExpr("things").Column("n").Where("id = ?", "sum")
						if db.Dialect() == database.DialectPostgres {
							q = q.For("UPDATE")
						}
						if err := q.Scan(ctx, &sum); err != nil {
							return err
						}
						if _, err := tx.NewRaw("UPDATE things SET n = ? WHERE id = 'sum'", sum+1).Exec(ctx); err != nil {
							return err
						}
						return actortest.AddThing(ctx, tx, fmt.Sprint(w, "/", n))
					})
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := db.NewSelect().TableExpr("things").Count(t.Context()); err == nil {
						reads.Add(1)
					}
				}
			})
		}
		group.Wait()
		var sum int
		if err := db.NewSelect().TableExpr("things").Column("n").Where("id = 'sum'").Scan(t.Context(), &sum); err != nil {
			t.Fatal(err)
		}
		if sum != 640 || actortest.Count(t, db, "things") != 641 || reads.Load() != 640 {
			t.Errorf("sum %d, things %d, reads %d", sum, actortest.Count(t, db, "things"), reads.Load())
		}
	})
}

// Two transactions lock two rows in opposite orders. PostgreSQL aborts one, which is run again.
func TestDeadlockIsRetried(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
			return errors.Join(actortest.AddThing(ctx, tx, "a"), actortest.AddThing(ctx, tx, "b"))
		})
		if err != nil {
			t.Fatal(err)
		}
		var runs atomic.Int64
		both := make(chan struct{}, 2)
		cross := func(ids ...string) error {
			first := true
			return db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
				runs.Add(1)
				for _, id := range ids {
					if _, err := tx.NewRaw("UPDATE things SET n = n + 1 WHERE id = ?", id).Exec(ctx); err != nil {
						return err
					}
					if first && db.Dialect() == database.DialectPostgres { // wait until each has locked its first row
						first = false
						both <- struct{}{}
						for len(both) < 2 {
							if err := ctx.Err(); err != nil {
								return err
							}
						}
					}
				}
				return nil
			})
		}
		var group sync.WaitGroup
		for _, ids := range [][]string{{"a", "b"}, {"b", "a"}} {
			group.Go(func() {
				if err := cross(ids...); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		var sum int
		if err := db.NewSelect().TableExpr("things").ColumnExpr("sum(n)").Scan(t.Context(), &sum); err != nil || sum != 4 {
			t.Errorf("sum %d (%v), want 4", sum, err)
		}
		if db.Dialect() == database.DialectPostgres && runs.Load() < 3 {
			t.Errorf("%d runs: nothing was retried", runs.Load())
		}
	})
}

func TestSecondCopyOfASQLiteFileIsRefused(t *testing.T) {
	t.Parallel()
	cfg := database.Config{Actor: "auth", DataDir: t.TempDir()}
	first := actortest.OpenDatabase(t, cfg)
	cfg.URL = "sqlite:" + cfg.DataDir + "/./auth.db"
	if _, err := database.Open(t.Context(), cfg, zap.NewNop()); !errors.Is(err, database.ErrInUse) {
		t.Fatalf("second opening: %v, want ErrInUse", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := database.Open(t.Context(), cfg, zap.NewNop())
	if err != nil {
		t.Fatalf("opening after Close: %v", err)
	}
	_ = second.Close()
}

func TestInvalidURLsDoNotDiscloseThePassword(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.DebugLevel)
	for _, url := range []string{
		"postgres://u:hunter2@127.0.0.1:1/db?sslmode=disable", // no server
		"postgres://u:hunter2@127.0.0.1:5432/db?sslmode=prefer",
		"postgres://u:hunter2@127.0.0.1:5432/db?sslmod=disable",
		"postgres://u:hunter2@127.0.0.1:5432/no_such_database_here?sslmode=disable",
		"postgres://u:hunter2@127.0.0.1:5432/db?connect_timeout=soon",
		"postgres://u:hunter2@127.0.0.1:543 2/db",
		"postgres://u:hunter2%@h/db",
		"mysql://u:hunter2@h/db",
		"sqlite::memory:",
		"sqlite:",
		"file://hunter2/x.db",
		"sqlite:x.db?mode=hunter2",
	} {
		cfg := database.Config{Actor: "auth", URL: url, DataDir: t.TempDir(), ConnectRetry: -1}
		db, err := database.Open(t.Context(), cfg, zap.New(core))
		if err == nil {
			_ = db.Close()
			t.Errorf("%s was opened", url)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	for _, entry := range logs.All() {
		if strings.Contains(fmt.Sprint(entry), "hunter2") {
			t.Errorf("the log shows the password: %v", entry)
		}
	}
}

func TestFullDiskIsUnavailable(t *testing.T) {
	t.Parallel()
	db := actortest.OpenDatabase(t, database.Config{Actor: "auth", DataDir: t.TempDir()}, actortest.Things)
	err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.ExecContext(ctx, "PRAGMA max_page_count = 20"); err != nil { // simulates a full disk
			return err
		}
		return actortest.AddThing(ctx, tx, strings.Repeat("x", 1<<20))
	})
	if !errors.Is(err, database.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	err = db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error { return actortest.AddThing(ctx, tx, "small") })
	if err != nil {
		t.Errorf("a small write afterwards: %v", err)
	}
}

// Readers and the writer of a SQLite file keep temporary data in memory.
func TestTemporaryDataStaysInMemory(t *testing.T) {
	t.Parallel()
	const inMemory = 2
	db := actortest.OpenDatabase(t, database.Config{Actor: "auth", DataDir: t.TempDir()}, actortest.Things)
	var reader, writer int
	if err := db.QueryRowContext(t.Context(), "PRAGMA temp_store").Scan(&reader); err != nil {
		t.Fatal(err)
	}
	err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
		return tx.QueryRowContext(ctx, "PRAGMA temp_store").Scan(&writer)
	})
	if err != nil || reader != inMemory || writer != inMemory {
		t.Errorf("temp_store is %d for readers and %d for the writer, %v", reader, writer, err)
	}
}
