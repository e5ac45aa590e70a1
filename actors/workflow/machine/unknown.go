package machine

import (
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// A call that must not be made twice is recorded before it is made: the caller hands in CallStarted, appends what it
// yields, and then acts. After a crash, Call.Started tells that the call may have been made and that nobody knows what
// came of it. The caller hands in CallUnknown, and the task's metadata.onUnknown decides: fail (the default) ends the
// call with an error of TypeUnknown, retry makes it again, ask leaves that to a person by FunctionApproval.

// TypeUnknown is the error of a call that may have been made and whose result nobody knows.
const TypeUnknown = "urn:weft:error:unknown-outcome"

// CallStarted tells that a call is about to be made. It changes nothing where that is known already.
func CallStarted(id string, at time.Time) Outcome {
	return Outcome{kind: outcomeStarted, id: id, at: at}
}

// CallUnknown tells that nobody knows what came of a call whose start is recorded.
func CallUnknown(id string, at time.Time) Outcome {
	return Outcome{kind: outcomeUnknown, id: id, at: at}
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

func unknown(run *Run) Event {
	failure := &Error{Type: TypeUnknown, Status: 500, Title: "Unknown Outcome",
		Detail: "the call may have been made, and nobody knows what came of it", Instance: run.Task}
	return Event{Type: CallFailed, Run: run.ID, Error: failure}
}

// question is the approval that stands in for a call nobody knows about: approved, the call is made again.
func (x *Execution) question(run *Run) *Call {
	call := x.callOf(run, CallFunction)
	call.Key += "/unknown"
	call.Function = FunctionApproval
	call.Arguments = map[string]any{
		"title": "Make the call of " + call.Name + " again?",
		"body": "The process that made it died, and nobody knows whether it was made. Approve to make it again; " +
			"reject to end it with an error.",
	}
	return call
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
