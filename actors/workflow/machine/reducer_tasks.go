package machine

import (
	"slices"
	"strconv"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// applyTask folds what is about one task run. For a start or a skip, run is the parent.
func (r *reducer) applyTask(run *Run, event *Event) bool {
	switch event.Type {
	case TaskStarted:
		r.applyTaskStarted(run, event)
	case TaskSkipped:
		if task := r.def.Task(run.Task); forks(run, task) && task.Fork.Compete {
			run.Cursor = event.Slot + 1
			lose(run, task, nil)
			break
		}
		output := run.Data
		if task := r.def.Task(run.Task); extends(task, event.Slot) {
			output = run.Input
		}
		r.proceed(run, event.Slot, output, language.Continue)
	case TaskCompleted:
		r.applyTaskCompleted(run, event)
	case TaskFaulted:
		r.applyTaskFaulted(run, event)
	case TaskRetried:
		r.state.drop(run.ID, false)
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
		if task := r.def.Task(run.Task); task.Kind == language.KindListen {
			run.Phase, run.Data = PhaseIterating, run.message(task)
		}
	case IterationCompleted:
		r.applyIteration(run, event)
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
		return r.applyTimer(run, event)
	case ListenerStarted:
		run.Phase = PhaseListening
	case EventReceived:
		r.applyMessage(run, event)
	case TaskCompensating:
		r.applyCompensating(event)
	case TaskCompensated:
		r.state.drop(run.ID, true)
	default:
		return false
	}
	return true
}

func (r *reducer) applyTaskStarted(parent *Run, event *Event) {
	s := r.state
	child := &Run{ID: event.Run, Parent: parent.ID, Slot: event.Slot, Task: event.Task, Key: event.Key,
		Attempt: event.Attempt, Phase: PhaseStarted, StartedAt: event.At, Input: parent.Data, Fault: event.Error, Own: event.Error != nil, Index: -1}
	if forks(parent, r.def.Task(parent.Task)) {
		child.Input = parent.Input
		parent.Cursor = event.Slot + 1
	}
	if extends(r.def.Task(parent.Task), event.Slot) {
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
	switch r.def.Task(event.Task).Kind {
	case language.KindTry:
		child.Phase, child.Tries = PhaseRunning, 1
	case language.KindDo, language.KindFork, language.KindExtension:
		child.Phase = PhaseRunning
	}
	child.Data = child.Input
	s.Runs = append(s.Runs, child)
	s.NextRun = event.Run + 1
}

func (r *reducer) applyTaskCompleted(run *Run, event *Event) {
	s := r.state
	output := run.Result
	if event.Output.Set {
		output = event.Output.V
	}
	if event.Context.Set {
		s.Context = event.Context
	}
	parent := s.run(run.Parent)
	r.noteUndo(run, output)
	s.drop(run.ID, true)
	if event.Then == language.End && !extends(r.def.Task(parent.Task), run.Slot) {
		if s.Ending != nil {
			r.endCompensation(parent, output)
			return
		}
		root := s.Runs[0]
		s.drop(0, false)
		root.Data, root.Cursor, root.Exited = output, 0, true
		return
	}
	r.proceed(parent, run.Slot, output, event.Then)
}

// proceed moves a parent on after one of its tasks gave an output.
func (r *reducer) proceed(parent *Run, slot int, output any, then string) {
	task := r.def.Task(parent.Task)
	if forks(parent, task) {
		r.proceedFork(parent, task, slot, output)
		return
	}
	if task != nil && task.Kind == language.KindExtension && parent.Phase != PhaseCompensating {
		r.proceedExtension(parent, task, slot, output, then)
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
		parent.Cursor = taskList(r.def, parent).Index(then)
	}
}

func (r *reducer) proceedFork(fork *Run, task *language.Task, slot int, output any) {
	if task.Fork.Compete {
		r.state.drop(fork.ID, false)
		fork.Phase, fork.Result = PhaseReady, output
		return
	}
	if fork.Results == nil {
		fork.Results = map[string]any{}
	}
	fork.Results[strconv.Itoa(slot)] = output
	fork.Cursor = max(fork.Cursor, slot+1)
}

// proceedExtension moves on after one of the tasks gave an output. exit before the task extended stands in for it, exit
// after it ends the extension.
func (r *reducer) proceedExtension(run *Run, task *language.Task, slot int, output any, then string) {
	before := len(task.Extension.Before)
	if run.Visits == nil {
		run.Visits = map[string]int{}
	}
	run.Visits[strconv.Itoa(slot)]++
	run.Data, run.Cursor = output, slot+1
	switch {
	case slot == before:
		run.Result, run.Then = output, then
	case then == language.Exit && slot < before:
		run.Result, run.Cursor = output, len(task.Do)
	case then == language.Exit:
		run.Cursor = len(task.Do)
	case then == "" || then == language.Continue:
	case slot < before:
		run.Cursor = task.Extension.Before.Index(then)
	default:
		run.Cursor = before + 1 + task.Extension.After.Index(then)
	}
}

func (r *reducer) applyTaskFaulted(run *Run, event *Event) {
	s := r.state
	parent := s.run(run.Parent)
	s.drop(run.ID, true)
	task := r.def.Task(parent.Task)
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
func (r *reducer) applyTimer(run *Run, event *Event) bool {
	switch kind, _ := splitTimer(event.Timer); kind {
	case timerWait:
		run.Phase, run.Result = PhaseReady, run.Input
	case timerRetry:
		run.Phase, run.Data, run.Due, run.Caught = PhaseRunning, run.Input, zeroTime, nil
		if event.AttemptDue != nil {
			run.AttemptDue = *event.AttemptDue
		}
	case timerAttempt:
		r.state.drop(run.ID, false)
		run.Fault, run.AttemptDue = event.Error, zeroTime
	case timerTask:
		r.state.drop(run.ID, false)
		run.Fault, run.Own, run.Deadline = event.Error, true, zeroTime
	default:
		return false
	}
	return true
}

func (r *reducer) applyIteration(run *Run, event *Event) {
	task := r.def.Task(run.Task)
	if event.Context.Set {
		r.state.Context = event.Context
	}
	run.Phase, run.Handled = PhaseListening, run.Handled+1
	if task.Listen.To.Forever() {
		run.Messages = run.Messages[1:]
		return
	}
	run.Outputs = append(run.Outputs, event.Output.V)
}

func (r *reducer) applyMessage(run *Run, event *Event) {
	r.state.noteArrival(event.MessageID, run.ID)
	if slices.Contains(event.Filters, untilFilter) {
		run.Stopped = true
		return
	}
	run.Messages = append(run.Messages, event.Message.V)
	run.Hits = append(run.Hits, event.Filters...)
	run.Fault = event.Error
	for name, value := range event.Correlation {
		if run.Correlation == nil {
			run.Correlation = map[string]any{}
		}
		run.Correlation[name] = language.Normalize(value)
	}
}
