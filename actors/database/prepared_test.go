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

// A prepared read returns the present row: concurrently, inside a transaction, and after PostgreSQL has deallocated the statement or
// lost the connection.
func TestPreparedRow(t *testing.T) {
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			ctx, db := t.Context(), kind.Open(t, "prepared")
			counterTable(t, db)
			mustTx(t, db, addCounter("it's"))
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
					t.Errorf("for %v: %v, want no row", args, err)
				}
			}
			mustTx(t, db, func(ctx context.Context, tx bun.Tx) error {
				err := set(ctx, tx, 100)
				is(ctx, 100)
				return err
			})
			if db.Dialect() == database.DialectPostgres {
				for _, statement := range []string{"DEALLOCATE ALL", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = pg_backend_pid()"} {
					_, _ = db.ExecContext(ctx, statement) // the second one ends its own connection
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
			canceled, cancel := context.WithCancel(ctx)
			cancel()
			if _, err := row.Get(canceled, "it's", 0); !errors.Is(err, context.Canceled) {
				t.Errorf("with a canceled context: %v", err)
			}
			is(ctx, 100)
		})
	}
}
