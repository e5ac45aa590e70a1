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

// delivery is the delivery of an event to one execution.
type delivery struct {
	logged chan error
	// done is closed when it is known whether the execution consumes the event (decided), and whether it has consumed it by a transition
	// that the log does not have yet (unlogged).
	done              chan struct{}
	decided, unlogged bool
}

// deliver delivers an event to the user's executions of the partition that listen, loaded and evicted ones.
func (p controller) deliver(ctx context.Context, userID string, event map[string]any) (delivered int, err error) {
	candidates, unlogged, err := p.listeners(ctx, userID)
	if err != nil {
		return 0, err
	}
	var pending []*delivery
	for id := range candidates {
		d := &delivery{logged: make(chan error, 1), done: make(chan struct{})}
		err := p.whenIdle(ctx, id, func(h *execution) (again bool) {
			if !h.running() {
				close(d.done)
				return false
			}
			if p.fireOverdue(h) && h.deciding { // the event comes too late for a deadline that has passed
				return true
			}
			p.decide(h, followUp{logged: d.logged, then: func(decided bool) {
				d.decided, d.unlogged = decided, h.unacked > 0
				close(d.done)
			}}, machine.EventArrived(event, p.e.Now()))
			return false
		})
		if IsNotFound(err) {
			continue
		}
		if err != nil {
			return delivered, err
		}
		pending = append(pending, d)
	}
	for _, d := range pending {
		select {
		case <-d.done:
		case <-ctx.Done():
			return delivered, errNotLogged(ctx)
		}
		if !d.decided {
			unlogged = unlogged || d.unlogged
			continue
		}
		if err := awaitLogged(ctx, d.logged); err != nil {
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
func (p controller) listeners(ctx context.Context, userID string) (candidates map[string]bool, unlogged bool, err error) {
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
		if h.row.UserID != userID || !h.running() {
			continue
		}
		unlogged = unlogged || h.unacked > 0
		if h.deciding || len(h.machine.Listeners()) > 0 {
			candidates[id] = true
		}
	}
	if p.listenerReads--; p.listenerReads == 0 {
		clear(p.evictedDuringReads)
	}
	return candidates, unlogged, database.Classify(err)
}
