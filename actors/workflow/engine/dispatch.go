package engine

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
)

// callInFlight is a call that this process makes.
type callInFlight struct {
	cancel context.CancelFunc
	// sent: the call may have left the process, and cannot be made again without having its effect twice.
	sent atomic.Bool
	// repeatable: weft recognises the call by its key when the next owner of the partition makes it again.
	repeatable bool
	// slow: it has given its step slot back.
	slow bool
	// onSlow is called when it does.
	onSlow func()
}

// slowCallback is what is called when the call of a context gives its step slot back.
func slowCallback(ctx context.Context) func() {
	if call, ok := ctx.Value(callInFlightKey{}).(*callInFlight); ok && call.onSlow != nil {
		return call.onSlow
	}
	return func() {}
}

type callInFlightKey struct{}

// CallSent records that the call of a context may have had its effect from now on. Dispatch calls it before it sends what must not be
// sent twice; a call that is interrupted before is cancelled without a trace.
func CallSent(ctx context.Context) {
	if call, ok := ctx.Value(callInFlightKey{}).(*callInFlight); ok {
		call.sent.Store(true)
	}
}

// dispatchCalls dispatches the calls that are outstanding and not in flight, and abandons those in flight that are not outstanding
// any more. It returns the outcomes that are known at once, and whether a call is outstanding that this process makes.
func (p *partition) dispatchCalls(h *execution) (outcomes []machine.Outcome, outstanding bool) {
	p.abandonCalls(h, h.machine.Awaited())
	calls := h.machine.Calls()
	if p.needsSlot(h, calls) && !p.acquireSlot(h) {
		return nil, true
	}
	if p.e.Stopping() || p.draining {
		return nil, len(calls) > 0 || len(h.inFlight) > 0
	}
	for _, call := range calls {
		_, external := h.external[call.ID]
		switch {
		case h.inFlight[call.ID] != nil:
			outstanding = true
		case external, h.overdue[call.ID]:
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
	return outcomes, outstanding || len(h.inFlight) > 0
}

// CallNotSent records that the call of a context had no effect, and waits to be made.
func CallNotSent(ctx context.Context) {
	if call, ok := ctx.Value(callInFlightKey{}).(*callInFlight); ok {
		call.sent.Store(false)
	}
}

// needsSlot reports whether any of some calls is to be dispatched.
func (p *partition) needsSlot(h *execution, calls []*machine.Call) bool {
	for _, call := range calls {
		_, external := h.external[call.ID]
		if h.inFlight[call.ID] == nil && !external && !h.overdue[call.ID] {
			return true
		}
	}
	return false
}

// onSlow gives the slot of an execution back while all its calls in flight are slow.
func (p *partition) onSlow(h *execution, call *callInFlight) {
	p.mu.Lock()
	defer p.mu.Unlock()
	call.slow = true
	for _, other := range h.inFlight {
		if !other.slow {
			return
		}
	}
	if !p.closed && h.running() && h.hasSlot && !h.deciding && h.unacked == 0 {
		p.admission.release(h)
	}
}

// needsStartRecord reports whether the log must have a call's start before the call is made, because making it twice could have its
// effect twice. Whether an action may be repeated is in its provider's manifest, which the integration actor applies.
func needsStartRecord(call *machine.Call) bool {
	switch call.Kind {
	case machine.CallHTTP:
		return !RepeatableMethod(call.HTTP.Method)
	case machine.CallOpenAPI:
		return true
	case machine.CallFunction:
		return !isIdempotent(call)
	}
	return false
}

// RepeatableMethod reports whether a request of an HTTP method has the same effect once and several times (RFC 9110 §9.2.2).
func RepeatableMethod(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// dispatch makes one call in the background.
func (p *partition) dispatch(h *execution, call *machine.Call) {
	ctx, cancel := context.WithCancel(p.ctx)
	inFlight := &callInFlight{cancel: cancel, repeatable: isIdempotent(call)}
	inFlight.onSlow = func() { p.onSlow(h, inFlight) }
	ctx = context.WithValue(ctx, callInFlightKey{}, inFlight)
	h.inFlight[call.ID] = inFlight
	row, repeated := h.row, call.Started && !h.startRecorded[call.ID]
	p.e.background.Go(func() {
		defer cancel()
		result := p.e.activities.run(inTrace(ctx, row.Trace), row, call, repeated)
		if p.complete(ctx, h, result) || p.ctx.Err() != nil {
			return
		}
		// The call was abandoned meanwhile, and may have made an approval request or started a child before.
		if call.Function == machine.FunctionApproval {
			p.mu.Lock()
			if !p.closed {
				p.expireApproval(h, call.ID)
			}
			p.mu.Unlock()
		}
		if child := awaitedChild(call); child != "" {
			p.children.cancel(child)
		}
		p.children.cleanupDone(h)
	})
}

// complete applies the result of a call. It reports false for a call that was abandoned.
func (p *partition) complete(ctx context.Context, h *execution, result callResult) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		p.awaitIdle(h)
		if p.closed || ctx.Err() != nil || h.inFlight[result.id] == nil || !h.running() {
			return false
		}
		// Before the result, which comes too late for a deadline that has passed.
		if !p.fireOverdue(h) || !h.deciding {
			break
		}
	}
	if h.inFlight[result.id] == nil || !h.running() {
		return false
	}
	sent := h.inFlight[result.id].sent.Load()
	delete(h.inFlight, result.id)
	if !result.external && (result.child != "" || result.approval) {
		h.addOrphanCandidate(result.id, result.child)
	}
	switch {
	case result.abandoned: // the partition's next owner makes it again
		delete(h.startRecorded, result.id) // it may have been sent
	case result.overdue && containsCall(h.machine.Awaited(), result.id):
		h.overdue[result.id] = true
		if sent {
			delete(h.startRecorded, result.id)
		}
		if h.unacked == 0 {
			p.advance(h)
		}
	case result.external:
		h.external[result.id] = result.child
		h.revision++
		if h.unacked == 0 {
			p.advance(h)
		}
	default:
		if !p.decide(h, followUp{}, result.outcome) && h.unacked == 0 {
			p.advance(h)
		}
	}
	return true
}

// abandonCalls cancels what is in flight or external and not outstanding any more.
func (p *partition) abandonCalls(h *execution, outstanding []*machine.Call) {
	for id, call := range h.inFlight {
		if !containsCall(outstanding, id) {
			call.cancel()
			delete(h.inFlight, id)
			h.pendingCleanup++
		}
	}
	for id, child := range h.orphanCandidates {
		if !containsCall(outstanding, id) {
			delete(h.orphanCandidates, id)
			if child != "" {
				p.children.cancelAbandoned(h, child)
			} else {
				p.expireApproval(h, id)
			}
		}
	}
	for id := range h.overdue {
		if !containsCall(outstanding, id) {
			delete(h.overdue, id)
		}
	}
	for id, child := range h.external {
		if !containsCall(outstanding, id) {
			delete(h.external, id)
			if child != "" {
				p.children.cancelAbandoned(h, child)
			} else {
				p.expireApproval(h, id)
			}
		}
	}
}

func containsCall(calls []*machine.Call, id string) bool {
	for _, call := range calls {
		if call.ID == id {
			return true
		}
	}
	return false
}

// TraceOf is the trace that ctx belongs to, as a W3C traceparent.
func TraceOf(ctx context.Context) string {
	header := nats.Header{}
	mesh.Propagator.Inject(ctx, mesh.Carrier(header))
	return mesh.Carrier(header).Get(traceparent)
}

// inTrace returns a context of the trace with a W3C traceparent.
func inTrace(ctx context.Context, parent string) context.Context {
	return mesh.Propagator.Extract(ctx, mesh.Carrier(nats.Header{traceparent: {parent}}))
}

const traceparent = "traceparent"
