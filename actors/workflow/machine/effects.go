package machine

import (
	"strconv"
	"strings"
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

// external is Call.External without the call.
func (x *Execution) external(run *Run) bool {
	task := x.def.Task(run.Task)
	return run.Asking || task.Call != nil && task.Call.Function == FunctionApproval ||
		task.Run != nil && task.Run.Workflow != nil && task.Run.Await
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

// Timer is a time that an execution waits for.
type Timer struct {
	ID string
	At time.Time
}

const (
	timerWait    = "wait"
	timerRetry   = "retry"
	timerAttempt = "attempt"
	timerTask    = "timeout"
)

// timers are the times that a run waits for, by kind.
func (r *Run) timers() map[string]time.Time {
	timers := map[string]time.Time{}
	switch {
	case r.Phase == PhaseWaiting:
		timers[timerWait] = r.Due
	case r.Phase == PhaseRetrying:
		timers[timerRetry] = r.Due
	case !r.AttemptDue.IsZero() && r.Phase == PhaseRunning:
		timers[timerAttempt] = r.AttemptDue
	}
	if !r.Deadline.IsZero() {
		timers[timerTask] = r.Deadline
	}
	return timers
}

// timerID names a timer; a try's own names carry the attempt, so that an old one never fires for a new attempt.
func timerID(kind string, run *Run) string {
	id := kind + ":" + strconv.Itoa(run.ID)
	if run.Tries > 0 && kind != timerTask {
		id += ":" + strconv.Itoa(run.Tries)
	}
	return id
}

func splitTimer(id string) (kind string, run int) {
	kind, rest, _ := strings.Cut(id, ":")
	rest, _, _ = strings.Cut(rest, ":")
	return kind, number(rest)
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return value
}

// callID names a call; the question about a call has a name of its own.
func callID(run *Run) string {
	if run.Asking {
		return strconv.Itoa(run.ID) + ":asked"
	}
	return strconv.Itoa(run.ID)
}

// Timers are the times that the execution waits for now; none while it is suspended or ended.
func (x *Execution) Timers() []Timer {
	if x.state.Status != Running {
		return nil
	}
	var timers []Timer
	for _, run := range x.state.Runs {
		for _, kind := range []string{timerWait, timerRetry, timerAttempt, timerTask} {
			if due, ok := run.timers()[kind]; ok {
				timers = append(timers, Timer{ID: timerID(kind, run), At: due})
			}
		}
	}
	return timers
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
			run.call = x.open(run)
		}
		run.call.Started = run.Begun
		calls = append(calls, run.call)
	}
	return calls
}

// open makes a call anew from what is known. It was evaluated before it was scheduled; only a secret that is gone since
// makes it fail now.
func (x *Execution) open(run *Run) *Call {
	if run.Asking {
		return x.question(run)
	}
	call, err := x.prepare(run)
	if err != nil {
		call = x.callOf(run, CallFunction)
		call.Fault = x.problem(err, run.Task)
	}
	return call
}

func (x *Execution) callOf(run *Run, kind CallKind) *Call {
	task := x.def.Task(run.Task)
	call := &Call{ID: callID(run), OnUnknown: task.OnUnknown, Key: x.state.Execution + run.Key, Task: run.Task, Name: task.Name,
		Attempt: max(run.Attempt, 1), Kind: kind}
	for at := run; ; at = x.state.run(at.Parent) {
		for _, due := range []time.Time{at.Deadline, at.AttemptDue} {
			if !due.IsZero() && (call.Deadline.IsZero() || due.Before(call.Deadline)) {
				call.Deadline = due
			}
		}
		if at.ID == 0 {
			return call
		}
	}
}
