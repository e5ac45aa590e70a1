package machine

import "time"

// A task that declares metadata.compensate, a list of tasks, is compensated once when the execution faults or is
// cancelled after the task completed. Compensations run one after the other, the task that completed last first. Their
// tasks see what is compensated as $compensate: {input, output}. One that fails does not keep the others from running.
// Then the execution ends as it would have.

// Undo is a completed task that is compensated if the execution does not complete.
type Undo struct {
	Task   string `json:"task"`
	Key    string `json:"key"`
	Input  any    `json:"input"`
	Output any    `json:"output"`
}

// Ending is how an execution ends once it is compensated: faulted with Error, or cancelled for Reason.
type Ending struct {
	Error  *Error `json:"error,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// compensationRuns are the task runs that are kept for compensations beyond MaxRuns.
const compensationRuns = 10_000

// most is the number of task runs that the execution may have now.
func (x *Execution) most() int {
	if x.state.Ending != nil {
		return MaxRuns + compensationRuns
	}
	return MaxRuns
}

// compensates tells whether something is to be compensated before the execution ends.
func (x *Execution) compensates() bool { return x.state.Ending == nil && len(x.state.Undo) > 0 }

// Compensating tells whether the execution has faulted or was cancelled and undoes what it did.
func (x *Execution) Compensating() bool { return x.state.Ending != nil }

// stepCompensation goes on with the compensation of one task; on the workflow itself it begins the next one.
func (x *Execution) stepCompensation(run *Run, now time.Time) (Event, bool) {
	if run.ID != 0 {
		return x.stepList(run, now)
	}
	s := &x.state
	if s.children(0) > 0 {
		return Event{}, false
	}
	if last := len(s.Undo) - 1; last >= 0 {
		undo := s.Undo[last]
		return Event{Type: TaskCompensating, Run: s.NextRun, Task: undo.Task, Name: x.def.Task(undo.Task).Name,
			Key: undo.Key + "/compensate"}, true
	}
	if s.Ending.Error != nil {
		return Event{Type: ExecutionFaulted, Error: s.Ending.Error}, true
	}
	return Event{Type: ExecutionCancelled, Reason: s.Ending.Reason}, true
}

// compensated ends the compensation of one task.
func (x *Execution) compensated(run *Run, failure *Error) Event {
	return Event{Type: TaskCompensated, Run: run.ID, Task: run.Task, Name: x.def.Task(run.Task).Name, Key: run.Key,
		Error: failure}
}

func (x *Execution) applyCompensation(event *Event) {
	s := &x.state
	root := s.Runs[0]
	s.drop(0, false)
	s.Status, s.Ending = Running, &Ending{Error: event.Error, Reason: event.Reason}
	root.Phase, root.Fault, root.Own, root.Deadline = PhaseCompensating, nil, false, zeroTime
}

func (x *Execution) applyCompensating(event *Event) {
	s := &x.state
	last := len(s.Undo) - 1
	undo := s.Undo[last]
	s.Undo = s.Undo[:last]
	s.Runs = append(s.Runs, &Run{ID: event.Run, Task: event.Task, Key: event.Key, Phase: PhaseCompensating, StartedAt: event.At,
		Input: map[string]any{"input": undo.Input, "output": undo.Output}, Data: undo.Output, Index: -1})
	s.NextRun = event.Run + 1
}

// noteUndo remembers a completed task that declares a compensation.
func (x *Execution) noteUndo(run *Run, output any) {
	if task := x.def.Task(run.Task); len(task.Compensate) > 0 && x.state.Ending == nil {
		x.state.Undo = append(x.state.Undo, Undo{Task: run.Task, Key: run.Key, Input: run.Input, Output: output})
	}
}

// endCompensation ends the compensation that a run belongs to, as `then: end` asks: that one, and not the others.
func (x *Execution) endCompensation(run *Run, output any) {
	for run.Phase != PhaseCompensating {
		run = x.state.run(run.Parent)
	}
	x.state.drop(run.ID, false)
	run.Data, run.Exited = output, true
}

// cancelled is the event that a cancel is recorded by: at once, or after what was done is undone.
func (x *Execution) cancelled(reason string) (Event, bool) {
	switch {
	case x.state.Ending != nil:
		return Event{}, false // it ends already
	case x.compensates():
		return Event{Type: CompensationStarted, Reason: reason}, true
	}
	return Event{Type: ExecutionCancelled, Reason: reason}, true
}
