package workflow

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
)

// pure tells that a call has no effect outside of the execution.
func pure(call *machine.Call) bool {
	return call.Fault == nil && call.Kind == machine.CallFunction && call.Function == functionEcho
}

// makeCalls begins what is outstanding and not under way, and gives up what is under way and not outstanding any more. It
// returns what is known at once, and whether anything is outstanding that this process is about to do or doing.
func (p *partition) makeCalls(h *held) (outcomes []machine.Outcome, outstanding bool) {
	calls := h.x.Calls()
	if len(calls) > 0 && !p.enter(h) {
		return nil, true
	}
	if p.e.Stopping() || p.giving {
		return nil, len(calls) > 0
	}
	for _, call := range calls {
		_, begun := h.begun[call.ID]
		switch {
		case h.flying[call.ID] != nil:
			outstanding = true
		case begun:
		case call.Fault != nil:
			outcomes = append(outcomes, machine.CallFault(call.ID, call.Fault, p.e.Now()))
		case pure(call):
			p.e.metrics.stepsCompleted.Inc()
			outcomes = append(outcomes, machine.CallDone(call.ID, argumentsOf(call), p.e.Now()))
		case !call.Started && once(call):
			h.intended[call.ID] = true
			outcomes = append(outcomes, machine.CallStarted(call.ID, p.e.Now()))
		case call.Started && !h.intended[call.ID] && call.Kind != machine.CallFunction:
			outcomes = append(outcomes, machine.CallUnknown(call.ID, p.e.Now()))
		default:
			outstanding = true
			p.fly(h, call)
		}
	}
	if h.x.Status() != machine.Suspended {
		p.giveUp(h, calls)
	}
	return outcomes, outstanding || len(h.flying) > 0
}

// giveUp ends what is under way and not outstanding any more.
func (p *partition) giveUp(h *held, outstanding []*machine.Call) {
	for id, cancel := range h.flying {
		if !among(outstanding, id) {
			cancel()
			delete(h.flying, id)
			h.errands++
		}
	}
	for id, child := range h.inherited {
		if !among(outstanding, id) {
			delete(h.inherited, id)
			p.giveUpChild(h, child)
		}
	}
	for id, child := range h.begun {
		if !among(outstanding, id) {
			delete(h.begun, id)
			if child != "" {
				p.giveUpChild(h, child)
			} else {
				p.lapse(h, id)
			}
		}
	}
}

// lapse has the question of a call withdrawn that is not waited for any more.
func (p *partition) lapse(h *held, call string) {
	h.lapsed = append(h.lapsed, call)
	p.dirty[h.row.ID] = h
	p.e.folder.poke()
}

// once tells that a call must not be made twice, as far as is known here: its start is recorded before it is made. Whether
// an action may be repeated its provider's manifest says, and the integration actor judges.
func once(call *machine.Call) bool {
	switch call.Kind {
	case machine.CallHTTP:
		return call.HTTP.Method != http.MethodGet && call.HTTP.Method != http.MethodHead && call.HTTP.Method != http.MethodPut &&
			call.HTTP.Method != http.MethodDelete && call.HTTP.Method != http.MethodOptions
	case machine.CallOpenAPI:
		return true
	case machine.CallFunction:
		return !harmless(call)
	}
	return false
}

func among(calls []*machine.Call, id string) bool {
	for _, call := range calls {
		if call.ID == id {
			return true
		}
	}
	return false
}

// fly makes one call in the background.
func (p *partition) fly(h *held, call *machine.Call) {
	ctx, cancel := context.WithCancel(p.ctx)
	h.flying[call.ID] = cancel
	row, again := h.row, call.Started && !h.intended[call.ID]
	p.e.calls.Go(func() {
		defer cancel()
		res := p.e.perform(inTrace(ctx, row.Trace), row, call, again)
		if p.land(ctx, h, res) || p.ctx.Err() != nil {
			return
		}
		// It was given up, and may have asked somebody, or started a child, before.
		if call.Function == machine.FunctionApproval {
			p.e.withdraw(p.ctx, row.ID, call.ID)
		}
		if child := awaitedChild(call); child != "" {
			p.cancelChild(child)
		}
		p.errandDone(h)
	})
}

// land takes in what came of a call. It tells whether it has: not of one that was given up.
func (p *partition) land(ctx context.Context, h *held, res result) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone || ctx.Err() != nil || h.flying[res.id] == nil {
		return false
	}
	delete(h.flying, res.id)
	switch {
	case res.abandoned: // whoever owns the partition next makes it again
	case res.begun:
		h.begun[res.id] = res.child
		h.touched++
		if h.unacked == 0 {
			p.advance(h)
		}
	default:
		if !p.decide(h, nil, res.outcome) && h.unacked == 0 {
			p.advance(h)
		}
	}
	return true
}

