package workflow

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
)

const (
	// removalEvery is the interval of removals of deleted workflows, removalBatch bounds the workflows of one transaction.
	removalEvery = 5 * time.Minute
	removalBatch = 50
	// removalGrace is how long after its deletion a workflow is kept in any case: an execution of it that was being started is in
	// SQL by then.
	removalGrace = time.Hour
)

// removeDeletedWorkflows removes deleted workflows and their versions once no execution of them is under way, until ctx ends. Ended
// executions of them remain.
func (a *Actor) removeDeletedWorkflows(ctx context.Context) error {
	ticker := time.NewTicker(removalEvery)
	defer ticker.Stop()
	for {
		for {
			n, err := a.removeDeletedBatch(ctx)
			if err != nil && ctx.Err() == nil {
				a.Log.Warn("removing deleted workflows", zap.Error(err))
			}
			if err != nil || n < removalBatch {
				break
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// removeDeletedBatch removes up to removalBatch deleted workflows and returns how many.
func (a *Actor) removeDeletedBatch(ctx context.Context) (removed int, err error) {
	ids, err := removableWorkflows(ctx, a.DB.DB, a.Now().Add(-removalGrace), removalBatch)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	return len(ids), a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return removeWorkflows(ctx, tx, ids) })
}
