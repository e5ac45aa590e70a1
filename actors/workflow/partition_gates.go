package workflow

import (
	"context"
	"fmt"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// admit gives a new execution its place among those that its workflow limits.
func (p *partition) admit(h *held) error {
	if h.row.Terms == nil {
		return nil
	}
	if p.gates.waiting[h.row.UserID] >= p.e.Config.MaxQueuedPerUser {
		return p.ownQueue()
	}
	h.ticket = ticketOf(h.row)
	p.gates.join(h.ticket)
	return nil
}

func ticketOf(row executionRow) *ticket {
	return &ticket{
		terms: *row.Terms, id: row.ID, workflow: row.WorkflowID, user: row.UserID, priority: row.Priority, created: row.CreatedAt,
	}
}

// heldBack tells whether a limit holds an execution back that has not begun. It is gone on with when none does any more.
func (p *partition) heldBack(h *held) bool {
	if h.ticket == nil || h.ticket.stage != stageWaiting {
		return false
	}
	p.letThrough(p.gates.beside(h.ticket), h)
	return h.ticket.stage == stageWaiting
}

// letThrough begins what may pass of some queues, but for the execution that its caller goes on with.
func (p *partition) letThrough(queues []*queue, caller *held) {
	now := p.e.Now()
	for t := p.gates.next(queues, now); t != nil; t = p.gates.next(queues, now) {
		h := p.held[t.id]
		switch {
		case h == nil: // it could not be written, and is being ended
			p.gates.leave(t)
		case h != caller && p.enter(h):
			p.start(h)
		}
	}
	for _, q := range queues {
		if len(q.tickets) == 0 {
			continue
		}
		if opens := p.gates.opens(q.tickets[0], now); !opens.IsZero() {
			p.timers.add(opens, q.tickets[0].id)
			p.timerChanged()
		}
	}
}

// knock looks again at an execution whose time may have come.
func (p *partition) knock(h *held) {
	if h.ticket != nil && h.ticket.stage == stageWaiting && p.enter(h) {
		p.start(h)
	}
}

// freeGates lets go on what an execution held back that has ended, or will not begin.
func (p *partition) freeGates(h *held) {
	if h.ticket != nil {
		p.letThrough(p.gates.leave(h.ticket), nil)
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
	err = p.with(ctx, id, func(h *held) {
		if h.ticket == nil || h.ticket.stage != stageWaiting || h.finished {
			return
		}
		done = make(chan error, 1)
		p.enqueue(h, turn{Suspend: &on}, nil, done)
		reply.Status = h.suspendWaiting(on)
		if p.gates.unqueue(h.ticket); on {
			p.letThrough(p.gates.beside(h.ticket), nil)
			return
		}
		p.gates.enqueue(h.ticket)
		p.knock(h)
	})
	if err == nil && done != nil {
		return reply, received(ctx, done)
	}
	return p.control(ctx, id, outcome)
}

// restoreGates counts what the log says: what SQL has of it, and what was replayed.
func (p *partition) restoreGates(ctx context.Context) error {
	rows, err := ticketsOf(ctx, p.e.DB.DB, p.lot, p.e.Now())
	if err != nil {
		return database.Classify(err)
	}
	for _, row := range rows {
		p.gates.regain(row.ticket())
	}
	for id, h := range p.held {
		h.ticket = p.gates.tickets[id]
		if h.ticket == nil && h.row.Terms != nil {
			h.ticket = ticketOf(h.row)
			p.gates.join(h.ticket)
		}
		if h.ticket != nil && h.suspended {
			p.gates.unqueue(h.ticket)
		}
		if h.ticket != nil && h.x != nil {
			p.gates.begun(h.ticket, h.x.StartedAt())
		}
	}
	for id, t := range p.gates.tickets {
		if t.stage == stageWaiting && p.held[id] == nil {
			return fmt.Errorf("restoring what waits: execution %s is not there", id)
		}
	}
	return nil
}

// waitingAtGates is how many executions of this process limits hold back.
func (e *Engine) waitingAtGates() (count int) {
	for _, p := range e.owned() {
		p.mu.Lock()
		for _, waiting := range p.gates.waiting {
			count += waiting
		}
		p.mu.Unlock()
	}
	return count
}

// began notes that an execution has begun in memory.
func (p *partition) began(h *held, x *machine.Execution) {
	if h.ticket != nil {
		p.gates.begun(h.ticket, x.StartedAt())
	}
}
