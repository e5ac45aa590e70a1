package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// A decision that fits into quickSlice is made under the partition's lock. Every other one is made in the pool: by a goroutine of the
// evaluator pool that has the execution's machine for itself, without the lock, for one slice at a time. Meanwhile the execution is
// deciding: its machine must not be touched, and what happens to it waits, or is looked at again when the slice has ended.

// quickSlice bounds what is decided under the lock: about a tenth of a millisecond. poolSlice bounds one slice in the evaluator pool,
// about 30 ms; a single event may take longer, up to the machine's bounds of one event.
var (
	quickSlice = machine.Slice{Steps: 2000, Bytes: 32 << 10, Strict: true}
	poolSlice  = machine.Slice{Steps: 300_000, Bytes: 2 << 20}
)

const (
	// lightBytes is the size of the history, in bytes, up to which an execution's events and snapshots are encoded under the lock.
	lightBytes = 64 << 10
	// quickInput is the size of the input up to which an execution is started under the lock.
	quickInput = 16 << 10
)

// panicError is a panic of a decision.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// recovered runs work and returns its panic as an error.
func recovered(work func()) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicError{value, debug.Stack()}
		}
	}()
	work()
	return nil
}

// inPool runs work without the lock once the evaluator pool has a place for the user, with the execution's machine for itself. Afterwards,
// under the lock, it calls done with nil, with work's panic, or with errPartitionMoving where the partition was closed, or is being left and the
// work is repeatable. The caller holds the lock.
func (p *partition) inPool(h *execution, repeatable bool, work func(), done func(err error)) {
	h.deciding, h.idle, h.hurry = true, make(chan struct{}), make(chan struct{})
	if h.ending {
		close(h.hurry)
	}
	hurry := h.hurry
	h.evictable, h.snapshot = false, nil
	h.revision++
	p.e.background.Go(func() {
		err := pacing{p}.compute(h, hurry, repeatable, work)
		p.mu.Lock()
		defer p.mu.Unlock()
		h.deciding = false
		close(h.idle)
		if p.closed || p.executions[h.row.ID] != h {
			err = errPartitionMoving
		}
		done(err)
	})
}

// compute runs work once the evaluator pool has a place for the user, who may write to the log then. Once hurry is closed it does not wait for the
// log rate. Its error is work's panic, or errPartitionMoving where work was not run.
func (p pacing) compute(h *execution, hurry <-chan struct{}, repeatable bool, work func()) (err error) {
	e, userID := p.e, h.row.UserID
	for again := true; again; {
		p.awaitLogRate(h, hurry)
		p.writer.awaitRoom(p.ctx)
		moving := e.evaluators.Do(p.ctx, userID, func() {
			if again = false; repeatable && p.isBeingLeft() {
				err = errPartitionMoving
				return
			}
			// Meanwhile others of the user's executions had the place, and have written.
			if again = p.logRatePause(userID, hurry) > 0 || !p.writer.hasRoom(); again {
				return
			}
			start := time.Now()
			err = recovered(work)
			e.metrics.evaluation.Observe(time.Since(start).Seconds())
		})
		if moving != nil {
			return errPartitionMoving
		}
	}
	return err
}

// awaitIdle waits until an execution is not deciding. The caller holds the lock, which is released meanwhile.
func (p *partition) awaitIdle(h *execution) {
	for h.deciding {
		idle := h.idle
		p.mu.Unlock()
		<-idle
		p.mu.Lock()
	}
}

// guarded runs do for an execution, under the lock. Its panic quarantines the execution.
func (p *partition) guarded(h *execution, do func()) {
	if err := recovered(do); err != nil {
		p.quarantine(h, err)
	}
}

// decision is what one slice has decided.
type decision struct {
	events []machine.Event
	raw    []json.RawMessage
	// output is the encoded output of an execution that has completed by it.
	output string
	// size is the size of what the execution holds.
	size int
}

