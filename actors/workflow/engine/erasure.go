package engine

import (
	"context"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// endAll ends a user's executions in a partition, with nothing compensated: nothing may be done for them any more.
func (p *partition) terminateUser(ctx context.Context, userID string) error {
	ids, err := openExecutions(ctx, p.e.DB.DB, p.number, userID)
	if err != nil {
		return database.Classify(err)
	}
	p.mu.Lock()
	for id, h := range p.executions {
		if h.row.UserID == userID && !h.finished {
			ids = append(ids, id)
		}
	}
	p.mu.Unlock()
	for _, id := range ids {
		_, err := p.control(ctx, id, machine.Terminate("the account was deleted", p.e.Now()))
		if err != nil && !IsNotFound(err) {
			return err
		}
	}
	return nil
}

// cutNow drops everything from the partition's log that SQL has: all but a message without content.
func (p *partition) truncateNow(ctx context.Context) error {
	if err := p.barrier(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	before := p.logged
	p.mu.Unlock()
	// What precedes the message is in SQL after this, whatever follows it.
	if err := p.flush(ctx); err != nil {
		return err
	}
	return p.e.truncateLog(ctx, p.number, before)
}
