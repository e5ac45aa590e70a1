package database_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

// Writes go through RunInTx, reads through DB. A nested RunInTx is a savepoint; AfterCommit runs a function if the outer transaction
// is committed.
func ExampleDB_RunInTx() {
	actortest.Example(func(t testing.TB) {
		ctx := t.Context()
		db := actortest.OpenDatabase(t, database.Config{Actor: "auth", DataDir: t.TempDir()}, actortest.Things)
		err := db.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			db.AfterCommit(ctx, func() { fmt.Println("committed") })
			if err := actortest.AddThing(ctx, tx, "kept"); err != nil {
				return err
			}
			err := db.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
				return errors.Join(actortest.AddThing(ctx, tx, "undone"), errors.New("failed"))
			})
			fmt.Println("savepoint:", err)
			return nil
		})
		fmt.Println(err)
		err = db.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			return actortest.AddThing(ctx, tx, "kept")
		})
		fmt.Println("unique violation:", database.IsUnique(err))
		n, err := db.NewSelect().TableExpr("things").Count(ctx)
		fmt.Println(n, err)
	})
	// Output:
	// savepoint: failed
	// committed
	// <nil>
	// unique violation: true
	// 1 <nil>
}
