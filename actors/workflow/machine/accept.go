package machine

import (
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// Handle records an outcome and decides what follows, within the slice. It returns the events of the transition, already applied. It
// returns none when nothing waits for the outcome: a call that has ended, a timer that is not due, an ended execution; and none if
// Deferred.
func (x *Execution) Handle(outcome Outcome) []Event {
	x.deferred = false
	if x.state.Sequence == 0 || x.state.Status.Ended() {
		return nil
	}
	x.meter.begin()
	if x.deferred = !x.record(outcome); x.deferred {
		return nil
	}
	if len(x.transition) > 0 {
		x.decide(outcome.at)
	}
	return x.takeTransition()
}

// record emits the events that record an outcome. It returns false where the slice does not suffice.
func (x *Execution) record(outcome Outcome) bool {
	if !x.meter.open() {
		return false
	}
	var events []Event
	event, ok := Event{}, false
	if outcome.kind == outcomeEventArrived || outcome.kind == outcomeEventDelivered {
		events = x.consumer.deliver(outcome)
	} else {
		event, ok = x.accept(outcome)
	}
	if x.meter.cut() {
		return false
	}
	x.meter.close()
	if ok {
		x.emit(&event, x.meter.weigh(&event), outcome.at)
	}
	for i := range events {
		if !x.state.Status.Ended() && x.state.run(events[i].Run) != nil { // not by an earlier one
			x.emit(&events[i], events[i].weigh(MaxEventBytes).weight, outcome.at)
		}
	}
	if len(x.transition) == 0 && x.overdrawn() {
		weight := x.end(&event, tooManySteps)
		x.emit(&event, weight, outcome.at)
	}
	return true
}

// accept returns the event that records an outcome; false when the outcome changes nothing.
func (x *Execution) accept(o Outcome) (Event, bool) {
	suspended := x.state.Status == Suspended
	switch o.kind {
	case outcomeCancel:
		return x.acceptCancel(o.reason)
	case outcomeTerminate:
		return Event{Type: ExecutionCancelled, Reason: o.reason}, true
	case outcomeSuspend:
		return Event{Type: ExecutionSuspended, Reason: o.reason}, !suspended
	case outcomeResume:
		return Event{Type: ExecutionResumed}, suspended
	case outcomeCallCompleted, outcomeCallFailed:
		return x.acceptCall(o)
	case outcomeTimerDue:
		if suspended {
			return Event{}, false
		}
		return x.acceptTimer(o)
	case outcomeCallStarted:
		return x.acceptStarted(o)
	case outcomeCallUnknown:
		return x.acceptUnknown(o)
	}
	return Event{}, false
}

func (x *Execution) acceptCall(o Outcome) (Event, bool) {
	run := x.callingRun(o.id)
	if run == nil {
		return Event{}, false
	}
	if run.ApprovalRequested {
		return x.acceptApproval(run, o), true
	}
	if o.kind == outcomeCallFailed {
		failure := *o.failure
		if failure.Instance == "" {
			failure.Instance = run.Task
		}
		return Event{Type: CallFailed, Run: run.ID, Error: x.secrets.failure(x.def.Task(run.Task), failure)}, true
	}
	if unread := x.secrets.ready(); unread != nil { // what came back cannot be masked
		unread.Instance = run.Task
		return Event{Type: CallFailed, Run: run.ID, Error: unread}, true
	}
	output, failure := x.meter.admit(o.value, "the output of the call")
	if failure != nil {
		failure.Instance = run.Task
		return Event{Type: CallFailed, Run: run.ID, Error: failure}, true
	}
	output = x.secrets.mask(output)
	if task := x.def.Task(run.Task); task.Kind == language.KindRun && task.Run.Await && task.Run.Return == "none" {
		output = nil // the log does not keep it either
	}
	return Event{Type: CallCompleted, Run: run.ID, Output: ValueOf(output)}, true
}

func (x *Execution) acceptTimer(o Outcome) (Event, bool) {
	kind, id := splitTimer(o.id)
	run := x.state.run(id)
	if run == nil {
		return Event{}, false
	}
	due, waits := run.timer(kind)
	if !waits || timerID(kind, run) != o.id || o.at.Before(due) {
		return Event{}, false
	}
	event := Event{Type: TimerFired, Run: run.ID, Timer: o.id}
	switch kind {
	case timerTask:
		event.Error = NewError(TypeTimeout, "the timeout elapsed")
		event.Error.Instance = run.Task
	case timerAttempt:
		event.Error = NewError(TypeTimeout, "the attempt timed out")
		event.Error.Instance = run.Task
	case timerRetry:
		event.AttemptDue = x.eval.attemptDue(run, o.at)
	}
	return event, true
}

// callingRun is the run whose open call has that ID, or nil.
func (x *Execution) callingRun(id string) *Run {
	text, _, _ := strings.Cut(id, ":")
	run := x.state.run(parseID(text))
	if run == nil || run.Phase != PhaseCalling || run.Fault != nil || callID(run) != id {
		return nil
	}
	return run
}

func (x *Execution) acceptStarted(o Outcome) (Event, bool) {
	run := x.callingRun(o.id)
	if run == nil || run.StartRecorded || run.ApprovalRequested {
		return Event{}, false
	}
	return Event{Type: CallStartRecorded, Run: run.ID, Task: run.Task, Key: run.Key, Attempt: run.Attempt}, true
}

func (x *Execution) acceptUnknown(o Outcome) (Event, bool) {
	run := x.callingRun(o.id)
	if run == nil || !run.StartRecorded || run.ApprovalRequested {
		return Event{}, false
	}
	switch x.def.Task(run.Task).OnUnknown {
	case language.UnknownRetry:
		return x.reschedule(run, Value{}), true
	case language.UnknownAsk:
		return Event{Type: CallApprovalRequested, Run: run.ID, Task: run.Task, Key: run.Key}, true
	}
	return unknownOutcome(run), true
}

// reschedule schedules an open call again. decision is the approval that led to it, if any.
func (x *Execution) reschedule(run *Run, decision Value) Event {
	return Event{Type: CallScheduled, Run: run.ID, Task: run.Task, Name: x.def.Task(run.Task).Name, Key: run.Key,
		Attempt: run.Attempt, Output: decision, Reason: "unknown"}
}

// acceptApproval records the decision on repeating a call whose result is unknown.
func (x *Execution) acceptApproval(run *Run, o Outcome) Event {
	value, _ := x.meter.admit(o.value, "the decision")
	output, _ := value.(map[string]any)
	if decision := output["decision"]; o.kind == outcomeCallCompleted && (decision == "approve" || decision == "approved") {
		return x.reschedule(run, ValueOf(output))
	}
	event := unknownOutcome(run)
	if output != nil {
		event.Output = ValueOf(output)
	}
	return event
}

func unknownOutcome(run *Run) Event {
	failure := &Error{Type: TypeUnknown, Status: 500, Title: "Unknown Outcome",
		Detail: "the call may have been made; its result is unknown", Instance: run.Task}
	return Event{Type: CallFailed, Run: run.ID, Error: failure}
}

// acceptCancel records a cancellation: the execution ends at once, or after its compensations.
func (x *Execution) acceptCancel(reason string) (Event, bool) {
	switch {
	case x.state.Ending != nil:
		return Event{}, false // it is already ending
	case x.state.mustCompensate():
		return Event{Type: CompensationStarted, Reason: reason}, true
	}
	return Event{Type: ExecutionCancelled, Reason: reason}, true
}
