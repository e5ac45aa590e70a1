package workflow

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
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
// executions of them remain until their retention has passed.
func (a *Actor) removeDeletedWorkflows(ctx context.Context) error {
	return a.inBatches(ctx, removalEvery, "removing deleted workflows", a.removeDeletedBatch)
}

// inBatches calls remove at once and at each interval until ctx ends, each time until no more is left. Errors are logged.
func (a *Actor) inBatches(ctx context.Context, interval time.Duration, doing string, remove func(context.Context) (more bool, err error)) error {
	return wait.Repeat(ctx, interval, func(ctx context.Context) error {
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = remove(ctx); err != nil && ctx.Err() == nil {
				a.Log.Warn(doing, zap.Error(err))
				break
			}
		}
		return nil
	})
}

// removeDeletedBatch removes up to removalBatch deleted workflows. It reports whether there may be more.
func (a *Actor) removeDeletedBatch(ctx context.Context) (more bool, err error) {
	ids, err := removableWorkflows(ctx, a.DB.DB, a.Now().Add(-removalGrace), removalBatch)
	if err != nil || len(ids) == 0 {
		return false, err
	}
	return len(ids) == removalBatch, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return removeWorkflows(ctx, tx, ids) })
}
