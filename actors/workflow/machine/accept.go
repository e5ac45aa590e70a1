package machine

import (
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// Handle takes an outcome in and decides what follows. It returns the events of the turn, already applied, and none
// when nothing waits for the outcome: a call that is done or cancelled, a timer before its time, an ended execution.
func (x *Execution) Handle(outcome Outcome) []Event {
	if x.state.Sequence == 0 || x.state.Status.Ended() {
		return nil
	}
	if outcome.kind == outcomeArrived {
		for _, event := range x.consumer.arrived(outcome.value) {
			x.emit(event, outcome.at)
		}
	} else if event, ok := x.accept(outcome); ok {
		x.emit(event, outcome.at)
	}
	if len(x.turn) > 0 {
		x.decide(outcome.at)
	}
	return x.take()
}

// accept turns an outcome into the event that records it.
func (x *Execution) accept(o Outcome) (Event, bool) {
	suspended := x.state.Status == Suspended
	switch o.kind {
	case outcomeCancel:
		return x.cancelled(o.reason)
	case outcomeTerminate:
		return Event{Type: ExecutionCancelled, Reason: o.reason}, true
	case outcomeSuspend:
		return Event{Type: ExecutionSuspended, Reason: o.reason}, !suspended
	case outcomeResume:
		return Event{Type: ExecutionResumed}, suspended
	case outcomeCompleted, outcomeFailed:
		return x.acceptCall(o)
	case outcomeTimer:
		if suspended {
			return Event{}, false
		}
		return x.acceptTimer(o)
	case outcomeStarted:
		return x.acceptStarted(o)
	case outcomeUnknown:
		return x.acceptUnknown(o)
	case outcomeMessage:
		return x.consumer.acceptMessage(o)
	}
	return Event{}, false
}

func (x *Execution) acceptCall(o Outcome) (Event, bool) {
	run := x.called(o.id)
	if run == nil {
		return Event{}, false
	}
	if run.Asking {
		return x.answered(run, o), true
	}
	if o.kind == outcomeFailed {
		failure := *o.failure
		if failure.Instance == "" {
			failure.Instance = run.Task
		}
		failure.Title, failure.Detail = x.secrets.maskText(failure.Title), x.secrets.maskText(failure.Detail)
		return Event{Type: CallFailed, Run: run.ID, Error: &failure}, true
	}
	return Event{Type: CallCompleted, Run: run.ID, Output: Of(x.secrets.mask(language.Normalize(o.value)))}, true
}

func (x *Execution) acceptTimer(o Outcome) (Event, bool) {
	kind, id := splitTimer(o.id)
	run := x.state.run(id)
	if run == nil {
		return Event{}, false
	}
	due, waits := run.timers()[kind]
	if !waits || timerID(kind, run) != o.id || o.at.Before(due) {
		return Event{}, false
	}
	event := Event{Type: TimerFired, Run: run.ID, Timer: o.id}
	switch kind {
	case timerTask:
		event.Error = NewError(TypeTimeout, "the time allowed is over")
		event.Error.Instance = run.Task
	case timerAttempt:
		event.Error = NewError(TypeTimeout, "the time allowed for one attempt is over")
		event.Error.Instance = run.Task
	case timerRetry:
		event.AttemptDue = x.eval.attemptDue(run, o.at)
	}
	return event, true
}

// called is the run whose call has that ID now, or nil.
func (x *Execution) called(id string) *Run {
	text, _, _ := strings.Cut(id, ":")
	run := x.state.run(number(text))
	if run == nil || run.Phase != PhaseCalling || run.Fault != nil || callID(run) != id {
		return nil
	}
	return run
}

func (x *Execution) acceptStarted(o Outcome) (Event, bool) {
	run := x.called(o.id)
	if run == nil || run.Begun || run.Asking {
		return Event{}, false
	}
	return Event{Type: CallIntended, Run: run.ID, Task: run.Task, Key: run.Key, Attempt: run.Attempt}, true
}

func (x *Execution) acceptUnknown(o Outcome) (Event, bool) {
	run := x.called(o.id)
	if run == nil || !run.Begun || run.Asking {
		return Event{}, false
	}
	switch x.def.Task(run.Task).OnUnknown {
	case language.UnknownRetry:
		return x.again(run, Value{}), true
	case language.UnknownAsk:
		return Event{Type: CallAsked, Run: run.ID, Task: run.Task, Key: run.Key}, true
	}
	return unknown(run), true
}

// again schedules a call that is open once more.
func (x *Execution) again(run *Run, decision Value) Event {
	return Event{Type: CallScheduled, Run: run.ID, Task: run.Task, Name: x.def.Task(run.Task).Name, Key: run.Key,
		Attempt: run.Attempt, Output: decision, Reason: "unknown"}
}

// answered takes in the answer to a question.
func (x *Execution) answered(run *Run, o Outcome) Event {
	output, _ := language.Normalize(o.value).(map[string]any)
	if decision := output["decision"]; o.kind == outcomeCompleted && (decision == "approve" || decision == "approved") {
		return x.again(run, Of(output))
	}
	event := unknown(run)
	if output != nil {
		event.Output = Of(output)
	}
	return event
}

func unknown(run *Run) Event {
	failure := &Error{Type: TypeUnknown, Status: 500, Title: "Unknown Outcome",
		Detail: "the call may have been made, and nobody knows what came of it", Instance: run.Task}
	return Event{Type: CallFailed, Run: run.ID, Error: failure}
}

// cancelled is the event that a cancel is recorded by: at once, or after what was done is undone.
func (x *Execution) cancelled(reason string) (Event, bool) {
	switch {
	case x.state.Ending != nil:
		return Event{}, false // it ends already
	case x.state.compensates():
		return Event{Type: CompensationStarted, Reason: reason}, true
	}
	return Event{Type: ExecutionCancelled, Reason: reason}, true
}
