package database_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

// The values of a transaction are written together at its end, without those of savepoints that were rolled back; in a Held also what is added
// later, and nothing of a transaction that fails.
func TestBatch(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		var writes [][]string
		no := errors.New("no")
		batch := database.NewBatch(db, func(ctx context.Context, tx bun.Tx, values []string) error {
			writes = append(writes, values)
			for _, value := range values {
				if value == "refused" {
					return no
				}
				if err := actortest.AddThing(ctx, tx, value); err != nil {
					return err
				}
			}
			return nil
		})
		add := func(err error, values ...string) func(context.Context, bun.Tx) error {
			return func(ctx context.Context, _ bun.Tx) error {
				batch.Add(ctx, values...)
				return err
			}
		}
		err := db.RunInTx(t.Context(), func(ctx context.Context, _ bun.Tx) error {
			batch.Add(ctx, "a")
			if err := db.RunInTx(ctx, add(no, "undone")); !errors.Is(err, no) {
				t.Error(err)
			}
			if err := db.RunInTx(ctx, add(nil, "b", "c")); err != nil {
				t.Error(err)
			}
			return nil
		})
		if err != nil || len(writes) != 1 || !slices.Equal(writes[0], []string{"a", "b", "c"}) {
			t.Errorf("written %v, %v", writes, err)
		}
		if err := db.RunInTx(t.Context(), add(nil, "d", "refused")); !errors.Is(err, no) {
			t.Errorf("a write that fails: %v", err)
		}
		ctx, held := db.Hold(t.Context())
		defer held.Close()
		for _, value := range []string{"e", "f"} {
			if err := db.RunInTx(ctx, add(nil, value)); err != nil {
				t.Error(err)
			}
		}
		if err := held.Commit(t.Context(), func(context.Context, bun.Tx) error { return nil }); err != nil {
			t.Error(err)
		}
		if n := actortest.Count(t, db, "things"); n != 5 {
			t.Errorf("%d values were committed, want 5", n)
		}
	})
}
