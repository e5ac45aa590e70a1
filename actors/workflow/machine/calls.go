package machine

import (
	"strconv"
	"time"
)

// Call is a call that is to be made, or is being made. What it carries besides ID and Key is evaluated anew after a
// restart, from the same data, and is not in the log.
type Call struct {
	// ID tells this call from any other of the execution; outcomes name it.
	ID string
	// Key is the execution's id and the path of the task with its iterations: the same over attempts and restarts,
	// so it can serve as an idempotency key.
	Key string
	// Task is the pointer of the task, Name its name.
	Task, Name string
	// Attempt counts from 1 within the nearest enclosing try.
	Attempt int
	// Kind says which of the following is set.
	Kind CallKind
	// Function is the name of a catalog's function, such as slack.send_message, Arguments what it is called with.
	Function  string
	Arguments map[string]any
	HTTP      *HTTPRequest
	OpenAPI   *OpenAPIRequest
	// Message is the CloudEvent to publish; it is the call's output as well.
	Message  map[string]any
	Workflow *ChildWorkflow
	// Started: the intent to make this call was recorded (CallStarted) and no outcome was. Whoever takes the execution up
	// after a crash cannot tell whether it was made; CallUnknown ends it by OnUnknown.
	Started bool
	// OnUnknown is the policy that the task declares: language.UnknownFail, UnknownRetry or UnknownAsk.
	OnUnknown string
	// Deadline is when an enclosing timeout ends the call; zero when there is none.
	Deadline time.Time
	// Fault is set when the arguments cannot be evaluated any more, as without a secret that is gone. Such a call is
	// not to be made: hand the error back as its outcome.
	Fault *Error
}

// FunctionApproval is the function that asks a person. Its output tells the decision.
const FunctionApproval = "approval.request"

// External tells whether the call is begun and then ended from outside, however much later: an approval, or a child
// that is waited for. It holds nothing meanwhile.
func (c *Call) External() bool {
	return c.Function == FunctionApproval || c.Workflow != nil && c.Workflow.Await
}

// CallKind tells calls apart.
type CallKind string

// The kinds of calls.
const (
	CallFunction CallKind = "function"
	CallHTTP     CallKind = "http"
	CallOpenAPI  CallKind = "openapi"
	CallEmit     CallKind = "emit"
	CallWorkflow CallKind = "workflow"
)

// ChildWorkflow is a workflow to start. Its execution takes the call's Key as its identity. The call's output is
// the child's; when Await is false the call is done once the child is started, and its output is ignored.
type ChildWorkflow struct {
	Namespace, Name, Version string
	Input                    any
	Await                    bool
}

// callID names a call; the question about a call has a name of its own.
func callID(run *Run) string {
	if run.Asking {
		return strconv.Itoa(run.ID) + ":asked"
	}
	return strconv.Itoa(run.ID)
}

// Calls are the calls that are scheduled and have no result; none while the execution is suspended or ended. A caller
// that has one in flight already knows it by its ID.
func (x *Execution) Calls() []*Call {
	if x.state.Status != Running {
		return nil
	}
	return x.Awaited()
}

// Awaited are the calls that are scheduled and have no result, while the execution is suspended too.
func (x *Execution) Awaited() (calls []*Call) {
	for _, run := range x.state.Runs {
		if run.Phase != PhaseCalling || run.Fault != nil {
			continue
		}
		if run.call == nil {
			run.call = x.calls.open(run)
		}
		run.call.Started = run.Begun
		calls = append(calls, run.call)
	}
	return calls
}
