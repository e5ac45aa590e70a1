package engine

import (
	"context"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// deliver hands an event to a user's executions that listen, in memory and parked, and tells how many took it.
func (p *partition) deliver(ctx context.Context, userID string, event map[string]any) (taken int, err error) {
	ids, err := listeningExecutions(ctx, p.e.DB.DB, p.number, userID)
	if err != nil {
		return 0, database.Classify(err)
	}
	candidates := map[string]bool{}
	for _, id := range ids {
		candidates[id] = true
	}
	p.mu.Lock()
	for id, h := range p.executions {
		if h.row.UserID == userID && h.machine != nil && !h.finished && len(h.machine.Listeners()) > 0 {
			candidates[id] = true
		}
	}
	p.mu.Unlock()
	var waits []chan error
	for id := range candidates {
		err := p.withExecution(ctx, id, func(h *execution) {
			done := make(chan error, 1)
			switch {
			case h.finished:
			case p.decide(h, done, machine.EventArrived(event, p.e.Now())):
				waits = append(waits, done)
			case h.unacked == 0 && !h.evictable:
				p.advance(h) // it was brought into memory for nothing
			}
		})
		if err != nil && !IsNotFound(err) {
			return taken, err
		}
	}
	for _, done := range waits {
		if err := awaitLogged(ctx, done); err != nil {
			return taken, err
		}
		taken++
	}
	return taken, nil
}

// deliver hands a CloudEvent to every execution of a user that listens for it, wherever it is. Its numbers are as
// language.Decode gives them; it is not changed any more.
func (e *Engine) Deliver(ctx context.Context, userID string, event map[string]any) (taken int, err error) {
	for number := range subjects.WorkflowPartitions {
		reply, err := send(ctx, e, number, deliverCommand{UserID: userID, Event: machine.Of(event)})
		if err != nil {
			return taken, err
		}
		taken += reply.Delivered
	}
	return taken, nil
}
