package machine

import (
	"strconv"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

func (d *decider) stepFork(run *Run, task *language.Task, now time.Time) (Event, bool) {
	branches := task.Fork.Branches
	if run.Cursor < len(branches) {
		return d.startChild(run, run.Cursor, branches[run.Cursor], run.Input, now), true
	}
	if slot, again := d.branchToRepeat(run, task); again {
		return d.startChild(run, slot, branches[slot], run.Input, now), true
	}
	if len(run.Results) < len(branches) {
		return Event{}, false
	}
	outputs := make([]any, len(branches))
	for slot := range branches {
		outputs[slot] = run.Results[strconv.Itoa(slot)]
	}
	return d.complete(run, outputs), true
}

// branchToRepeat is a branch that has to run again while later ones are kept, after RetryFrom.
func (d *decider) branchToRepeat(run *Run, task *language.Task) (slot int, again bool) {
	if task.Fork.Compete || int(run.children)+len(run.Results) >= len(task.Fork.Branches) {
		return 0, false
	}
	open := map[int]bool{}
	for _, child := range d.state.Runs {
		if child.Parent == run.ID && child.ID != 0 {
			open[child.Slot] = true
		}
	}
	for slot := range task.Fork.Branches {
		if _, ended := run.Results[strconv.Itoa(slot)]; !ended && !open[slot] {
			return slot, true
		}
	}
	return 0, false
}

// stepFor starts the next iteration once the tasks of the current one have ended. The output of an iteration is the
// input of the next one; the last output is that of the loop.
func (d *decider) stepFor(run *Run, task *language.Task, now time.Time) (Event, bool) {
	if run.children > 0 {
		return Event{}, false
	}
	if run.Phase == PhaseRunning && !run.Exited && run.Cursor < len(task.For.Do) {
		return d.startChild(run, run.Cursor, task.For.Do[run.Cursor], run.Data, now), true
	}
	items, event := run.Items, Event{Type: IterationStarted, Run: run.ID, Index: run.Index + 1}
	if run.Phase == PhaseStarted {
		found, err := d.eval.loopItems(run, task, now)
		if err != nil {
			return d.fault(run, err), true
		}
		items, event.Items, event.Index = found, ValueOf(found), 0
	}
	if run.Exited || event.Index >= len(items) {
		return d.complete(run, run.Data), true
	}
	if d.state.NextRun > MaxRuns {
		return d.fault(run, NewError(TypeRuntime, "the execution has too many task runs")), true
	}
	if task.For.While != "" {
		// while is evaluated with the variables of the next item.
		probe := *run
		probe.Items, probe.Index = items, event.Index
		goes, err := d.eval.condition(task.For.While, run.Data, d.eval.scope(&probe, task))
		if err != nil {
			return d.fault(run, err), true
		}
		if !goes {
			return d.complete(run, run.Data), true
		}
	}
	return event, true
}

// stepExtension runs the tasks before, the extended task, and the tasks after it.
func (d *decider) stepExtension(run *Run, task *language.Task, now time.Time) (Event, bool) {
	switch {
	case run.children > 0:
		return Event{}, false
	case run.Cursor >= len(task.Do):
		return d.complete(run, run.Result), true
	case isExtendedSlot(task, run.Cursor):
		return d.startChild(run, run.Cursor, task.Do[run.Cursor], run.Input, now), true
	}
	return d.startChild(run, run.Cursor, task.Do[run.Cursor], run.Data, now), true
}

// stepListen starts a listener, runs its foreach tasks for each event, and completes it once it has consumed what it
// waits for.
func (d *decider) stepListen(run *Run, task *language.Task, now time.Time) (Event, bool) {
	switch run.Phase {
	case PhaseStarted:
		return Event{Type: ListenerStarted, Run: run.ID, Task: run.Task, Name: task.Name, Key: run.Key}, true
	case PhaseIterating:
		return d.stepIteration(run, task, now)
	}
	done, err := d.consumer.done(run, task)
	if err != nil {
		return d.fault(run, err), true
	}
	switch {
	case done && task.Listen.Foreach != nil:
		return d.complete(run, append([]any{}, run.Outputs...)), true
	case done:
		return d.complete(run, append([]any{}, run.Messages...)), true
	case task.Listen.Foreach != nil && len(run.Messages) > run.handledRetained(task):
		return Event{Type: IterationStarted, Run: run.ID, Index: run.Handled}, true
	}
	return Event{}, false
}

// stepIteration runs the foreach tasks for one event. The output of the last one is that of the iteration.
func (d *decider) stepIteration(run *Run, task *language.Task, now time.Time) (Event, bool) {
	if run.children > 0 {
		return Event{}, false
	}
	each := task.Listen.Foreach
	if !run.Exited && run.Cursor < len(each.Do) {
		return d.startChild(run, run.Cursor, each.Do[run.Cursor], run.Data, now), true
	}
	event := Event{Type: IterationCompleted, Run: run.ID, Index: run.Index}
	scope := d.eval.outputScope(run, task, run.Data)
	scope.Names = withNames(task.Scope, each.Item, each.At)
	output, err := d.eval.transformOutput(each.Output, run.Data, scope)
	if err == nil {
		event.Output = ValueOf(output)
		event.Context, err = d.eval.exportContext(each.Export, output, scope)
	}
	if err != nil {
		return d.fault(run, err), true
	}
	return event, true
}

// stepLeaf is the first event after the start of a task without a task list. An empty event means that the task waits.
func (d *decider) stepLeaf(run *Run, task *language.Task, now time.Time) (Event, error) {
	scope := d.eval.scope(run, task)
	switch task.Kind {
	case language.KindSet:
		output, err := d.def.Fill(task.Set, run.Input, scope)
		if text, isText := task.Set.(string); isText {
			output, err = d.def.Evaluate(text, run.Input, scope)
		}
		if err != nil {
			return Event{}, err
		}
		return d.complete(run, output), nil
	case language.KindSwitch:
		return d.stepSwitch(run, task, scope)
	case language.KindRaise:
		thrown, err := d.eval.raisedError(task.Raise.Error, task, run, scope)
		if err != nil {
			return Event{}, err
		}
		return d.fault(run, thrown), nil
	case language.KindWait:
		length, err := d.eval.duration(task.Wait, run, scope)
		if err != nil {
			return Event{}, err
		}
		due := now.Add(length)
		return Event{Type: TimerScheduled, Run: run.ID, Task: run.Task, Due: &due}, nil
	case language.KindCall:
		if function := d.def.Use.Functions[task.Call.Function]; function != nil {
			return d.stepFunction(run, task, function, now)
		}
	}
	call, err := d.calls.prepare(run)
	if err == nil {
		err = d.calls.admit()
	}
	if err != nil {
		return Event{}, err
	}
	run.call = call
	event := Event{Type: CallScheduled, Run: run.ID, Task: run.Task, Name: task.Name, Key: run.Key, Attempt: run.Attempt}
	if d.calls.size >= largeCall {
		event.Size = d.calls.size
	}
	return event, nil
}

func (d *decider) stepSwitch(run *Run, task *language.Task, scope language.Scope) (Event, error) {
	fallback := ""
	for _, branch := range task.Switch {
		if branch.When == "" {
			fallback = branch.Then
			continue
		}
		matches, err := d.eval.condition(branch.When, run.Input, scope)
		if err != nil {
			return Event{}, err
		}
		if matches {
			return d.completeThen(run, run.Input, branch.Then), nil
		}
	}
	if fallback != "" { // the default case, wherever it stands
		return d.completeThen(run, run.Input, fallback), nil
	}
	return d.complete(run, run.Input), nil
}

// stepFunction starts a function of use.functions: a task whose input is the arguments of the call.
func (d *decider) stepFunction(run *Run, task, function *language.Task, now time.Time) (Event, error) {
	if run.children > 0 {
		return Event{}, nil
	}
	arguments, err := d.def.Fill(orEmpty(task.Call.With), run.Input, d.eval.scope(run, task))
	if err != nil {
		return Event{}, err
	}
	return d.startChild(run, 0, function, arguments, now), nil
}
