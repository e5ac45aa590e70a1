package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh/fair"
	"github.com/weftmesh/weft/subjects"
)

var (
	// ErrExternal is Dispatch's error for a call that has started and that CompleteCall will end.
	ErrExternal = errors.New("the call is external")
	// ErrAbandoned is Dispatch's error for a call, and ends one, that the stopping process makes no more attempts at.
	ErrAbandoned = errors.New("the process is stopping")
	// errAccountBlocked refuses a call that was not made because its account is blocked.
	errAccountBlocked = &subjects.Error{Code: subjects.CodeForbidden, Reason: subjects.ReasonAccountBlocked}
)

// callResult is the result of one call.
type callResult struct {
	id      string
	outcome machine.Outcome
	// external: the call has started, and CompleteCall ends it.
	external bool
	// child is the execution that an external call waits for, or that a failed call may have started.
	child string
	// approval: it is a request for an approval that failed, and may have been made.
	approval bool
	// abandoned: the process is stopping or cut off, and nothing is recorded. The next owner makes the call again.
	abandoned bool
	// overdue: the call failed after the earliest timeout that encloses it, whose timer ends it.
	overdue bool
}

// activityRunner makes the calls of executions: a bounded number at a time, fair between users, each within the step timeout,
// repeated where that cannot have an effect twice.
type activityRunner struct {
	dispatch func(ctx context.Context, row Row, call *machine.Call, repeated bool) (any, error)
	// slots bounds the calls in flight that have not taken long yet, slow the others.
	slots fair.Semaphore
	slow  fair.Semaphore
	// unblocked is Options.AwaitUnblocked.
	unblocked  func(ctx context.Context, stop <-chan struct{}, userID string) bool
	timeout    time.Duration
	timeoutOf  func(ctx context.Context, row Row, call *machine.Call) time.Duration
	retries    int
	retryDelay time.Duration
	now        func() time.Time
	stopping   <-chan struct{}
	// observe records a call that was made: its result (completed, faulted, abandoned; empty for an external one) and duration.
	observe func(result string, took time.Duration)
}

// run makes one call once there is a slot for it. repeated: an earlier owner may have made it. While the user's account is blocked the
// call waits, outside its timeout: also one that was refused for that reason, and so had no effect.
func (r *activityRunner) run(ctx context.Context, row Row, call *machine.Call, repeated bool) callResult {
	for {
		if !r.unblocked(ctx, r.stopping, row.UserID) {
			return callResult{id: call.ID, abandoned: true}
		}
		result, blocked := r.runUnblocked(ctx, row, call, repeated)
		if !blocked {
			return result
		}
		if wait.Until(ctx, r.stopping, blockedRetryDelay) != nil {
			return callResult{id: call.ID, abandoned: true}
		}
	}
}

// blockedRetryDelay is the pause before a call is made again that was refused because the account is blocked.
const blockedRetryDelay = 100 * time.Millisecond

// runUnblocked makes one call. blocked reports that it was refused because the account is blocked.
func (r *activityRunner) runUnblocked(ctx context.Context, row Row, call *machine.Call, repeated bool) (result callResult, blocked bool) {
	slot := &callSlot{r: r, userID: row.UserID, priority: row.Priority, slow: slowCallback(ctx)}
	if !slot.acquire(ctx) {
		return callResult{id: call.ID, abandoned: true}, false
	}
	defer slot.release()
	start := time.Now()
	reach(crashBeforeEffect)
	output, err := r.attempt(ctx, row, call, repeated, slot)
	reach(crashAfterEffect)
	if ctx.Err() == nil && errors.Is(err, errAccountBlocked) {
		return callResult{}, true
	}
	result, label := callResult{id: call.ID}, "faulted"
	switch {
	case ctx.Err() != nil || errors.Is(err, ErrAbandoned) || errors.Is(err, nats.ErrConnectionClosed):
		result.abandoned, label = true, "abandoned"
	case errors.Is(err, ErrExternal):
		result.external, result.child, label = true, awaitedChild(call), ""
	case repeated && subjects.HasFieldCode(err, subjects.FieldUnknownOutcome):
		result.outcome = machine.CallUnknown(call.ID, r.now())
	case err != nil:
		result.overdue = !call.Deadline.IsZero() && !r.now().Before(call.Deadline)
		result.outcome, result.child = machine.CallFault(call.ID, FaultOf(err), r.now()), awaitedChild(call)
		result.approval = call.Function == machine.FunctionApproval
	default:
		result.outcome, label = machine.CallDone(call.ID, output, r.now()), "completed"
	}
	r.observe(label, time.Since(start))
	return result, false
}

