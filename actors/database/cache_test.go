package database_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

type counterRow struct {
	bun.BaseModel `bun:"table:counters"`

	ID    string `bun:"id,pk"`
	Value int64  `bun:"value"`
}

// counterTable creates an empty table of counterRows.
func counterTable(t *testing.T, db *database.DB) {
	t.Helper()
	mustTx(t, db, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE counters (id VARCHAR(8) PRIMARY KEY, value BIGINT NOT NULL)`)
		return err
	})
}

// addCounter returns a transaction function that inserts a counter.
func addCounter(id string) func(context.Context, bun.Tx) error {
	return func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(&counterRow{ID: id}).Exec(ctx)
		return err
	}
}

// While rows are written, a read never returns less than what was committed before it began. On SQLite the cache saves reads.
func TestRowCacheIsNeverStale(t *testing.T) {
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			ctx, db := t.Context(), kind.Open(t, "cache")
			counterTable(t, db)
			mustTx(t, db, addCounter("a"))
			cache := database.NewRowCache[int64](db, 10)
			var reads, committed atomic.Int64
			get := func() int64 {
				v, err := cache.Get(ctx, "a", func(ctx context.Context) (int64, error) {
					reads.Add(1)
					row := counterRow{ID: "a"}
					err := db.NewSelect().Model(&row).WherePK().Scan(ctx)
					return row.Value, err
				})
				if err != nil {
					t.Error(err)
				}
				return v
			}
			var stop atomic.Bool
			var readers sync.WaitGroup
			for range 4 {
				readers.Go(func() {
					for !stop.Load() {
						if least := committed.Load(); get() < least {
							t.Errorf("a read returned less than the committed %d", least)
							return
						}
					}
				})
			}
			for i := int64(1); i <= 300; i++ {
				mustTx(t, db, func(ctx context.Context, tx bun.Tx) error {
					_, err := tx.NewUpdate().Model(&counterRow{ID: "a", Value: i}).WherePK().Exec(ctx)
					return err
				})
				committed.Store(i)
			}
			stop.Store(true)
			readers.Wait()
			get()
			before := reads.Load()
			for range 100 {
				get()
			}
			if saved := reads.Load() == before; saved != (db.Dialect() == database.DialectSQLite) {
				t.Errorf("100 reads without a commit read the database %d times", reads.Load()-before)
			}
		})
	}
}

// A commit of RunUncached is visible and does not invalidate cached rows. Inside another transaction RunUncached joins it, whose
// commit invalidates them.
func TestRunUncachedKeepsCaches(t *testing.T) {
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			ctx, db := t.Context(), kind.Open(t, "uncached")
			counterTable(t, db)
			cache, reads := database.NewRowCache[int64](db, 10), 0
			get := func() int64 {
				n, err := cache.Get(ctx, "n", func(ctx context.Context) (int64, error) {
					reads++
					return db.NewSelect().Model((*counterRow)(nil)).Count(ctx)
				})
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			get()
			if err := db.RunUncached(ctx, addCounter("a")); err != nil {
				t.Fatal(err)
			}
			n, err := db.NewSelect().Model((*counterRow)(nil)).Count(ctx)
			if err != nil || n != 1 {
				t.Errorf("%d rows, %v, want 1", n, err)
			}
			get()
			if kept := reads == 1; kept != (db.Dialect() == database.DialectSQLite) {
				t.Errorf("%d reads after RunUncached", reads)
			}
			mustTx(t, db, func(ctx context.Context, _ bun.Tx) error { return db.RunUncached(ctx, addCounter("b")) })
			if got := get(); got != 2 {
				t.Errorf("the cache returns %d rows after a transaction, want 2", got)
			}
		})
	}
}

// The cache is not used inside a transaction, keeps no errors, and is emptied when it is full.
func TestRowCacheLimits(t *testing.T) {
	t.Parallel()
	db := actortest.OpenDatabase(t, database.Config{Actor: "cache", DataDir: t.TempDir()})
	cache := database.NewRowCache[string](db, 2)
	reads := map[string]int{}
	get := func(ctx context.Context, key string) {
		t.Helper()
		got, err := cache.Get(ctx, key, func(context.Context) (string, error) {
			reads[key]++
			return "value of " + key, nil
		})
		if err != nil || got != "value of "+key {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
	failure := errors.New("failure")
	_, err := cache.Get(t.Context(), "a", func(context.Context) (string, error) { return "", failure })
	if !errors.Is(err, failure) {
		t.Errorf("%v, want the error of the read", err)
	}
	for range 3 {
		get(t.Context(), "a")
	}
	get(t.Context(), "b")
	if reads["a"] != 1 || reads["b"] != 1 {
		t.Errorf("the reads are %v, want one of each key", reads)
	}
	mustTx(t, db, func(ctx context.Context, _ bun.Tx) error {
		get(ctx, "a")
		return nil
	})
	if reads["a"] != 2 {
		t.Error("the cache was used inside a transaction")
	}
	clear(reads)
	for _, key := range []string{"a", "b", "c", "a"} { // c does not fit beside a and b
		get(t.Context(), key)
	}
	if reads["a"] != 2 || reads["c"] != 1 {
		t.Errorf("the reads are %v: a full cache was not emptied", reads)
	}
}

func mustTx(t *testing.T, db *database.DB, fn func(context.Context, bun.Tx) error) {
	t.Helper()
	if err := db.RunInTx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}
