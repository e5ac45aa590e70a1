package database_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

// TestInsertion: any number of rows is inserted, by one Insertion on both databases, and conflicts are resolved by its clause.
func TestInsertion(t *testing.T) {
	things := &database.Insertion[string]{
		Into: "things", Columns: []string{"id"}, Values: func(id string) []any { return []any{id} }, Conflict: "ON CONFLICT (id) DO NOTHING",
	}
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		for _, n := range []int{0, 1, 2, 3, 64, 65, 200, 200, 7} {
			var ids []string
			for i := range n {
				ids = append(ids, fmt.Sprint(i))
			}
			before := actortest.Count(t, db, "things")
			err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error { return things.Exec(ctx, tx, ids) })
			if got := actortest.Count(t, db, "things"); err != nil || got != max(before, n) {
				t.Errorf("%d rows after %d more: %v", got, n, err)
			}
		}
	})
}
