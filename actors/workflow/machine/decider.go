package machine

import (
	"cmp"
	"strconv"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// decider chooses the next event of an execution from its state alone, so that a restored execution decides the same.
type decider struct {
	def      *language.Workflow
	state    *State
	eval     *evaluator
	calls    *callBuilder
	consumer *eventConsumer
	meter    *meter
}

// decision is what next finds.
type decision int

const (
	// nothingToDecide: every run waits. decisionDropped: the slice is spent.
	decisionMade decision = iota
	decisionDropped
	nothingToDecide
)

// next sets event to the next event of a running execution, that of the first open run that can advance, and returns its weight.
func (d *decider) next(event *Event, now time.Time) (weight int, is decision) {
	if d.state.Status != Running {
		return 0, nothingToDecide
	}
	for _, run := range d.state.Runs {
		if run.waits {
			continue
		}
		if !d.meter.open() {
			return 0, decisionDropped
		}
		var ok bool
		if *event, ok = d.step(run, now); ok {
			weight = d.check(event, run)
		}
		if d.meter.cut() {
			run.call = nil
			return 0, decisionDropped
		}
		if failure := d.meter.fault(); failure != nil {
			d.exceed(event, run, failure)
			ok, weight = true, event.weigh(MaxEventBytes).weight
		}
		d.meter.close()
		if !ok {
			run.waits = true
			continue
		}
		if event.Type == ExecutionFaulted && d.state.mustCompensate() {
			*event = Event{Type: CompensationStarted, Error: event.Error}
		}
		return weight, decisionMade
	}
	return 0, nothingToDecide
}

// step is the next event of one run, if it can advance. A run with open children waits for them, except for a fork that
// has branches to start.
func (d *decider) step(run *Run, now time.Time) (Event, bool) {
	if run.Fault != nil {
		return d.stepFault(run, now), true
	}
	if run.ID != 0 && run.Phase == PhaseReady {
		return d.complete(run, run.Result), true
	}
	task := d.def.Task(run.Task)
	switch {
	case run.Phase == PhaseCompensating:
		return d.stepCompensation(run, now)
	case run.ID == 0:
		return d.stepList(run, now)
	}
	switch task.Kind {
	case language.KindDo:
		return d.stepList(run, now)
	case language.KindExtension:
		return d.stepExtension(run, task, now)
	case language.KindTry:
		if run.Phase == PhaseRetrying {
			return Event{}, false
		}
		return d.stepList(run, now)
	case language.KindFork:
		return d.stepFork(run, task, now)
	case language.KindFor:
		return d.stepFor(run, task, now)
	case language.KindListen:
		return d.stepListen(run, task, now)
	}
	if run.Phase != PhaseStarted {
		return Event{}, false
	}
	event, err := d.stepLeaf(run, task, now)
	if err != nil {
		return d.fault(run, err), true
	}
	return event, event.Type != ""
}

// stepList starts the next task of a list, or completes the run at the end of the list.
func (d *decider) stepList(run *Run, now time.Time) (Event, bool) {
	if run.children > 0 {
		return Event{}, false
	}
	list := taskList(d.def, run)
	if run.Exited || run.Cursor >= len(list) {
		switch {
		case run.ID == 0:
			return d.completeWorkflow(run), true
		case run.Phase == PhaseCompensating:
			return d.endCompensation(run, nil), true
		}
		return d.complete(run, run.Data), true
	}
	return d.startChild(run, run.Cursor, list[run.Cursor], run.Data, now), true
}

// startChild decides how the next task of a list starts: it is skipped, or started with its evaluated input.
func (d *decider) startChild(parent *Run, slot int, task *language.Task, raw any, now time.Time) Event {
	if d.state.NextRun > d.state.maxRuns() || len(d.state.Runs) >= MaxOpen {
		return d.fault(parent, NewError(TypeRuntime, "the execution has too many task runs"))
	}
	task, err := d.eval.applicableTask(task, parent, raw, now)
	probe := &Run{ID: d.state.NextRun, Parent: parent.ID, Task: task.Pointer, Input: raw, StartedAt: now}
	event := Event{Type: TaskStarted, Run: probe.ID, Parent: parent.ID, Slot: slot, Task: task.Pointer, Name: task.Name,
		Key: d.childKey(parent, slot, task), Attempt: d.attemptOf(parent)}
	if runsFunction(parent, d.def.Task(parent.Task)) {
		event.Data = ValueOf(raw)
	}
	if task.Kind == language.KindExtension {
		event.Extension = task.Extension.Name
	}
	if err != nil {
		event.Error = d.eval.workflowError(err, task.Pointer)
		return event
	}
	if task.If != "" {
		goes, err := d.eval.condition(task.If, raw, d.eval.scope(probe, task))
		if err != nil {
			event.Error = d.eval.workflowError(err, task.Pointer)
			return event
		}
		if !goes {
			return Event{Type: TaskSkipped, Parent: parent.ID, Slot: slot, Task: task.Pointer, Name: task.Name,
				Key: event.Key}
		}
	}
	if err := d.prepareStart(&event, probe, task, now); err != nil {
		event.Error = d.eval.workflowError(err, task.Pointer)
	}
	return event
}

// prepareStart evaluates a task's input and its deadlines.
func (d *decider) prepareStart(event *Event, probe *Run, task *language.Task, now time.Time) error {
	if task.Input != nil {
		if err := task.Input.Schema.Validate(probe.Input, d.eval.budget()); err != nil {
			return NewError(TypeValidation, err.Error())
		}
		if task.Input.From != nil && !task.DeferredInput {
			data, err := d.def.Transform(task.Input.From, probe.Input, d.eval.scope(probe, task))
			if err != nil {
				return err
			}
			if !same(data, probe.Input) {
				if event.Data.Set { // the arguments of a function, which no other event holds
					event.Input = event.Data
				}
				probe.Raw, probe.Input, event.Data = ValueOf(probe.Input), data, ValueOf(data)
			}
		}
	}
	if task.Timeout != nil {
		after, err := d.eval.duration(&task.Timeout.After, probe, d.eval.scope(probe, task))
		if err != nil {
			return err
		}
		due := now.Add(after)
		event.Deadline = &due
	}
	if task.Kind == language.KindTry {
		event.AttemptDue = d.eval.attemptDue(probe, now)
	}
	return nil
}

// attemptOf is the attempt of the nearest enclosing try.
func (d *decider) attemptOf(run *Run) int {
	if run.Tries > 0 && run.Phase != PhaseCatching {
		return run.Tries
	}
	return max(run.Attempt, 1)
}

// childKey is the key of the next run in a slot. It is the same over attempts and restarts, and differs for each
// iteration and for each time a directive leads back to the task.
func (d *decider) childKey(run *Run, slot int, child *language.Task) string {
	key := run.Key
	task := d.def.Task(run.Task)
	switch {
	case run.Phase == PhaseCompensating:
	case run.Phase == PhaseIterating, run.ID != 0 && task.Kind == language.KindFor:
		key += "[" + strconv.Itoa(run.Index) + "]"
	case run.Phase == PhaseCatching:
		key += "/catch"
	case runsFunction(run, task):
		return key + "/" + child.Name
	}
	key += "/" + strconv.Itoa(slot) + "/" + child.Name
	if visit := run.Visits[strconv.Itoa(slot)]; visit > 0 {
		key += "~" + strconv.Itoa(visit)
	}
	return key
}

// complete ends a task run with the directive of its definition.
func (d *decider) complete(run *Run, raw any) Event {
	task := d.def.Task(run.Task)
	then := cmp.Or(task.Then, run.Then)
	if run.Phase == PhaseCatching && task.Try != nil && task.Try.Catch.Then != "" {
		then = task.Try.Catch.Then
	}
	return d.completeThen(run, raw, then)
}

// completeThen ends a task run with a directive: it transforms, validates and exports the output.
func (d *decider) completeThen(run *Run, raw any, then string) Event {
	task := d.def.Task(run.Task)
	event := Event{Type: TaskCompleted, Run: run.ID, Parent: run.Parent, Task: run.Task, Name: task.Name, Key: run.Key,
		Then: cmp.Or(then, language.Continue)}
	if task.Kind == language.KindRun {
		raw = processOutput(task.Run, run.Input, raw)
	}
	output := raw
	if task.Output != nil || task.Export != nil {
		scope := d.eval.outputScope(run, task, raw)
		var err error
		if output, err = d.eval.transformOutput(task.Output, raw, scope); err != nil {
			return d.fault(run, err)
		}
		if event.Context, err = d.eval.exportContext(task.Export, output, scope); err != nil {
			return d.fault(run, err)
		}
	}
	if run.Phase != PhaseReady || !same(output, run.Result) { // else an earlier event has it
		event.Output = ValueOf(output)
	}
	return event
}

// processOutput is the raw output of a run task: its input if the child is not awaited, else what return selects. What a child
// workflow returns is its standard output; it has no standard error, and its exit code is 0, because a fault of the child
// is a fault of the task.
func processOutput(run *language.Run, input, output any) any {
	switch {
	case !run.Await:
		return input
	case run.Return == "none":
		return nil
	case run.Return == "code":
		return 0
	case run.Return == "stderr":
		return ""
	case run.Return == "all":
		return map[string]any{"code": 0, "stdout": output, "stderr": ""}
	}
	return output
}

// completeWorkflow ends the execution with the transformed and validated output of the workflow.
func (d *decider) completeWorkflow(root *Run) Event {
	output := root.Data
	if definition := d.def.Output; definition != nil {
		if definition.As != nil {
			transformed, err := d.def.Transform(definition.As, output, d.eval.workflowScope(root.StartedAt))
			if err != nil {
				return Event{Type: ExecutionFaulted, Error: d.eval.workflowError(err, "/output")}
			}
			output = transformed
		}
		if err := definition.Schema.Validate(output, d.eval.budget()); err != nil {
			return Event{Type: ExecutionFaulted, Error: d.eval.workflowError(NewError(TypeValidation, err.Error()), "/output")}
		}
	}
	return Event{Type: ExecutionCompleted, Output: ValueOf(output)}
}

// fault ends a run with an error.
func (d *decider) fault(run *Run, err error) Event {
	problem := d.eval.workflowError(err, run.Task)
	switch {
	case run.ID == 0:
		return Event{Type: ExecutionFaulted, Error: problem}
	case run.Phase == PhaseCompensating:
		return d.endCompensation(run, problem)
	}
	return Event{Type: TaskFaulted, Run: run.ID, Parent: run.Parent, Task: run.Task, Name: d.def.Task(run.Task).Name,
		Key: run.Key, Error: problem}
}
