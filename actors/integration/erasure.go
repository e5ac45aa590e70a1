package integration

import (
	"context"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// forget deletes a user's objects, connections with their credentials and hooks, and the log of their calls.
func (a *Actor) forget(ctx context.Context, who subjects.AccountDeletion) (items int64, err error) {
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if _, err := endObjects(ctx, tx, who.UserID, "", a.Now().UnixMicro()); err != nil {
			return err
		}
		items, err = wipeUser(ctx, tx, who.UserID)
		return err
	})
	if err != nil {
		return 0, err
	}
	gone, err := a.objects.sweep(ctx, who.UserID)
	if err != nil {
		return 0, err
	}
	return items + gone, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return wipeUsage(ctx, tx, who.UserID) })
}
