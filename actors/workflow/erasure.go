package workflow

import (
	"context"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/subjects"
)

// forget ends a user's executions and deletes everything that the actor holds of them: rows, histories, what the logs
// still have, and what was told to who watched.
func (a *Actor) forget(ctx context.Context, who subjects.AccountDeletion) (items int64, err error) {
	if err := a.engine.TerminateUser(ctx, who.UserID); err != nil {
		return 0, err
	}
	if err := a.engine.FlushAll(ctx); err != nil {
		return 0, err
	}
	watched, err := engine.WatchedExecutions(ctx, a.DB.DB, who.UserID)
	if err != nil {
		return 0, database.Classify(err)
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		a.DB.AfterCommit(ctx, a.workflows.forgetAll)
		a.DB.AfterCommit(ctx, func() { a.secrets.forget(who.UserID) })
		items, err = wipeUser(ctx, tx, who.UserID)
		return err
	})
	if err != nil {
		return 0, err
	}
	// After the rows: what is told of an execution is read from them.
	if err := a.engine.PurgeFeeds(ctx, watched); err != nil {
		return 0, err
	}
	return items, a.engine.TruncateLogs(ctx)
}
