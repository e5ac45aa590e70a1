package machine

import (
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// Outcome is something that happened outside of the machine.
type Outcome struct {
	kind    outcomeKind
	at      time.Time
	id      string
	value   any
	failure *Error
	reason  string
}

type outcomeKind int

const (
	outcomeCompleted outcomeKind = iota
	outcomeFailed
	outcomeTimer
	outcomeMessage
	outcomeArrived
	outcomeStarted
	outcomeUnknown
	outcomeCancel
	outcomeTerminate
	outcomeSuspend
	outcomeResume
)

// CallDone tells that the call of that ID (Call.ID) gave an output: a JSON value of maps, lists and scalars, which
// the execution takes over and may change.
func CallDone(id string, output any, at time.Time) Outcome {
	return Outcome{kind: outcomeCompleted, id: id, value: output, at: at}
}

// CallFault tells that a call failed. An empty Instance is set to the task's pointer.
func CallFault(id string, err *Error, at time.Time) Outcome {
	return Outcome{kind: outcomeFailed, id: id, failure: err, at: at}
}

// TimerDue tells that a timer (Timer.ID) has come; before its time, nothing happens.
func TimerDue(id string, at time.Time) Outcome { return Outcome{kind: outcomeTimer, id: id, at: at} }

// EventArrived tells that a CloudEvent came, in its JSON form: every listener that wants it takes it, and takes it once,
// however often it is told (by the event's source and id). The event is read and not changed, so that executions may
// share it, if its numbers are as language.Decode gives them.
func EventArrived(event map[string]any, at time.Time) Outcome {
	return Outcome{kind: outcomeArrived, value: event, at: at}
}

// MessageReceived hands a CloudEvent to the one listener of that ID. One that it does not want changes nothing.
func MessageReceived(subscription string, event map[string]any, at time.Time) Outcome {
	return Outcome{kind: outcomeMessage, id: subscription, value: event, at: at}
}

// Cancel ends the execution, once the tasks that declare a compensation are compensated. Calls in flight should be
// told; their results are ignored.
func Cancel(reason string, at time.Time) Outcome {
	return Outcome{kind: outcomeCancel, reason: reason, at: at}
}

// Terminate ends the execution at once, with nothing compensated.
func Terminate(reason string, at time.Time) Outcome {
	return Outcome{kind: outcomeTerminate, reason: reason, at: at}
}

// Suspend stops new effects. The results of calls in flight are still recorded; timers wait for Resume.
func Suspend(reason string, at time.Time) Outcome {
	return Outcome{kind: outcomeSuspend, reason: reason, at: at}
}

// Resume lets a suspended execution go on.
func Resume(at time.Time) Outcome { return Outcome{kind: outcomeResume, at: at} }

// Handle takes an outcome in and decides what follows. It returns the events of the turn, already applied, and none
// when nothing waits for the outcome: a call that is done or cancelled, a timer before its time, an ended execution.
func (x *Execution) Handle(outcome Outcome) []Event {
	if x.state.Sequence == 0 || x.state.Status.Ended() {
		return nil
	}
	if outcome.kind == outcomeArrived {
		for _, event := range x.arrived(outcome.value) {
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
		return x.acceptMessage(o)
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
		failure.Title, failure.Detail = x.maskText(failure.Title), x.maskText(failure.Detail)
		return Event{Type: CallFailed, Run: run.ID, Error: &failure}, true
	}
	return Event{Type: CallCompleted, Run: run.ID, Output: Of(x.mask(language.Normalize(o.value)))}, true
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
		event.AttemptDue = x.attemptDue(run, o.at)
	}
	return event, true
}
