package machine

import (
	"fmt"
	"strconv"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// Apply folds one event into the execution. Events come in sequence; one that was applied already is an error, and
// so is one of a newer version.
func (x *Execution) Apply(event Event) error { return x.apply(&event) }

func (x *Execution) apply(event *Event) error {
	s := &x.state
	if event.Sequence != s.Sequence+1 {
		return fmt.Errorf("applying event %d of type %s: event %d is expected", event.Sequence, event.Type, s.Sequence+1)
	}
	if event.Version != EventVersion {
		return fmt.Errorf("applying event %d: version %d is not known", event.Sequence, event.Version)
	}
	if !x.applyExecution(event) {
		run := s.run(event.Run)
		if event.Type == TaskStarted || event.Type == TaskSkipped || event.Type == TaskCompensating {
			run = s.run(event.Parent)
		}
		if run == nil || !x.applyTask(run, event) {
			return fmt.Errorf("applying event %d of type %s: task run %d is not open", event.Sequence, event.Type, event.Run)
		}
	}
	s.Sequence = event.Sequence
	return nil
}

// applyExecution folds what is about the execution as a whole.
func (x *Execution) applyExecution(event *Event) bool {
	s := &x.state
	switch event.Type {
	case ExecutionStarted:
		x.applyStart(event)
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
		x.applyCompensation(event)
	default:
		return false
	}
	if s.Status.Ended() {
		s.EndedAt, s.Runs, s.Arrivals, s.Undo, s.Ending = event.At, nil, nil, nil, nil
	}
	return true
}

func (x *Execution) applyStart(event *Event) {
	root := &Run{Phase: PhaseRunning, StartedAt: event.At, Input: event.Input.V, Fault: event.Error}
	if event.Data.Set {
		root.Input = event.Data.V
	}
	if event.Deadline != nil {
		root.Deadline = *event.Deadline
	}
	root.Data = root.Input
	x.state = State{Execution: event.Execution, Status: Running, Input: event.Input, StartedAt: event.At, NextRun: 1,
		Runs: []*Run{root}}
	if event.Definition != nil {
		x.state.Definition = *event.Definition
	}
}

// applyTask folds what is about one task run. For a start or a skip, run is the parent.
func (x *Execution) applyTask(run *Run, event *Event) bool {
	switch event.Type {
	case TaskStarted:
		x.applyTaskStarted(run, event)
	case TaskSkipped:
		if task := x.def.Task(run.Task); forks(run, task) && task.Fork.Compete {
			run.Cursor = event.Slot + 1
			lose(run, task, nil)
			break
		}
		output := run.Data
		if task := x.def.Task(run.Task); extends(task, event.Slot) {
			output = run.Input
		}
		x.proceed(run, event.Slot, output, language.Continue)
	case TaskCompleted:
		x.applyTaskCompleted(run, event)
	case TaskFaulted:
		x.applyTaskFaulted(run, event)
	case TaskRetried:
		x.state.drop(run.ID, false)
		*run = Run{ID: run.ID, Parent: run.Parent, Slot: run.Slot, Task: run.Task, Key: run.Key, Attempt: run.Attempt,
			StartedAt: run.StartedAt, Input: run.Input, Deadline: run.Deadline,
			Phase: PhaseRetrying, Tries: event.Attempt, Due: *event.Due, Caught: event.Error}
	case ErrorCaught:
		run.Phase, run.Caught, run.Fault = PhaseCatching, event.Error, nil
		run.Data, run.Cursor, run.Visits, run.Exited = run.Input, 0, nil, false
	case IterationStarted:
		if event.Items.Set {
			run.Items, _ = event.Items.V.([]any)
			run.Data = run.Input
		}
		run.Phase, run.Index, run.Cursor, run.Visits = PhaseRunning, event.Index, 0, nil
		if task := x.def.Task(run.Task); task.Kind == language.KindListen {
			run.Phase, run.Data = PhaseIterating, run.message(task)
		}
	case IterationCompleted:
		x.applyIteration(run, event)
	case CallScheduled:
		if run.Phase == PhaseCalling { // it is to be made once more
			run.Begun, run.Asking, run.call = false, false, nil
		}
		run.Phase = PhaseCalling
	case CallIntended:
		run.Begun = true
	case CallAsked:
		run.Asking, run.call = true, nil
	case CallCompleted:
		run.Phase, run.Result, run.call = PhaseReady, event.Output.V, nil
	case CallFailed:
		run.Fault, run.call = event.Error, nil
	case TimerScheduled:
		run.Phase, run.Due = PhaseWaiting, *event.Due
	case TimerFired:
		return x.applyTimer(run, event)
	case ListenerStarted:
		run.Phase = PhaseListening
	case EventReceived:
		x.applyMessage(run, event)
	case TaskCompensating:
		x.applyCompensating(event)
	case TaskCompensated:
		x.state.drop(run.ID, true)
	default:
		return false
	}
	return true
}

func (x *Execution) applyTaskStarted(parent *Run, event *Event) {
	s := &x.state
	child := &Run{ID: event.Run, Parent: parent.ID, Slot: event.Slot, Task: event.Task, Key: event.Key,
		Attempt: event.Attempt, Phase: PhaseStarted, StartedAt: event.At, Input: parent.Data, Fault: event.Error, Own: event.Error != nil, Index: -1}
	if forks(parent, x.def.Task(parent.Task)) {
		child.Input = parent.Input
		parent.Cursor = event.Slot + 1
	}
	if extends(x.def.Task(parent.Task), event.Slot) {
		child.Input = parent.Input
	}
	if event.Data.Set {
		child.Input = event.Data.V
	}
	if event.Deadline != nil {
		child.Deadline = *event.Deadline
	}
	if event.AttemptDue != nil {
		child.AttemptDue = *event.AttemptDue
	}
	switch x.def.Task(event.Task).Kind {
	case language.KindTry:
		child.Phase, child.Tries = PhaseRunning, 1
	case language.KindDo, language.KindFork, language.KindExtension:
		child.Phase = PhaseRunning
	}
	child.Data = child.Input
	s.Runs = append(s.Runs, child)
	s.NextRun = event.Run + 1
}

func (x *Execution) applyTaskCompleted(run *Run, event *Event) {
	s := &x.state
	output := run.Result
	if event.Output.Set {
		output = event.Output.V
	}
	if event.Context.Set {
		s.Context = event.Context
	}
	parent := s.run(run.Parent)
	x.noteUndo(run, output)
	s.drop(run.ID, true)
	if event.Then == language.End && !extends(x.def.Task(parent.Task), run.Slot) {
		if s.Ending != nil {
			x.endCompensation(parent, output)
			return
		}
		root := s.Runs[0]
		s.drop(0, false)
		root.Data, root.Cursor, root.Exited = output, 0, true
		return
	}
	x.proceed(parent, run.Slot, output, event.Then)
}

// proceed moves a parent on after one of its tasks gave an output.
func (x *Execution) proceed(parent *Run, slot int, output any, then string) {
	task := x.def.Task(parent.Task)
	if forks(parent, task) {
		x.proceedFork(parent, task, slot, output)
		return
	}
	if task != nil && task.Kind == language.KindExtension && parent.Phase != PhaseCompensating {
		x.proceedExtension(parent, task, slot, output, then)
		return
	}
	if calls(parent, task) {
		parent.Phase, parent.Result = PhaseReady, output
		return
	}
	if parent.Visits == nil {
		parent.Visits = map[string]int{}
	}
	parent.Visits[strconv.Itoa(slot)]++
	parent.Data = output
	switch then {
	case "", language.Continue:
		parent.Cursor = slot + 1
	case language.Exit:
		parent.Exited = true
	default:
		parent.Cursor = x.list(parent).Index(then)
	}
}

func (x *Execution) proceedFork(fork *Run, task *language.Task, slot int, output any) {
	if task.Fork.Compete {
		x.state.drop(fork.ID, false)
		fork.Phase, fork.Result = PhaseReady, output
		return
	}
	if fork.Results == nil {
		fork.Results = map[string]any{}
	}
	fork.Results[strconv.Itoa(slot)] = output
	fork.Cursor = max(fork.Cursor, slot+1)
}

func (x *Execution) applyTaskFaulted(run *Run, event *Event) {
	s := &x.state
	parent := s.run(run.Parent)
	s.drop(run.ID, true)
	task := x.def.Task(parent.Task)
	if forks(parent, task) && task.Fork.Compete {
		lose(parent, task, event.Error)
		return
	}
	parent.Fault = event.Error
}

// lose counts a branch of a race that cannot win. When none can, the race faults with the last error, or gives its
// input when all were skipped.
func lose(fork *Run, task *language.Task, err *Error) {
	fork.Lost++
	if err != nil {
		fork.LastFault = err
	}
	if fork.Lost < len(task.Fork.Branches) {
		return
	}
	if fork.LastFault != nil {
		fork.Fault = fork.LastFault
		return
	}
	fork.Phase, fork.Result = PhaseReady, fork.Input
}

// applyTimer folds a timer. The kinds are those of Timers.
func (x *Execution) applyTimer(run *Run, event *Event) bool {
	switch kind, _ := splitTimer(event.Timer); kind {
	case timerWait:
		run.Phase, run.Result = PhaseReady, run.Input
	case timerRetry:
		run.Phase, run.Data, run.Due, run.Caught = PhaseRunning, run.Input, zeroTime, nil
		if event.AttemptDue != nil {
			run.AttemptDue = *event.AttemptDue
		}
	case timerAttempt:
		x.state.drop(run.ID, false)
		run.Fault, run.AttemptDue = event.Error, zeroTime
	case timerTask:
		x.state.drop(run.ID, false)
		run.Fault, run.Own, run.Deadline = event.Error, true, zeroTime
	default:
		return false
	}
	return true
}