// followUp is what happens once a decision is made.
type followUp struct {
	// logged, if not nil, receives nil once the log has the decision's events.
	logged chan error
	// then, if not nil, is called under the lock once it is known whether there are events.
	then func(decided bool)
	// repeatable: the next owner of the partition decides it again, and an owner that is leaving need not.
	repeatable bool
}

func (f followUp) decided(decided bool) {
	if f.then != nil {
		f.then(decided)
	}
}

// decide applies outcomes to an execution's machine, or without any continues a transition that was split, and enqueues the events. It
// reports whether there are any, or may be: a decision that is too large for the lock is made in the pool. The caller holds the lock.
func (p *partition) decide(h *execution, after followUp, outcomes ...machine.Outcome) bool {
	if !h.running() {
		after.decided(false)
		return false
	}
	if h.heavy || p.e.alwaysInPool {
		p.decideInPool(h, after, outcomes)
		return true
	}
	var events []machine.Event
	rest := outcomes
	err := recovered(func() { events, rest = quickly(h.machine, outcomes, p.e.Now()) })
	if err != nil {
		p.quarantine(h, err)
		after.decided(false)
		return true
	}
	unfinished := len(rest) > 0 || !h.machine.Settled()
	h.heavy = unfinished || h.machine.Bytes() > lightBytes
	if len(rest) > 0 || len(events) == 0 && unfinished {
		if len(events) > 0 {
			p.enqueue(h, transition{}, events, nil)
		}
		p.decideInPool(h, after, rest)
		return true
	}
	if len(events) == 0 {
		after.decided(false)
		return false
	}
	p.enqueue(h, transition{}, events, after.logged)
	p.scheduleTimer(h.nextTimer(), h) // it does not wait for the log
	after.decided(true)
	return true
}

// quickly decides within quickSlice. rest are the outcomes for which that does not suffice.
func quickly(x *machine.Execution, outcomes []machine.Outcome, now time.Time) (events []machine.Event, rest []machine.Outcome) {
	x.SetSlice(quickSlice)
	if len(outcomes) == 0 {
		return x.Continue(now), nil
	}
	for i, outcome := range outcomes {
		more := x.Handle(outcome)
		if x.Deferred() {
			return events, outcomes[i:]
		}
		if events == nil {
			events = more
		} else {
			events = append(events, more...)
		}
	}
	if len(events) == 0 && !x.Settled() { // one that was restored does not know yet whether it is
		events = x.Continue(now)
	}
	return events, nil
}

// decideInPool is decide without the lock, for one slice. What is left to decide then is decided once the log has the slice.
func (p *partition) decideInPool(h *execution, after followUp, outcomes []machine.Outcome) {
	h.heavy = true
	var d decision
	p.inPool(h, after.repeatable, func() {
		d = p.evaluate(h.machine, outcomes)
		p.e.logRate.wrote(h.row.UserID, rawBytes(d.raw))
	}, func(err error) {
		if err != nil {
			if !errors.Is(err, errPartitionMoving) {
				p.quarantine(h, err)
			}
			after.decided(false)
			if after.logged != nil {
				after.logged <- errPartitionMoving
			}
			return
		}
		h.output = d.output
		if len(d.events) > 0 {
			p.enqueueEncoded(h, transition{}, d.events, d.raw, after.logged)
		}
		p.hold(h, d.size)
		p.scheduleTimer(h.nextTimer(), h)
		after.decided(len(d.events) > 0)
		if h.unacked == 0 && h.running() {
			p.refresh(h)
			p.advance(h)
		}
	})
}

// evaluate decides one slice and encodes its events.
func (p *partition) evaluate(x *machine.Execution, outcomes []machine.Outcome) (d decision) {
	x.SetSlice(poolSlice)
	for _, outcome := range outcomes {
		d.events = append(d.events, x.Handle(outcome)...)
	}
	if len(outcomes) == 0 {
		d.events = x.Continue(p.e.Now())
	}
	d.raw = encodeEvents(d.events)
	if x.Status() == machine.Completed {
		d.output = string(language.Canonical(x.Output()))
	}
	if !x.Status().Ended() {
		d.size = x.Size()
	}
	return d
}
