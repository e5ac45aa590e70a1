package machine

import "time"

// Outcome is something that happened outside of the machine, passed to Handle.
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
	outcomeCallCompleted outcomeKind = iota
	outcomeCallFailed
	outcomeTimerDue
	outcomeEventDelivered
	outcomeEventArrived
	outcomeCallStarted
	outcomeCallUnknown
	outcomeCancel
	outcomeTerminate
	outcomeSuspend
	outcomeResume
)

// EndsCall reports whether the outcome is the result of a call.
func (o Outcome) EndsCall() bool {
	return o.kind == outcomeCallCompleted || o.kind == outcomeCallFailed
}

// Resumes reports whether the outcome is that of Resume.
func (o Outcome) Resumes() bool { return o.kind == outcomeResume }

// Ends reports whether the outcome is that of Cancel or Terminate.
func (o Outcome) Ends() bool { return o.kind == outcomeCancel || o.kind == outcomeTerminate }

// CallDone is the output of the call with that ID (Call.ID): a JSON value of maps, lists and scalars. The execution
// takes ownership of it and may change it.
func CallDone(id string, output any, at time.Time) Outcome {
	return Outcome{kind: outcomeCallCompleted, id: id, value: output, at: at}
}

// CallFault is the failure of a call. An empty Instance is set to the task's pointer.
func CallFault(id string, err *Error, at time.Time) Outcome {
	return Outcome{kind: outcomeCallFailed, id: id, failure: err, at: at}
}

// TimerDue says that a timer (Timer.ID) is due. It has no effect before the timer's time.
func TimerDue(id string, at time.Time) Outcome { return Outcome{kind: outcomeTimerDue, id: id, at: at} }

// EventArrived delivers a CloudEvent, in its JSON form, to every listener that wants it. Each listener consumes an
// event once, identified by its source and id, however often it is delivered. The event is only read, so executions may
// share it, provided its numbers have the forms that language.Decode returns.
func EventArrived(event map[string]any, at time.Time) Outcome {
	return Outcome{kind: outcomeEventArrived, value: event, at: at}
}

// MessageReceived delivers a CloudEvent to the one listener with that ID. An event that it does not want has no effect.
func MessageReceived(subscription string, event map[string]any, at time.Time) Outcome {
	return Outcome{kind: outcomeEventDelivered, id: subscription, value: event, at: at}
}

// Cancel ends the execution after the tasks that declare a compensation have been compensated. The caller should cancel
// calls in flight; their results are ignored.
func Cancel(reason string, at time.Time) Outcome {
	return Outcome{kind: outcomeCancel, reason: reason, at: at}
}

// Terminate ends the execution at once, without compensation.
func Terminate(reason string, at time.Time) Outcome {
	return Outcome{kind: outcomeTerminate, reason: reason, at: at}
}

// Suspend stops new effects. Results of calls in flight are still recorded; timers wait for Resume.
func Suspend(reason string, at time.Time) Outcome {
	return Outcome{kind: outcomeSuspend, reason: reason, at: at}
}

// Resume continues a suspended execution.
func Resume(at time.Time) Outcome { return Outcome{kind: outcomeResume, at: at} }

// CallStarted says that a call is about to be made. A call that must not be made twice is recorded this way first: the
// caller passes CallStarted to Handle, appends the event, and then makes the call. It has no effect if the start is
// already recorded.
func CallStarted(id string, at time.Time) Outcome {
	return Outcome{kind: outcomeCallStarted, id: id, at: at}
}

// CallUnknown says that the result of a call with a recorded start is unknown, as after a crash. The task's
// metadata.onUnknown decides what follows: fail (the default) ends the call with an error of TypeUnknown, retry makes
// it again, ask requests an approval (FunctionApproval) to repeat it.
func CallUnknown(id string, at time.Time) Outcome {
	return Outcome{kind: outcomeCallUnknown, id: id, at: at}
}

// TypeUnknown is the error type of a call that may have been made and whose result is unknown.
const TypeUnknown = "urn:weft:error:unknown-outcome"
