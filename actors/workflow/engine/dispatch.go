package engine

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
func hasNoEffect(call *machine.Call) bool {
	return call.Fault == nil && call.Kind == machine.CallFunction && call.Function == machine.FunctionEcho
}

// makeCalls begins what is outstanding and not under way, and gives up what is under way and not outstanding any more. It
// returns what is known at once, and whether anything is outstanding that this process is about to do or doing.
func (p *partition) dispatchCalls(h *execution) (outcomes []machine.Outcome, outstanding bool) {
	calls := h.machine.Calls()
	if len(calls) > 0 && !p.acquireSlot(h) {
		return nil, true
	}
	if p.e.Stopping() || p.draining {
		return nil, len(calls) > 0
	}
	for _, call := range calls {
		_, begun := h.external[call.ID]
		switch {
		case h.inFlight[call.ID] != nil:
			outstanding = true
		case begun:
		case call.Fault != nil:
			outcomes = append(outcomes, machine.CallFault(call.ID, call.Fault, p.e.Now()))
		case hasNoEffect(call):
			p.e.metrics.stepsCompleted.Inc()
			outcomes = append(outcomes, machine.CallDone(call.ID, ArgumentsOf(call), p.e.Now()))
		case !call.Started && needsStartRecord(call):
			h.startRecorded[call.ID] = true
			outcomes = append(outcomes, machine.CallStarted(call.ID, p.e.Now()))
		case call.Started && !h.startRecorded[call.ID] && call.Kind != machine.CallFunction:
			outcomes = append(outcomes, machine.CallUnknown(call.ID, p.e.Now()))
		default:
			outstanding = true
			p.dispatch(h, call)
		}
	}
	if h.machine.Status() != machine.Suspended {
		p.abandonCalls(h, calls)
	}
	return outcomes, outstanding || len(h.inFlight) > 0
}

// giveUp ends what is under way and not outstanding any more.
func (p *partition) abandonCalls(h *execution, outstanding []*machine.Call) {
	for id, cancel := range h.inFlight {
		if !containsCall(outstanding, id) {
			cancel()
			delete(h.inFlight, id)
			h.pendingCleanup++
		}
	}
	for id, child := range h.orphanCandidates {
		if !containsCall(outstanding, id) {
			delete(h.orphanCandidates, id)
			p.cancelAbandonedChild(h, child)
		}
	}
	for id, child := range h.external {
		if !containsCall(outstanding, id) {
			delete(h.external, id)
			if child != "" {
				p.cancelAbandonedChild(h, child)
			} else {
				p.expireApproval(h, id)
			}
		}
	}
}

// lapse has the question of a call withdrawn that is not waited for any more.
func (p *partition) expireApproval(h *execution, call string) {
	h.expired = append(h.expired, call)
	p.unprojected[h.row.ID] = h
	p.e.projector.notify()
}

// once tells that a call must not be made twice, as far as is known here: its start is recorded before it is made. Whether
// an action may be repeated its provider's manifest says, and the integration actor judges.
func needsStartRecord(call *machine.Call) bool {
	switch call.Kind {
	case machine.CallHTTP:
		return call.HTTP.Method != http.MethodGet && call.HTTP.Method != http.MethodHead && call.HTTP.Method != http.MethodPut &&
			call.HTTP.Method != http.MethodDelete && call.HTTP.Method != http.MethodOptions
	case machine.CallOpenAPI:
		return true
	case machine.CallFunction:
		return !idempotent(call)
	}
	return false
}

func containsCall(calls []*machine.Call, id string) bool {
	for _, call := range calls {
		if call.ID == id {
			return true
		}
	}
	return false
}

// fly makes one call in the background.
func (p *partition) dispatch(h *execution, call *machine.Call) {
	ctx, cancel := context.WithCancel(p.ctx)
	h.inFlight[call.ID] = cancel
	row, again := h.row, call.Started && !h.startRecorded[call.ID]
	p.e.background.Go(func() {
		defer cancel()
		res := p.e.perform(inTrace(ctx, row.Trace), row, call, again)
		if p.complete(ctx, h, res) || p.ctx.Err() != nil {
			return
		}
		// It was given up, and may have asked somebody, or started a child, before.
		if call.Function == machine.FunctionApproval {
			p.e.withdraw(p.ctx, row.ID, call.ID)
		}
		if child := awaitedChild(call); child != "" {
			p.cancelChild(child)
		}
		p.cleanupDone(h)
	})
}

