package engine

import (
	"context"
	"fmt"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// admit gives a new execution its place among those that its workflow limits.
func (p *partition) admit(h *execution) error {
	if h.row.Limits == nil {
		return nil
	}
	if p.limiter.waiting[h.row.UserID] >= p.e.Config.MaxQueuedPerUser {
		return p.userQueueFull()
	}
	h.waiter = waiterOf(h.row)
	p.limiter.add(h.waiter)
	return nil
}

func waiterOf(row Row) *waiter {
	return &waiter{
		Limits: *row.Limits, id: row.ID, workflow: row.WorkflowID, user: row.UserID, priority: row.Priority, created: row.CreatedAt,
	}
}

// heldBack tells whether a limit holds an execution back that has not begun. It is gone on with when none does any more.
func (p *partition) isBlocked(h *execution) bool {
	if h.waiter == nil || h.waiter.stage != stageWaiting {
		return false
	}
	p.admitFrom(p.limiter.sameQueue(h.waiter), h)
	return h.waiter.stage == stageWaiting
}

// letThrough begins what may pass of some queues, but for the execution that its caller goes on with.
func (p *partition) admitFrom(queues []*queue, caller *execution) {
	now := p.e.Now()
	for t := p.limiter.admitNext(queues, now); t != nil; t = p.limiter.admitNext(queues, now) {
		h := p.executions[t.id]
		switch {
		case h == nil: // it could not be written, and is being ended
			p.limiter.remove(t)
		case h != caller && p.acquireSlot(h):
			p.startPending(h)
		}
	}
	for _, q := range queues {
		if len(q.waiters) == 0 {
			continue
		}
		if opens := p.limiter.opensAt(q.waiters[0], now); !opens.IsZero() {
			p.timers.add(opens, q.waiters[0].id)
			p.wakeTimers()
		}
	}
}

// knock looks again at an execution whose time may have come.
func (p *partition) recheck(h *execution) {
	if h.waiter != nil && h.waiter.stage == stageWaiting && p.acquireSlot(h) {
		p.startPending(h)
	}
}

// freeGates lets go on what an execution held back that has ended, or will not begin.
func (p *partition) releaseLimits(h *execution) {
	if h.waiter != nil {
		p.admitFrom(p.limiter.remove(h.waiter), nil)
	}
}

// suspend halts an execution or, where on is false, lets it go on. One that its workflow's limits hold back has nothing to
// be halted: it leaves its place, and takes it again.
func (p *partition) suspend(ctx context.Context, id, reason string, on bool) (reply ControlReply, err error) {
	outcome := machine.Resume(p.e.Now())
	if on {
		outcome = machine.Suspend(reason, p.e.Now())
	}
	var done chan error
	err = p.withExecution(ctx, id, func(h *execution) {
		if h.waiter == nil || h.waiter.stage != stageWaiting || h.finished {
			return
		}
		done = make(chan error, 1)
		p.enqueue(h, transition{Suspend: &on}, nil, done)
		reply.Status = h.suspendPending(on)
		if p.limiter.dequeue(h.waiter); on {
			p.admitFrom(p.limiter.sameQueue(h.waiter), nil)
			return
		}
		p.limiter.enqueue(h.waiter)
		p.recheck(h)
	})
	if err == nil && done != nil {
		return reply, awaitLogged(ctx, done)
	}
	return p.control(ctx, id, outcome)
}

// restoreGates counts what the log says: what SQL has of it, and what was replayed.
func (p *partition) restoreLimiter(ctx context.Context) error {
	rows, err := limitRows(ctx, p.e.DB.DB, p.number, p.e.Now())
	if err != nil {
		return database.Classify(err)
	}
	for _, row := range rows {
		p.limiter.restore(row.waiter())
	}
	for id, h := range p.executions {
		h.waiter = p.limiter.waiters[id]
		if h.waiter == nil && h.row.Limits != nil {
			h.waiter = waiterOf(h.row)
			p.limiter.add(h.waiter)
		}
		if h.waiter != nil && h.suspended {
			p.limiter.dequeue(h.waiter)
		}
		if h.waiter != nil && h.machine != nil {
			p.limiter.started(h.waiter, h.machine.StartedAt())
		}
	}
	for id, t := range p.limiter.waiters {
		if t.stage == stageWaiting && p.executions[id] == nil {
			return fmt.Errorf("restoring what waits: execution %s is not there", id)
		}
	}
	return nil
}

// waitingAtGates is how many executions of this process limits hold back.
func (e *Engine) blockedExecutions() (count int) {
	for _, p := range e.owned() {
		p.mu.Lock()
		for _, waiting := range p.limiter.waiting {
			count += waiting
		}
		p.mu.Unlock()
	}
	return count
}

// began notes that an execution has begun in memory.
func (p *partition) noteStarted(h *execution, x *machine.Execution) {
	if h.waiter != nil {
		p.limiter.started(h.waiter, x.StartedAt())
	}
}