// rest puts an execution to wait that has nothing under way: in memory where it is short, else it will be parked.
func (p *partition) rest(h *held) {
	due := h.due()
	p.alarm(due, h)
	if !due.IsZero() && due.Sub(p.e.Now()) <= p.e.Config.ShortWait {
		return
	}
	h.resting = true
	p.leave(h)
	p.dirty[h.row.ID] = h
	p.e.folder.poke()
}

// ring fires an execution's timers whose time has come.
func (p *partition) ring(h *held) {
	if h.x == nil && !h.finished {
		p.knock(h)
	}
	if h.x == nil || h.finished {
		return
	}
	now := p.e.Now()
	var outcomes []machine.Outcome
	// Of several that came due while nobody could look, or the execution was suspended, the earliest comes first.
	for _, t := range slices.SortedStableFunc(slices.Values(h.x.Timers()), func(a, b machine.Timer) int { return a.At.Compare(b.At) }) {
		if !t.At.After(now) {
			outcomes = append(outcomes, machine.TimerDue(t.ID, now))
		}
	}
	if len(outcomes) > 0 {
		p.decide(h, nil, outcomes...)
		return
	}
	if h.unacked == 0 {
		p.alarm(h.due(), h)
	}
}

// alarm has an execution looked at when its next timer is due. One that is far off is read from SQL in time.
func (p *partition) alarm(due time.Time, h *held) {
	if due.IsZero() || due.After(p.horizon) && due.Sub(p.e.Now()) > p.e.Config.ShortWait {
		return
	}
	p.timers.add(due, h.row.ID)
	p.timerChanged()
}

const (
	// longestNap is the longest that timers are waited for without a look at the clock.
	longestNap = time.Second
	// timerHorizon is how far ahead the timers of parked executions are in memory; past half of it, more are read.
	timerHorizon = 10 * time.Minute
	// ringAtOnce bounds how many executions are woken in one go.
	ringAtOnce = 200
	// slotPause is how long a parked execution waits for a slot to wake in before it is looked at again.
	slotPause = 20 * time.Millisecond
)

func (p *partition) timerChanged() {
	select {
	case p.rung <- struct{}{}:
	default:
	}
}

// runTimers wakes executions whose time has come, until the partition is lost.
func (p *partition) runTimers() {
	for {
		nap := p.fireDue()
		timer := time.NewTimer(nap)
		select {
		case <-p.ctx.Done():
			timer.Stop()
			return
		case <-p.rung:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// fireDue wakes what is due and tells how long to wait for what is next.
func (p *partition) fireDue() time.Duration {
	now := p.e.Now()
	p.mu.Lock()
	far := now.Add(timerHorizon / 2).After(p.horizon)
	p.mu.Unlock()
	if far {
		p.readTimers(now.Add(timerHorizon))
	}
	p.mu.Lock()
	// What is parked comes into memory as there are slots for it.
	room := max(p.e.flow.free(), 0)
	var asleep []string
	for range ringAtOnce {
		id, ok := p.timers.due(now)
		if !ok {
			break
		}
		if h := p.held[id]; h != nil {
			p.ring(h)
			continue
		}
		if len(asleep) >= room {
			p.timers.add(now.Add(slotPause), id)
			break
		}
		asleep = append(asleep, id)
	}
	next, more := p.timers.next()
	p.mu.Unlock()
	for _, id := range asleep {
		if err := p.with(p.ctx, id, p.ring); err != nil && !isNotFound(err) {
			p.mu.Lock()
			p.timers.add(now.Add(longestNap), id) // it is tried again
			p.mu.Unlock()
		}
	}
	if !more {
		return longestNap
	}
	return min(max(next.Sub(p.e.Now()), time.Millisecond), longestNap)
}

// readTimers takes the timers of parked executions into memory that are due before until.
func (p *partition) readTimers(until time.Time) {
	rows, err := dueExecutions(p.ctx, p.e.DB.DB, p.lot, until)
	if err != nil {
		return // the next look tries again
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.horizon = until
	for _, row := range rows {
		p.timers.add(moment(row.DueAt), row.ID)
	}
}

// traceOf is the trace that ctx belongs to, as a W3C traceparent; inTrace is a context of that trace.
func traceOf(ctx context.Context) string {
	header := nats.Header{}
	mesh.Propagator.Inject(ctx, mesh.Carrier(header))
	return mesh.Carrier(header).Get(traceparent)
}

func inTrace(ctx context.Context, parent string) context.Context {
	return mesh.Propagator.Extract(ctx, mesh.Carrier(nats.Header{traceparent: {parent}}))
}

const traceparent = "traceparent"
