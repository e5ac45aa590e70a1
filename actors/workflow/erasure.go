package workflow

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// forget ends a user's executions and deletes everything that the actor holds of them: rows, histories, what the logs
// still have, and what was told to who watched.
func (a *Actor) forget(ctx context.Context, who subjects.AccountDeletion) (items int64, err error) {
	for lot := range subjects.WorkflowPartitions {
		if _, err := a.ask(ctx, lot, command{Op: opForget, UserID: who.UserID}); err != nil {
			return 0, err
		}
	}
	if err := a.flushAll(ctx); err != nil {
		return 0, err
	}
	watched, err := watchedExecutions(ctx, a.DB.DB, who.UserID)
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
	for _, id := range watched {
		if err := a.told.Purge(ctx, jetstream.WithPurgeSubject(subjects.WorkflowFeedSubject(id))); err != nil {
			return 0, fmt.Errorf("purging a feed: %w", err)
		}
	}
	for lot := range subjects.WorkflowPartitions {
		if _, err := a.ask(ctx, lot, command{Op: opCut}); err != nil {
			return 0, err
		}
	}
	return items, nil
}

// endAll ends a user's executions in a partition, with nothing compensated: nothing may be done for them any more.
func (p *partition) endAll(ctx context.Context, userID string) error {
	ids, err := openExecutions(ctx, p.a.DB.DB, p.lot, userID)
	if err != nil {
		return database.Classify(err)
	}
	p.mu.Lock()
	for id, h := range p.held {
		if h.row.UserID == userID && !h.finished {
			ids = append(ids, id)
		}
	}
	p.mu.Unlock()
	for _, id := range ids {
		_, err := p.control(ctx, id, machine.Terminate("the account was deleted", p.a.Now()))
		if err != nil && !isNotFound(err) {
			return err
		}
	}
	return nil
}

// cutNow drops everything from the partition's log that SQL has: all but a message without content.
func (p *partition) cutNow(ctx context.Context) error {
	if err := p.logged(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	before := p.acked
	p.mu.Unlock()
	// What precedes the message is in SQL after this, whatever follows it.
	if err := p.flush(ctx); err != nil {
		return err
	}
	return p.a.cutLog(ctx, p.lot, before)
}
