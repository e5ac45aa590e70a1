package engine

import (
	"context"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// terminateUser ends a user's executions of the partition without compensation: nothing may be done for the user any more.
func (p controller) terminateUser(ctx context.Context, userID string) error {
	// The loaded ones are listed first: what is evicted after that, SQL has.
	var ids []string
	p.mu.Lock()
	for id, h := range p.executions {
		if h.row.UserID == userID && !h.finished {
			ids = append(ids, id)
		}
	}
	p.mu.Unlock()
	stored, err := p.e.store.open(ctx, p.number, userID)
	if err != nil {
		return database.Classify(err)
	}
	for _, id := range append(ids, stored...) {
		_, err := p.control(ctx, id, machine.Terminate("the account was deleted", p.e.Now()))
		if err != nil && !IsNotFound(err) {
			return err
		}
	}
	return nil
}

// truncateNow drops everything from the partition's log that SQL has, which is all but a message without content.
func (p *partition) truncateNow(ctx context.Context) error {
	if err := p.writer.barrier(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	before := p.logged
	p.mu.Unlock()
	// After the flush SQL has what precedes the barrier's message.
	if err := p.flush(ctx); err != nil {
		return err
	}
	return p.e.log.truncate(ctx, p.number, before)
}
