package workflow

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
)

const (
	// retentionEvery is the interval between two looks for executions whose retention has passed.
	retentionEvery = time.Minute
	// retentionBatch bounds the executions that one transaction deletes: on SQLite other writers wait for it.
	retentionBatch = 200
)

// deleteOldExecutions deletes the executions that ended longer ago than the retention, until ctx ends.
func (a *Actor) deleteOldExecutions(ctx context.Context) error {
	if a.config.Retention == 0 {
		<-ctx.Done()
		return nil
	}
	_ = wait.Every(ctx, retentionEvery, func() {
		for ctx.Err() == nil {
			n, err := a.deleteOldBatch(ctx)
			if err != nil && ctx.Err() == nil {
				a.Log.Warn("deleting old executions", zap.Error(err))
			}
			if err != nil || n < retentionBatch {
				return
			}
		}
	})
	return nil
}

// deleteOldBatch deletes up to retentionBatch executions and returns how many.
func (a *Actor) deleteOldBatch(ctx context.Context) (deleted int, err error) {
	ids, err := oldExecutions(ctx, a.DB.DB, a.Now().Add(-a.config.Retention), retentionBatch)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	return len(ids), a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return deleteExecutions(ctx, tx, ids) })
}
