package machine

import (
	"slices"
	"strconv"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// applyTask applies an event of one task run. For a started or skipped task, run is the parent. It returns false when
// the event does not fit.
func (r *reducer) applyTask(run *Run, event *Event) bool {
	switch event.Type {
	case TaskStarted:
		r.applyTaskStarted(run, event)
	case TaskSkipped:
		if task := r.def.Task(run.Task); runsBranches(run, task) && task.Fork.Compete {
			run.Cursor = event.Slot + 1
			recordLostBranch(run, task, nil)
			break
		}
		output := run.Data
		if task := r.def.Task(run.Task); isExtendedSlot(task, event.Slot) {
			output = run.Input
		}
		r.advance(run, event.Slot, output, language.Continue)
	case TaskCompleted:
		r.applyTaskCompleted(run, event)
	case TaskFaulted:
		r.applyTaskFaulted(run, event)
	case TaskRetried:
		r.state.closeRuns(run.ID, false)
		*run = Run{ID: run.ID, Parent: run.Parent, Slot: run.Slot, Task: run.Task, Key: run.Key, Attempt: run.Attempt,
			StartedAt: run.StartedAt, Input: run.Input, Raw: run.Raw, Deadline: run.Deadline,
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
			run.Phase, run.Data = PhaseIterating, run.currentMessage(task)
		}
	case IterationCompleted:
		r.applyIteration(run, event)
	case TaskCompensating:
		r.applyCompensating(event)
	case TaskCompensated:
		r.state.closeRuns(run.ID, true)
	default:
		return r.applyEffect(run, event)
	}
	return true
}

// applyEffect applies an event about a call, a timer or a listener. It returns false for any other event.
func (r *reducer) applyEffect(run *Run, event *Event) bool {
	switch event.Type {
	case CallScheduled:
		if run.Phase == PhaseCalling { // the call is repeated
			run.StartRecorded, run.ApprovalRequested, run.call = false, false, nil
		} else {
			run.CallSize = event.Size
		}
		run.Phase = PhaseCalling
	case CallStartRecorded:
		run.StartRecorded = true
	case CallApprovalRequested:
		run.ApprovalRequested, run.call = true, nil
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
	default:
		return false
	}
	return true
}

func (r *reducer) applyTaskStarted(parent *Run, event *Event) {
	s := r.state
	child := &Run{ID: event.Run, Parent: parent.ID, Slot: event.Slot, Task: event.Task, Key: event.Key,
		Attempt: event.Attempt, Phase: PhaseStarted, StartedAt: event.At, Input: parent.Data, Fault: event.Error, OwnFault: event.Error != nil, Index: -1}
	if runsBranches(parent, r.def.Task(parent.Task)) {
		child.Input = parent.Input
		parent.Cursor = max(parent.Cursor, event.Slot+1)
	}
	if isExtendedSlot(r.def.Task(parent.Task), event.Slot) {
		child.Input = parent.Input
	}
	switch {
	case event.Input.Set:
		child.Raw, child.Input = event.Input, event.Data.V
	case event.Data.Set && runsFunction(parent, r.def.Task(parent.Task)):
		child.Input = event.Data.V
	case event.Data.Set:
		child.Raw, child.Input = ValueOf(child.Input), event.Data.V
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
	parent.children++
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
	r.recordCompensable(run, output)
	s.closeRuns(run.ID, true)
	if event.Then == language.End && !isExtendedSlot(r.def.Task(parent.Task), run.Slot) {
		if s.Ending != nil {
			r.endCompensation(parent, output)
			return
		}
		root := s.Runs[0]
		s.closeRuns(0, false)
		root.Data, root.Cursor, root.Exited, root.waits = output, 0, true, false
		return
	}
	r.advance(parent, run.Slot, output, event.Then)
}

// advance moves a parent past a task that has ended with an output and a directive.
func (r *reducer) advance(parent *Run, slot int, output any, then string) {
	parent.waits = false
	task := r.def.Task(parent.Task)
	if runsBranches(parent, task) {
		r.advanceFork(parent, task, slot, output)
		return
	}
	if task != nil && task.Kind == language.KindExtension && parent.Phase != PhaseCompensating {
		r.advanceExtension(parent, task, slot, output, then)
		return
	}
	if runsFunction(parent, task) {
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

func (r *reducer) advanceFork(fork *Run, task *language.Task, slot int, output any) {
	if task.Fork.Compete {
		r.state.closeRuns(fork.ID, false)
		fork.Phase, fork.Result = PhaseReady, output
		return
	}
	if fork.Results == nil {
		fork.Results = map[string]any{}
	}
	fork.Results[strconv.Itoa(slot)] = output
	fork.Cursor = max(fork.Cursor, slot+1)
}

// advanceExtension moves an extension past one of its tasks. An exit before the extended task replaces it; an exit
// after it ends the extension.
func (r *reducer) advanceExtension(run *Run, task *language.Task, slot int, output any, then string) {
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
	s.closeRuns(run.ID, true)
	parent.waits = false
	task := r.def.Task(parent.Task)
	if runsBranches(parent, task) && task.Fork.Compete {
		recordLostBranch(parent, task, event.Error)
		return
	}
	parent.Fault = event.Error
}

// recordLostBranch counts a branch of a competing fork that cannot win. Once none can, the fork faults with the last
// error, or completes with its input if all branches were skipped.
func recordLostBranch(fork *Run, task *language.Task, err *Error) {
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

// applyTimer applies a fired timer of any kind.
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
		r.state.closeRuns(run.ID, false)
		run.Fault, run.AttemptDue = event.Error, zeroTime
	case timerTask:
		r.state.closeRuns(run.ID, false)
		run.Fault, run.OwnFault, run.Deadline = event.Error, true, zeroTime
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
		run.Held -= weightOf(run.Messages[0])
		run.Messages = run.Messages[1:]
		return
	}
	run.Outputs = append(run.Outputs, event.Output.V)
}

func (r *reducer) applyMessage(run *Run, event *Event) {
	r.state.recordArrival(event.MessageID, run.ID)
	if slices.Contains(event.Filters, untilFilter) {
		run.Stopped = true
		return
	}
	if len(event.Filters) == 1 && event.Filters[0] <= untilPart {
		run.UntilMatched = append(run.UntilMatched, untilPart-event.Filters[0])
	} else {
		run.Messages = append(run.Messages, event.Message.V)
		run.Held += weightOf(event.Message.V)
		run.MatchedFilters = append(run.MatchedFilters, event.Filters...)
		run.Fault = event.Error
	}
	for name, value := range event.Correlation {
		if run.Correlation == nil {
			run.Correlation = map[string]any{}
		}
		run.Correlation[name] = language.Normalize(value)
	}
}