// land takes in what came of a call. It tells whether it has: not of one that was given up.
func (p *partition) complete(ctx context.Context, h *execution, res callResult) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || ctx.Err() != nil || h.inFlight[res.id] == nil {
		return false
	}
	delete(h.inFlight, res.id)
	switch {
	case res.abandoned: // whoever owns the partition next makes it again
	case res.external:
		h.external[res.id] = res.child
		h.revision++
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
func (p *partition) idle(h *execution) {
	due := h.nextTimer()
	p.scheduleTimer(due, h)
	if !due.IsZero() && due.Sub(p.e.Now()) <= p.e.Config.ShortWait {
		return
	}
	h.evictable = true
	p.releaseSlot(h)
	p.unprojected[h.row.ID] = h
	p.e.projector.notify()
}

// ring fires an execution's timers whose time has come.
func (p *partition) fireTimers(h *execution) {
	if h.machine == nil && !h.finished {
		p.recheck(h)
	}
	if h.machine == nil || h.finished {
		return
	}
	now := p.e.Now()
	var outcomes []machine.Outcome
	// Of several that came due while nobody could look, or the execution was suspended, the earliest comes first.
	for _, t := range slices.SortedStableFunc(slices.Values(h.machine.Timers()), func(a, b machine.Timer) int { return a.At.Compare(b.At) }) {
		if !t.At.After(now) {
			outcomes = append(outcomes, machine.TimerDue(t.ID, now))
		}
	}
	if len(outcomes) > 0 {
		p.decide(h, nil, outcomes...)
		return
	}
	if h.unacked == 0 {
		p.scheduleTimer(h.nextTimer(), h)
	}
}

// alarm has an execution looked at when its next timer is due. One that is far off is read from SQL in time.
func (p *partition) scheduleTimer(due time.Time, h *execution) {
	if due.IsZero() || due.After(p.timersUntil) && due.Sub(p.e.Now()) > p.e.Config.ShortWait {
		return
	}
	p.timers.add(due, h.row.ID)
	p.wakeTimers()
}

const (
	// longestNap is the longest that timers are waited for without a look at the clock.
	maxTimerSleep = time.Second
	// timerHorizon is how far ahead the timers of parked executions are in memory; past half of it, more are read.
	timerHorizon = 10 * time.Minute
	// ringAtOnce bounds how many executions are woken in one go.
	maxTimersPerPass = 200
	// slotPause is how long a parked execution waits for a slot to wake in before it is looked at again.
	slotRetryDelay = 20 * time.Millisecond
)

func (p *partition) wakeTimers() {
	select {
	case p.timerWake <- struct{}{}:
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
		case <-p.timerWake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// fireDue wakes what is due and tells how long to wait for what is next.
func (p *partition) fireDue() time.Duration {
	now := p.e.Now()
	p.mu.Lock()
	far := now.Add(timerHorizon / 2).After(p.timersUntil)
	p.mu.Unlock()
	if far {
		p.loadTimers(now.Add(timerHorizon))
	}
	p.mu.Lock()
	// What is parked comes into memory as there are slots for it.
	room := max(p.e.executionSlots.free(), 0)
	var asleep []string
	for range maxTimersPerPass {
		id, ok := p.timers.due(now)
		if !ok {
			break
		}
		if h := p.executions[id]; h != nil {
			p.fireTimers(h)
			continue
		}
		if len(asleep) >= room {
			p.timers.add(now.Add(slotRetryDelay), id)
			break
		}
		asleep = append(asleep, id)
	}
	next, more := p.timers.next()
	p.mu.Unlock()
	for _, id := range asleep {
		if err := p.withExecution(p.ctx, id, p.fireTimers); err != nil && !IsNotFound(err) {
			p.mu.Lock()
			p.timers.add(now.Add(maxTimerSleep), id) // it is tried again
			p.mu.Unlock()
		}
	}
	if !more {
		return maxTimerSleep
	}
	return min(max(next.Sub(p.e.Now()), time.Millisecond), maxTimerSleep)
}

// readTimers takes the timers of parked executions into memory that are due before until.
func (p *partition) loadTimers(until time.Time) {
	rows, err := dueExecutions(p.ctx, p.e.DB.DB, p.number, until)
	if err != nil {
		return // the next look tries again
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timersUntil = until
	for _, row := range rows {
		p.timers.add(machine.Moment(row.DueAt), row.ID)
	}
}

// traceOf is the trace that ctx belongs to, as a W3C traceparent; inTrace is a context of that trace.
func TraceOf(ctx context.Context) string {
	header := nats.Header{}
	mesh.Propagator.Inject(ctx, mesh.Carrier(header))
	return mesh.Carrier(header).Get(traceparent)
}

func inTrace(ctx context.Context, parent string) context.Context {
	return mesh.Propagator.Extract(ctx, mesh.Carrier(nats.Header{traceparent: {parent}}))
}

const traceparent = "traceparent"
