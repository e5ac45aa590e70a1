package integration

import (
	"context"
	"fmt"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/subjects"
)

// eraseUser deletes a deleted account's objects, connections with their credentials and hooks, and call log. It returns
// the number of records deleted, and may be called repeatedly.
func (a *Actor) eraseUser(ctx context.Context, who subjects.AccountDeletion) (items int64, err error) {
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if _, err := expireObjects(ctx, tx, who.UserID, "", a.Now().UnixMicro()); err != nil {
			return err
		}
		items, err = deleteUserRows(ctx, tx, who.UserID)
		return err
	})
	if err != nil {
		return 0, err
	}
	deleted, err := a.objects.deleteExpired(ctx, who.UserID)
	if err != nil {
		return 0, err
	}
	return items + deleted, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return deleteUsage(ctx, tx, who.UserID) })
}

// publishChange adds an event about a connection to the outbox, in the transaction that changes the connection.
func publishChange(ctx context.Context, d actors.Deps, tx database.Tx, event subjects.Event[subjects.ConnectionChange], c connectionRow) error {
	id := d.NewID()
	data, err := subjects.Encode(event.New(id, c.UserID, d.Now(), subjects.ConnectionChange{
		IntegrationID: c.ID, Provider: c.Provider, Label: c.Label, Reason: c.Reason,
	}))
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	return d.Outbox.Add(ctx, tx, outbox.Message{ID: "event." + id, Subject: event.Subject, Key: c.ID, Data: data})
}
