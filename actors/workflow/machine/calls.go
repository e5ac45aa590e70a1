package machine

import (
	"strconv"
	"time"
)

// Call is a call to be made, or one that is being made. Everything in it except ID and Key is evaluated again after a
// restart, from the same data, and is not in the log.
type Call struct {
	// ID identifies the call within the execution; outcomes refer to it.
	ID string
	// Key is the execution's id followed by the path of the task with its iterations. It is the same over attempts and
	// restarts, so it can serve as an idempotency key.
	Key string
	// Task is the pointer of the task, Name its name.
	Task, Name string
	// Attempt counts from 1 within the nearest enclosing try.
	Attempt int
	// Kind says which of the following fields is set.
	Kind CallKind
	// Function is the name of a function of a catalog, such as slack.send_message; Arguments are its arguments.
	Function  string
	Arguments map[string]any
	HTTP      *HTTPRequest
	OpenAPI   *OpenAPIRequest
	// Message is the CloudEvent to publish; it is also the call's output.
	Message  map[string]any
	Workflow *ChildWorkflow
	// Started: the start of this call is recorded (CallStarted) and no result is. After a crash it is unknown whether
	// the call was made; CallUnknown ends it according to OnUnknown.
	Started bool
	// Compensation: the call belongs to a compensation.
	Compensation bool
	// OnUnknown is the policy that the task declares: language.UnknownFail, UnknownRetry or UnknownAsk.
	OnUnknown string
	// Deadline is when the earliest enclosing timeout ends the call; zero without one.
	Deadline time.Time
	// Fault is set when the arguments can no longer be evaluated, for example because a secret was deleted. Such a call
	// must not be made: return the error as its outcome.
	Fault *Error
}

// FunctionApproval is the function that requests an approval from a person. Its output contains the decision.
const FunctionApproval = "approval.request"

// External reports whether the call is started and later ended from outside: an approval, or an awaited child workflow.
// It occupies nothing in between.
func (c *Call) External() bool {
	return c.Function == FunctionApproval || c.Workflow != nil && c.Workflow.Await
}

// CallKind distinguishes calls.
type CallKind string

// The kinds of calls.
const (
	CallFunction CallKind = "function"
	CallHTTP     CallKind = "http"
	CallOpenAPI  CallKind = "openapi"
	CallEmit     CallKind = "emit"
	CallWorkflow CallKind = "workflow"
)

// ChildWorkflow is a workflow to start. Its execution uses the call's Key as its identity. The call's output is the
// child's; if Await is false the call is done once the child has started, and its output is ignored.
type ChildWorkflow struct {
	Namespace, Name, Version string
	Input                    any
	Await                    bool
}

// callID is the ID of a run's call. The approval request that asks whether to repeat a call has its own ID.
func callID(run *Run) string {
	if run.ApprovalRequested {
		return strconv.Itoa(run.ID) + ":asked"
	}
	return strconv.Itoa(run.ID)
}

// Calls are the calls that are scheduled, have no result and are built; none while the execution is suspended or ended. It evaluates
// nothing: a call that is not built yet is left out, and Settled is false. The caller recognises calls in flight by their IDs.
func (x *Execution) Calls() (calls []*Call) {
	if x.state.Status != Running {
		return nil
	}
	for _, run := range x.state.Runs {
		if run.awaitsCall() && run.call != nil {
			run.call.Started = run.StartRecorded
			calls = append(calls, run.call)
		}
	}
	return calls
}

// Awaited are all calls that are scheduled and have no result, also while the execution is suspended. It evaluates nothing: a call that
// is not built yet has no arguments, only what identifies it (ID, Key, Task, Kind, Function, and the name of a child workflow), its
// Attempt, Deadline and Started.
func (x *Execution) Awaited() (calls []*Call) {
	for _, run := range x.state.Runs {
		if !run.awaitsCall() {
			continue
		}
		call := run.call
		if call == nil {
			call = x.calls.identity(run)
		}
		call.Started = run.StartRecorded
		calls = append(calls, call)
	}
	return calls
}
