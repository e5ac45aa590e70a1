package machine

import (
	"fmt"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// reducer applies events to the state of an execution.
type reducer struct {
	def   *language.Workflow
	state *State
}

// apply applies one event of a weight and advances the sequence.
func (r *reducer) apply(event *Event, weight int) error {
	s := r.state
	if event.Sequence != s.Sequence+1 {
		return fmt.Errorf("applying event %d of type %s: event %d is expected", event.Sequence, event.Type, s.Sequence+1)
	}
	if event.Version != EventVersion {
		return fmt.Errorf("applying event %d: version %d is not known", event.Sequence, event.Version)
	}
	if !r.applyExecution(event) {
		run := s.run(event.Run)
		if event.Type == TaskStarted || event.Type == TaskSkipped || event.Type == TaskCompensating {
			run = s.run(event.Parent)
		}
		if run == nil || !r.applyTask(run, event) {
			return fmt.Errorf("applying event %d of type %s: task run %d is not open", event.Sequence, event.Type, event.Run)
		}
		run.waits = false
		if event.Context.Set { // what listeners wait for may depend on it
			s.wakeAll()
		}
	}
	s.Sequence = event.Sequence
	s.Bytes += weight
	s.Steps += event.Steps
	return nil
}

// applyExecution applies the events that concern the execution as a whole. It returns false for any other event.
func (r *reducer) applyExecution(event *Event) bool {
	s := r.state
	switch event.Type {
	case ExecutionStarted:
		r.applyStart(event)
	case ExecutionCompleted:
		s.Status, s.Output = Completed, event.Output
	case ExecutionFaulted:
		s.Status, s.Error = Faulted, event.Error
	case ExecutionCancelled:
		s.Status = Cancelled
	case ExecutionSuspended:
		s.Status = Suspended
	case ExecutionResumed:
		s.Status = Running
	case CompensationStarted:
		r.applyCompensation(event)
	default:
		return false
	}
	if s.Status.Ended() {
		s.EndedAt, s.Runs, s.Arrivals, s.Compensable, s.Ending = event.At, nil, nil, nil, nil
	}
	return true
}

func (r *reducer) applyStart(event *Event) {
	root := &Run{Phase: PhaseRunning, StartedAt: event.At, Input: event.Input.V, Fault: event.Error}
	if event.Data.Set {
		root.Input = event.Data.V
	}
	if event.Deadline != nil {
		root.Deadline = *event.Deadline
	}
	root.Data = root.Input
	*r.state = State{Execution: event.Execution, Status: Running, Input: event.Input, StartedAt: event.At, NextRun: 1,
		Runs: []*Run{root}, Context: ValueOf(root.Input)}
	if event.Definition != nil {
		r.state.Definition = *event.Definition
	}
}

func (r *reducer) applyCompensation(event *Event) {
	s := r.state
	root := s.Runs[0]
	s.closeRuns(0, false)
	s.Status, s.Ending = Running, &Ending{Error: event.Error, Reason: event.Reason}
	root.Phase, root.Fault, root.OwnFault, root.Deadline, root.waits = PhaseCompensating, nil, false, zeroTime, false
}

func (r *reducer) applyCompensating(event *Event) {
	s := r.state
	last := len(s.Compensable) - 1
	undo := s.Compensable[last]
	s.Compensable = s.Compensable[:last]
	s.Runs = append(s.Runs, &Run{ID: event.Run, Task: event.Task, Key: event.Key, Phase: PhaseCompensating, StartedAt: event.At,
		Input: map[string]any{"input": undo.Input, "output": undo.Output}, Data: undo.Output, Index: -1})
	s.Runs[0].children++
	s.NextRun = event.Run + 1
}

// recordCompensable records a completed task that declares a compensation.
func (r *reducer) recordCompensable(run *Run, output any) {
	if task := r.def.Task(run.Task); len(task.Compensate) > 0 && r.state.Ending == nil {
		r.state.Compensable = append(r.state.Compensable, Compensable{Task: run.Task, Key: run.Key, Input: run.Input, Output: output})
	}
}

// endCompensation ends the compensation that contains a run, as `then: end` requests. Other compensations still run.
func (r *reducer) endCompensation(run *Run, output any) {
	for run.Phase != PhaseCompensating {
		run = r.state.run(run.Parent)
	}
	r.state.closeRuns(run.ID, false)
	run.Data, run.Exited, run.waits = output, true, false
}