// attempt makes a call within the step timeout, and again where it had no effect. It holds no slot between two attempts.
func (r *activityRunner) attempt(ctx context.Context, row Row, call *machine.Call, repeated bool, slot *callSlot) (any, error) {
	limit := r.timeout
	if r.timeoutOf != nil {
		limit = r.timeoutOf(ctx, row, call)
	}
	if !call.Deadline.IsZero() {
		// The timer interrupts the call first. Where the process dies meanwhile, others end what they do for the call by themselves.
		limit = min(limit, max(0, call.Deadline.Sub(r.now()))+deadlineGrace)
	}
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for attempt := 0; ; {
		var output any
		var err error
		if panicked := recovered(func() { output, err = r.dispatch(timed, row, call, repeated) }); panicked != nil {
			err = panicked
		}
		pause, limited := limitPause(timed, err)
		switch {
		case limited: // it is no attempt
			CallNotSent(ctx)
		case err == nil || attempt >= r.retries || !mayRepeat(call, err):
			return output, timedOut(ctx, timed, limit, err)
		default:
			pause = r.retryDelay
			attempt++
		}
		slot.release()
		select {
		case <-time.After(pause):
		case <-r.stopping:
			return nil, ErrAbandoned
		case <-timed.Done():
			return nil, timedOut(ctx, timed, limit, err)
		}
		if !slot.acquire(timed) {
			if r.isStopping() {
				return nil, ErrAbandoned
			}
			return nil, timedOut(ctx, timed, limit, err)
		}
	}
}

// limitPause is how long a call waits that was refused because of a provider's rate limit, and so had no effect. It is not limited where
// the time that is left does not suffice: the definition decides then.
func limitPause(timed context.Context, err error) (pause time.Duration, limited bool) {
	var refused *subjects.Error
	if !errors.As(err, &refused) || refused.Code != subjects.CodeRateLimited || refused.RetryAfter <= 0 || refused.Reason != "" {
		return 0, false
	}
	deadline, _ := timed.Deadline()
	return refused.RetryAfter, time.Until(deadline) > refused.RetryAfter
}

func (r *activityRunner) isStopping() bool {
	select {
	case <-r.stopping:
		return true
	default:
		return false
	}
}

// deadlineGrace is how long after the earliest timeout that encloses it a call ends that nobody has interrupted.
const deadlineGrace = time.Second

// timedOut turns the end of a call's time limit into the specification's timeout error.
func timedOut(ctx, timed context.Context, limit time.Duration, err error) error {
	if err != nil && timed.Err() != nil && ctx.Err() == nil {
		return machine.NewError(machine.TypeTimeout, fmt.Sprintf("the call took longer than %s", limit))
	}
	return err
}

// mayRepeat reports whether a call that failed can be made again without having its effect twice: the request did not leave, or
// the receiver recognises the call by its key.
func mayRepeat(call *machine.Call, err error) bool {
	var outbound *egress.Error
	if errors.As(err, &outbound) {
		return false // the definition says whether a call to another server is repeated
	}
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrReconnectBufExceeded) {
		return true
	}
	var refused *subjects.Error
	if errors.As(err, &refused) && refused.Reason == subjects.ReasonNotStarted {
		return true
	}
	var fault *machine.Error
	if errors.Is(err, ErrExternal) || errors.As(err, &fault) { // uncoded, and so internal, but final
		return false
	}
	return isIdempotent(call) && subjects.Transient(err)
}

// startsExecutions reports whether a call starts executions, itself or by the event that it emits. These wait for a while when
// their user has too many.
func startsExecutions(call *machine.Call) bool {
	return call.Kind == machine.CallWorkflow || call.Kind == machine.CallEmit || call.Function == machine.FunctionStart
}

// isIdempotent reports whether weft itself recognises a repeated call by its key.
func isIdempotent(call *machine.Call) bool {
	switch call.Function {
	case machine.FunctionNotify, machine.FunctionConsent, machine.FunctionApproval:
		return true
	}
	return startsExecutions(call)
}

// hasNoEffect reports whether a call has no effect outside the execution: its result is known at once.
func hasNoEffect(call *machine.Call) bool {
	return call.Fault == nil && call.Kind == machine.CallFunction && call.Function == machine.FunctionEcho
}

// Output decodes the output of a call: JSON of at most workflow.max_result bytes.
func (e *Engine) Output(data json.RawMessage) (any, error) {
	if len(data) == 0 {
		return nil, nil
	}
	if len(data) > e.Config.MaxResult {
		return nil, machine.NewError(machine.TypeRuntime, fmt.Sprintf(
			"the call returned %d bytes, the limit is %d", len(data), e.Config.MaxResult))
	}
	value, err := language.DecodeStrict(data)
	if err != nil {
		return nil, machine.NewError(machine.TypeCommunication, "the call returned JSON that cannot be read: "+err.Error())
	}
	return value, nil
}

// ArgumentsOf are the arguments of a call; never nil.
func ArgumentsOf(call *machine.Call) map[string]any {
	if call.Arguments == nil {
		return map[string]any{}
	}
	return call.Arguments
}
