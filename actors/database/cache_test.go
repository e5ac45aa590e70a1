package database_test

import (
	"context"
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

// TestRowCacheIsNeverBehind: readers never see less than what was acknowledged before they began, whatever
// is committed meanwhile; and on SQLite the cache saves reads.
func TestRowCacheIsNeverBehind(t *testing.T) {
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			ctx, db := t.Context(), kind.Open(t, "cache")
			mustTx(t, db, func(ctx context.Context, tx bun.Tx) error {
				if _, err := tx.ExecContext(ctx, `CREATE TABLE counters (id VARCHAR(8) PRIMARY KEY, value BIGINT NOT NULL)`); err != nil {
					return err
				}
				_, err := tx.NewInsert().Model(&counterRow{ID: "a"}).Exec(ctx)
				return err
			})
			cache := database.NewRowCache[int64](db, 10)
			var reads, acknowledged atomic.Int64
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
			var over atomic.Bool
			var readers sync.WaitGroup
			for range 4 {
				readers.Go(func() {
					for !over.Load() {
						if floor := acknowledged.Load(); get() < floor {
							t.Errorf("a read was behind %d", floor)
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
				acknowledged.Store(i)
			}
			over.Store(true)
			readers.Wait()
			get()
			before := reads.Load()
			for range 100 {
				get()
			}
			if saved := reads.Load() == before; saved != (db.Dialect() == database.DialectSQLite) {
				t.Errorf("100 quiet reads went to the database %d times", reads.Load()-before)
			}
		})
	}
}

// TestRowCacheOutlivesWritesAside: what RunUncached commits is there, and cached rows stay; within another transaction it is
// that one's, and counts.
func TestRowCacheOutlivesWritesAside(t *testing.T) {
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			ctx, db := t.Context(), kind.Open(t, "aside")
			mustTx(t, db, func(ctx context.Context, tx bun.Tx) error {
				_, err := tx.ExecContext(ctx, `CREATE TABLE counters (id VARCHAR(8) PRIMARY KEY, value BIGINT NOT NULL)`)
				return err
			})
			add := func(id string) func(context.Context, bun.Tx) error {
				return func(ctx context.Context, tx bun.Tx) error {
					_, err := tx.NewInsert().Model(&counterRow{ID: id}).Exec(ctx)
					return err
				}
			}
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
			if err := db.RunUncached(ctx, add("a")); err != nil {
				t.Fatal(err)
			}
			n, err := db.NewSelect().Model((*counterRow)(nil)).Count(ctx)
			if err != nil || n != 1 {
				t.Errorf("%d rows are there, %v", n, err)
			}
			get()
			if kept := reads == 1; kept != (db.Dialect() == database.DialectSQLite) {
				t.Errorf("%d reads after a write aside", reads)
			}
			mustTx(t, db, func(ctx context.Context, _ bun.Tx) error { return db.RunUncached(ctx, add("b")) })
			if got := get(); got != 2 {
				t.Errorf("%d rows are seen after a transaction", got)
			}
		})
	}
}

func mustTx(t *testing.T, db *database.DB, fn func(context.Context, bun.Tx) error) {
	t.Helper()
	if err := db.RunInTx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}
