package engine

import (
	"context"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// Deliver delivers a CloudEvent to every execution of a user that listens for it and returns how many consumed it. Numbers in the
// event are as language.Decode returns them; the event must not be changed afterwards.
func (e *Engine) Deliver(ctx context.Context, userID string, event map[string]any) (delivered int, err error) {
	for number := range subjects.WorkflowPartitions {
		reply, err := send(ctx, e, number, deliverCommand{UserID: userID, Event: machine.ValueOf(event)})
		if err != nil {
			return delivered, err
		}
		delivered += reply.Delivered
	}
	return delivered, nil
}

// deliver delivers an event to the user's executions of the partition that listen, loaded and evicted ones.
func (p *partition) deliver(ctx context.Context, userID string, event map[string]any) (delivered int, err error) {
	candidates, unlogged, err := p.listeners(ctx, userID)
	if err != nil {
		return 0, err
	}
	var pending []chan error
	for id := range candidates {
		err := p.withExecution(ctx, id, func(h *execution) {
			logged := make(chan error, 1)
			if h.machine != nil && !h.finished {
				p.fireOverdue(h) // the event comes too late for a deadline that has passed
			}
			switch {
			case h.finished:
			case p.decide(h, logged, machine.EventArrived(event, p.e.Now())):
				pending = append(pending, logged)
			case h.unacked > 0:
				unlogged = true
			}
		})
		if err != nil && !IsNotFound(err) {
			return delivered, err
		}
	}
	for _, logged := range pending {
		if err := awaitLogged(ctx, logged); err != nil {
			return delivered, err
		}
		delivered++
	}
	if unlogged {
		return delivered, p.writer.barrier(ctx)
	}
	return delivered, nil
}

// listeners returns the user's executions of the partition that listen for events. unlogged: one of the user's executions may have
// consumed an event by a transition that the log does not have yet.
func (p *partition) listeners(ctx context.Context, userID string) (candidates map[string]bool, unlogged bool, err error) {
	p.mu.Lock()
	p.listenerReads++
	p.mu.Unlock()
	ids, err := p.e.store.listening(ctx, p.number, userID)
	p.mu.Lock()
	defer p.mu.Unlock()
	candidates = map[string]bool{}
	for _, id := range ids {
		candidates[id] = true
	}
	// What was loaded when SQL was read may be evicted by now.
	for id, user := range p.evictedDuringReads {
		if user == userID {
			candidates[id] = true
		}
	}
	for id, h := range p.executions {
		if h.row.UserID != userID || h.machine == nil || h.finished {
			continue
		}
		unlogged = unlogged || h.unacked > 0
		if len(h.machine.Listeners()) > 0 {
			candidates[id] = true
		}
	}
	if p.listenerReads--; p.listenerReads == 0 {
		clear(p.evictedDuringReads)
	}
	return candidates, unlogged, database.Classify(err)
}
