package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
)

// A message is committed with the row that it reports, or not at all. Outbox.Run publishes it to JetStream.
func ExampleOutbox_Add() {
	actortest.Example(func(t testing.TB) {
		db := actortest.OpenDatabase(t, database.Config{Actor: "auth", DataDir: t.TempDir()}, actortest.Things)
		o := outbox.New(outbox.Config{DB: db, Log: zap.NewNop()})
		add := func(thing string, failure error) error {
			return db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error {
				if err := actortest.AddThing(ctx, tx, thing); err != nil {
					return err
				}
				err := o.Add(ctx, tx, outbox.Message{Subject: "weft.event.v1.auth.thing_added", Key: thing, Data: []byte(`{}`)})
				return errors.Join(err, failure)
			})
		}
		fmt.Println(add("1", nil))
		fmt.Println(add("2", errors.New("failed")))
		pending, _, err := o.Pending(t.Context())
		fmt.Println(pending, err)
	})
	// Output:
	// <nil>
	// failed
	// 1 <nil>
}
