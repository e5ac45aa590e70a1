package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// errAbandoned ends a call that the process has no time for any more.
var errAbandoned = errors.New("the process stops")

// result is what came of a call.
type callResult struct {
	id      string
	outcome machine.Outcome
	// begun: somebody else will complete it, the execution child where it is one.
	external bool
	child    string
	// abandoned: the process stops or has lost the mesh; nothing is to be recorded.
	abandoned bool
}

// perform makes one call, when there is a slot for it, and tells what came of it.
// again: an owner before this one may have made it.
func (e *Engine) perform(ctx context.Context, row Row, call *machine.Call, again bool) callResult {
	if !e.callSlots.acquire(ctx, e.stopping, row.UserID, row.Priority) {
		return callResult{id: call.ID, abandoned: true}
	}
	defer e.callSlots.release()
	began := time.Now()
	reach(crashBeforeEffect)
	output, err := e.attempt(ctx, row, call, again)
	reach(crashAfterEffect)
	e.metrics.stepDuration.Observe(time.Since(began).Seconds())
	switch {
	case ctx.Err() != nil || errors.Is(err, errAbandoned) || errors.Is(err, nats.ErrConnectionClosed):
		e.metrics.steps.WithLabelValues("abandoned").Inc()
		return callResult{id: call.ID, abandoned: true}
	case errors.Is(err, ErrExternal):
		return callResult{id: call.ID, external: true, child: awaitedChild(call)}
	case again && subjects.HasFieldCode(err, subjects.FieldUnknownOutcome):
		e.metrics.steps.WithLabelValues("faulted").Inc()
		return callResult{id: call.ID, outcome: machine.CallUnknown(call.ID, e.Now())}
	case err != nil:
		e.metrics.steps.WithLabelValues("faulted").Inc()
		return callResult{id: call.ID, outcome: machine.CallFault(call.ID, FaultOf(err), e.Now())}
	}
	e.metrics.steps.WithLabelValues("completed").Inc()
	return callResult{id: call.ID, outcome: machine.CallDone(call.ID, output, e.Now())}
}

// attempt makes a call within the step's time, again where it has reached nobody.
func (e *Engine) attempt(ctx context.Context, row Row, call *machine.Call, again bool) (any, error) {
	timed, cancel := context.WithTimeout(ctx, e.Config.StepTimeout)
	defer cancel()
	for try := 0; ; try++ {
		output, err := e.Dispatch(timed, row, call, again)
		if err == nil || try >= e.Config.StepRetries || !repeatable(call, err) {
			return output, e.timedOut(ctx, timed, err)
		}
		select {
		case <-time.After(e.Config.StepRetryDelay):
		case <-e.stopping:
			return nil, errAbandoned
		case <-timed.Done():
			return nil, e.timedOut(ctx, timed, err)
		}
	}
}

// timedOut names the end of the step's own time as what it is.
func (e *Engine) timedOut(ctx, timed context.Context, err error) error {
	if err != nil && timed.Err() != nil && ctx.Err() == nil {
		return machine.NewError(machine.TypeTimeout, fmt.Sprintf("the call took longer than %s", e.Config.StepTimeout))
	}
	return err
}

// repeatable tells whether a call can be made again at once without being made twice: it has reached nobody, or whom
// it reaches knows it again by its key.
func repeatable(call *machine.Call, err error) bool {
	var outbound *egress.Error
	if errors.As(err, &outbound) {
		return outbound.Kind == egress.KindConnect && !outbound.Sent
	}
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrReconnectBufExceeded) {
		return true
	}
	return idempotent(call) && isTransientCall(err) || startsExecutions(call) && subjects.CodeOf(err) == subjects.CodeRateLimited
}

// begins tells that a call starts executions, by itself or by its event: it waits for its user's others for a while.
func startsExecutions(call *machine.Call) bool {
	return call.Kind == machine.CallWorkflow || call.Kind == machine.CallEmit || call.Function == machine.FunctionStart
}

// harmless tells that weft knows a call again by its key: making it twice makes it once.
func idempotent(call *machine.Call) bool {
	switch call.Function {
	case machine.FunctionNotify, machine.FunctionConsent, machine.FunctionApproval:
		return true
	}
	return startsExecutions(call)
}

// ErrExternal: the call is begun, and somebody else will complete it.
var ErrExternal = errors.New("the call is begun")

// output reads what a call gave.
func (e *Engine) Output(data json.RawMessage) (any, error) {
	if len(data) == 0 {
		return nil, nil
	}
	if len(data) > e.Config.MaxResult {
		return nil, machine.NewError(machine.TypeRuntime, fmt.Sprintf(
			"the call gave %d bytes, the limit is %d", len(data), e.Config.MaxResult))
	}
	value, err := language.Decode(data)
	if err != nil {
		return nil, machine.NewError(machine.TypeCommunication, "the call did not give JSON")
	}
	return value, nil
}

func ArgumentsOf(call *machine.Call) map[string]any {
	if call.Arguments == nil {
		return map[string]any{}
	}
	return call.Arguments
}

// passing tells whether another try makes sense.
func isTransientCall(err error) bool {
	code := subjects.CodeOf(err)
	return code == subjects.CodeUnavailable || code == subjects.CodeTimeout
}
