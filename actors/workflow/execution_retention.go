package workflow

import (
	"context"
	"time"

	"github.com/weftmesh/weft/actors/database"
)

const (
	// retentionEvery is the interval between two looks for executions whose retention has passed.
	retentionEvery = time.Minute
	// retentionBatch and retentionEvents bound the executions that one transaction deletes, and the events of their histories: on SQLite other
	// writers wait for it.
	retentionBatch, retentionEvents = 200, 20_000
)

// deleteOldExecutions deletes the executions that ended longer ago than the retention, until ctx ends.
func (a *Actor) deleteOldExecutions(ctx context.Context) error {
	if a.config.Retention == 0 {
		<-ctx.Done()
		return nil
	}
	return a.inBatches(ctx, retentionEvery, "deleting old executions", a.deleteOldBatch)
}

// deleteOldBatch deletes a batch of executions. It reports whether there may be more.
func (a *Actor) deleteOldBatch(ctx context.Context) (more bool, err error) {
	old, err := oldExecutions(ctx, a.DB.DB, a.Now().Add(-a.config.Retention), retentionBatch)
	if err != nil || len(old) == 0 {
		return false, err
	}
	var ids []string
	events := 0
	for _, e := range old {
		if ids, events = append(ids, e.ID), events+e.Events; events >= retentionEvents {
			break
		}
	}
	more = len(old) == retentionBatch || len(ids) < len(old)
	return more, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return deleteExecutions(ctx, tx, ids) })
}
