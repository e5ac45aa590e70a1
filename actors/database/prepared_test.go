package database_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

// TestPreparedRow reads what is there at that moment, by any number at once: also in a transaction, also once PostgreSQL has
// forgotten what it prepared.
func TestPreparedRow(t *testing.T) {
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			ctx, db := t.Context(), kind.Open(t, "prepared")
			mustTx(t, db, func(ctx context.Context, tx bun.Tx) error {
				if _, err := tx.ExecContext(ctx, `CREATE TABLE counters (id VARCHAR(8) PRIMARY KEY, value BIGINT NOT NULL)`); err != nil {
					return err
				}
				_, err := tx.NewInsert().Model(&counterRow{ID: "it's"}).Exec(ctx)
				return err
			})
			set := func(ctx context.Context, tx bun.Tx, value int64) error {
				_, err := tx.NewUpdate().Model(&counterRow{ID: "it's", Value: value}).WherePK().Exec(ctx)
				return err
			}
			row := database.NewPreparedRow[counterRow](db, func(q *bun.SelectQuery, args ...any) *bun.SelectQuery {
				return q.Where("id = ?", args[0]).Where("value >= ?", args[1])
			})
			is := func(ctx context.Context, want int64) {
				t.Helper()
				if got, err := row.Get(ctx, "it's", 0); err != nil || got.Value != want || got.ID != "it's" {
					t.Errorf("got %+v, %v, want %d", got, err, want)
				}
			}
			for i := range int64(100) {
				mustTx(t, db, func(ctx context.Context, tx bun.Tx) error { return set(ctx, tx, i) })
				is(ctx, i)
			}
			for _, args := range [][]any{{"its", 0}, {"it's", 100}} {
				if _, err := row.Get(ctx, args...); !errors.Is(err, sql.ErrNoRows) {
					t.Errorf("of %v: %v", args, err)
				}
			}
			mustTx(t, db, func(ctx context.Context, tx bun.Tx) error {
				err := set(ctx, tx, 100)
				is(ctx, 100)
				return err
			})
			if db.Dialect() == database.DialectPostgres {
				for _, forgets := range []string{"DEALLOCATE ALL", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = pg_backend_pid()"} {
					_, _ = db.ExecContext(ctx, forgets) // the second ends the connection that would answer
					is(ctx, 100)
					is(ctx, 100)
				}
				mustTx(t, db, func(ctx context.Context, tx bun.Tx) error {
					_, err := tx.ExecContext(ctx, "ALTER TABLE counters ALTER COLUMN value TYPE INTEGER")
					return err
				})
				is(ctx, 100)
				is(ctx, 100)
			}
			var readers sync.WaitGroup
			for range 16 {
				readers.Go(func() {
					for range 20 {
						is(ctx, 100)
					}
				})
			}
			readers.Wait()
			ended, cancel := context.WithCancel(ctx)
			cancel()
			if _, err := row.Get(ended, "it's", 0); !errors.Is(err, context.Canceled) {
				t.Errorf("after the caller's end: %v", err)
			}
			is(ctx, 100)
		})
	}
}
