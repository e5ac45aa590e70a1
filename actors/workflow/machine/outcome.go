package machine

import "time"

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

// CallStarted tells that a call is about to be made. It changes nothing where that is known already.
func CallStarted(id string, at time.Time) Outcome {
	return Outcome{kind: outcomeStarted, id: id, at: at}
}

// CallUnknown tells that nobody knows what came of a call whose start is recorded.
func CallUnknown(id string, at time.Time) Outcome {
	return Outcome{kind: outcomeUnknown, id: id, at: at}
}

// TypeUnknown is the error of a call that may have been made and whose result nobody knows.
const TypeUnknown = "urn:weft:error:unknown-outcome"
