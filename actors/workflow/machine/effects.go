package machine

import (
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
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
	// Deadline is when an enclosing timeout ends the call; zero when there is none.
	Deadline time.Time
	// Fault is set when the arguments cannot be evaluated any more, as without a secret that is gone. Such a call is
	// not to be made: hand the error back as its outcome.
	Fault *Error
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

// Subscription is a wait for events.
type Subscription struct {
	ID   string
	Task string
	// Filters are the attributes that select events, as in the definition; none means every event. A caller may
	// use literal types and sources to route; MessageReceived decides.
	Filters []map[string]any
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
	var calls []*Call
	for _, run := range x.state.Runs {
		if run.Phase != PhaseCalling || run.Fault != nil {
			continue
		}
		if run.call == nil {
			// It was evaluated before it was scheduled; only a secret that is gone since makes it fail now.
			call, err := x.prepare(run)
			if err != nil {
				call = x.callOf(run, CallFunction)
				call.Fault = x.problem(err, run.Task)
			}
			run.call = call
		}
		calls = append(calls, run.call)
	}
	return calls
}

// Subscriptions are the waits for events. A suspended execution still takes events in.
func (x *Execution) Subscriptions() []Subscription {
	if x.state.Status.Ended() {
		return nil
	}
	var subscriptions []Subscription
	for _, run := range x.state.Runs {
		if run.Phase != PhaseListening {
			continue
		}
		to := &x.def.Task(run.Task).Listen.To
		subscription := Subscription{ID: strconv.Itoa(run.ID), Task: run.Task}
		for _, filter := range to.Filters {
			subscription.Filters = append(subscription.Filters, filter.With)
		}
		if to.Until != nil && len(to.Filters) > 0 {
			for _, filter := range to.Until.Filters {
				subscription.Filters = append(subscription.Filters, filter.With)
			}
		}
		subscriptions = append(subscriptions, subscription)
	}
	return subscriptions
}

func (x *Execution) callOf(run *Run, kind CallKind) *Call {
	task := x.def.Task(run.Task)
	call := &Call{ID: strconv.Itoa(run.ID), Key: x.state.Execution + run.Key, Task: run.Task, Name: task.Name,
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

func isFork(task *language.Task) bool { return task != nil && task.Kind == language.KindFork }
