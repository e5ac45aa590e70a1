package integration

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// forget deletes a user's connections with their credentials and hooks, and the log of their calls.
func (a *Actor) forget(ctx context.Context, who subjects.AccountDeletion) (items int64, err error) {
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error {
		items, err = wipeUser(ctx, tx, who.UserID)
		return err
	})
	return items, err
}
