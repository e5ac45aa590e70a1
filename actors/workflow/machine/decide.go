package machine

import (
	"cmp"
	"errors"
	"strconv"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// step is the next event of one run, if it can go on. A run with open children waits for them, except for a fork
// that has branches to start.
func (x *Execution) step(run *Run, now time.Time) (Event, bool) {
	if run.Fault != nil {
		return x.stepFault(run, now), true
	}
	if run.ID != 0 && run.Phase == PhaseReady {
		return x.complete(run, run.Result), true
	}
	task := x.def.Task(run.Task)
	switch {
	case run.Phase == PhaseCompensating:
		return x.stepCompensation(run, now)
	case run.ID == 0:
		return x.stepList(run, now)
	}
	switch task.Kind {
	case language.KindDo:
		return x.stepList(run, now)
	case language.KindExtension:
		return x.stepExtension(run, task, now)
	case language.KindTry:
		if run.Phase == PhaseRetrying {
			return Event{}, false
		}
		return x.stepList(run, now)
	case language.KindFork:
		return x.stepFork(run, task, now)
	case language.KindFor:
		return x.stepFor(run, task, now)
	case language.KindListen:
		return x.stepListen(run, task, now)
	}
	if run.Phase != PhaseStarted {
		return Event{}, false
	}
	event, err := x.stepLeaf(run, task, now)
	if err != nil {
		return x.faulted(run, err), true
	}
	return event, event.Type != ""
}

// stepList starts the next task of a list, or ends the list.
func (x *Execution) stepList(run *Run, now time.Time) (Event, bool) {
	if x.state.children(run.ID) > 0 {
		return Event{}, false
	}
	list := x.list(run)
	if run.Exited || run.Cursor >= len(list) {
		switch {
		case run.ID == 0:
			return x.completeWorkflow(run), true
		case run.Phase == PhaseCompensating:
			return x.compensated(run, nil), true
		}
		return x.complete(run, run.Data), true
	}
	return x.startChild(run, run.Cursor, list[run.Cursor], run.Data, now), true
}

func (x *Execution) stepFork(run *Run, task *language.Task, now time.Time) (Event, bool) {
	branches := task.Fork.Branches
	if run.Cursor < len(branches) {
		return x.startChild(run, run.Cursor, branches[run.Cursor], run.Input, now), true
	}
	if len(run.Results) < len(branches) {
		return Event{}, false
	}
	outputs := make([]any, len(branches))
	for slot := range branches {
		outputs[slot] = run.Results[strconv.Itoa(slot)]
	}
	return x.complete(run, outputs), true
}

// stepFor goes to the next item once the tasks of the current one are through. The output of an iteration is the
// input of the next; the last one's is the loop's.
func (x *Execution) stepFor(run *Run, task *language.Task, now time.Time) (Event, bool) {
	if x.state.children(run.ID) > 0 {
		return Event{}, false
	}
	if run.Phase == PhaseRunning && !run.Exited && run.Cursor < len(task.For.Do) {
		return x.startChild(run, run.Cursor, task.For.Do[run.Cursor], run.Data, now), true
	}
	items, event := run.Items, Event{Type: IterationStarted, Run: run.ID, Index: run.Index + 1}
	if run.Phase == PhaseStarted {
		found, err := x.items(run, task, now)
		if err != nil {
			return x.faulted(run, err), true
		}
		items, event.Items, event.Index = found, Of(found), 0
	}
	if run.Exited || event.Index >= len(items) {
		return x.complete(run, run.Data), true
	}
	if x.state.NextRun > MaxRuns {
		return x.faulted(run, NewError(TypeRuntime, "the execution has too many task runs")), true
	}
	if task.For.While != "" {
		// The condition sees the item that it decides about.
		probe := *run
		probe.Items, probe.Index = items, event.Index
		goes, err := x.def.Condition(task.For.While, run.Data, x.scope(&probe, task))
		if err != nil {
			return x.faulted(run, err), true
		}
		if !goes {
			return x.complete(run, run.Data), true
		}
	}
	return event, true
}

func (x *Execution) items(run *Run, task *language.Task, _ time.Time) ([]any, error) {
	scope := x.scope(run, task)
	scope.Names = task.Scope
	value, err := x.def.Transform(task.For.In, run.Input, scope)
	if list, inline := task.For.In.([]any); inline {
		value, err = x.def.Fill(list, run.Input, scope)
	}
	if err != nil {
		return nil, err
	}
	switch value := value.(type) {
	case []any:
		return value, nil
	case nil:
		return []any{}, nil
	}
	return nil, NewError(TypeExpression, "for.in must yield a list")
}

// startChild decides about the next task of a list: it is skipped, or started with its input made.
func (x *Execution) startChild(parent *Run, slot int, task *language.Task, raw any, now time.Time) Event {
	if x.state.NextRun > x.most() || len(x.state.Runs) >= MaxOpen {
		return x.faulted(parent, NewError(TypeRuntime, "the execution has too many task runs"))
	}
	task, err := x.extended(task, parent, raw, now)
	probe := &Run{ID: x.state.NextRun, Parent: parent.ID, Task: task.Pointer, Input: raw, StartedAt: now}
	event := Event{Type: TaskStarted, Run: probe.ID, Parent: parent.ID, Slot: slot, Task: task.Pointer, Name: task.Name,
		Key: x.childKey(parent, slot, task), Attempt: x.attempt(parent)}
	if calls(parent, x.def.Task(parent.Task)) {
		event.Data = Of(raw)
	}
	if task.Kind == language.KindExtension {
		event.Extension = task.Extension.Name
	}
	if err != nil {
		event.Error = x.problem(err, task.Pointer)
		return event
	}
	if task.If != "" {
		goes, err := x.def.Condition(task.If, raw, x.scope(probe, task))
		if err != nil {
			event.Error = x.problem(err, task.Pointer)
			return event
		}
		if !goes {
			return Event{Type: TaskSkipped, Parent: parent.ID, Slot: slot, Task: task.Pointer, Name: task.Name,
				Key: event.Key}
		}
	}
	if err := x.enter(&event, probe, task, now); err != nil {
		event.Error = x.problem(err, task.Pointer)
	}
	return event
}

// enter makes a task's input and its deadlines.
func (x *Execution) enter(event *Event, probe *Run, task *language.Task, now time.Time) error {
	if task.Input != nil {
		if err := task.Input.Schema.Validate(probe.Input); err != nil {
			return NewError(TypeValidation, err.Error())
		}
		if task.Input.From != nil && !task.Sealed {
			data, err := x.def.Transform(task.Input.From, probe.Input, x.scope(probe, task))
			if err != nil {
				return err
			}
			probe.Input, event.Data = data, Of(data)
		}
	}
	if task.Timeout != nil {
		after, err := x.duration(&task.Timeout.After, probe, x.scope(probe, task))
		if err != nil {
			return err
		}
		due := now.Add(after)
		event.Deadline = &due
	}
	if task.Kind == language.KindTry {
		event.AttemptDue = x.attemptDue(probe, now)
	}
	return nil
}

// attempt is the attempt of the nearest enclosing try.
func (x *Execution) attempt(run *Run) int {
	if run.Tries > 0 && run.Phase != PhaseCatching {
		return run.Tries
	}
	return max(run.Attempt, 1)
}

// complete ends a task run with the directive that the definition gives it.
func (x *Execution) complete(run *Run, raw any) Event {
	task := x.def.Task(run.Task)
	then := cmp.Or(task.Then, run.Then)
	if run.Phase == PhaseCatching && task.Try != nil && task.Try.Catch.Then != "" {
		then = task.Try.Catch.Then
	}
	return x.completeThen(run, raw, then)
}

// completeThen ends a task run: its output is transformed, checked and exported.
func (x *Execution) completeThen(run *Run, raw any, then string) Event {
	task := x.def.Task(run.Task)
	event := Event{Type: TaskCompleted, Run: run.ID, Parent: run.Parent, Task: run.Task, Name: task.Name, Key: run.Key,
		Then: cmp.Or(then, language.Continue)}
	detached := task.Kind == language.KindRun && !task.Run.Await
	if detached {
		raw = run.Input
	}
	output := raw
	if task.Output != nil || task.Export != nil {
		scope := x.scope(run, task)
		var err error
		if output, err = x.shape(task.Output, raw, scope); err != nil {
			return x.faulted(run, err)
		}
		if event.Context, err = x.share(task.Export, output, scope); err != nil {
			return x.faulted(run, err)
		}
	}
	if task.Output != nil && task.Output.As != nil || run.Phase != PhaseReady || detached {
		event.Output = Of(output)
	}
	return event
}

// shape makes the output of what a task gave.
func (x *Execution) shape(definition *language.Output, raw any, scope language.Scope) (any, error) {
	if definition == nil {
		return raw, nil
	}
	output := raw
	if definition.As != nil {
		transformed, err := x.def.Transform(definition.As, raw, scope.Bind("output", raw))
		if err != nil {
			return nil, err
		}
		output = transformed
	}
	if err := definition.Schema.Validate(output); err != nil {
		return nil, NewError(TypeValidation, err.Error())
	}
	return output, nil
}

// share makes the context that a task exports; none where it exports nothing.
func (x *Execution) share(definition *language.Export, output any, scope language.Scope) (Value, error) {
	if definition == nil {
		return Value{}, nil
	}
	exported := x.state.Context
	if definition.As != nil {
		value, err := x.def.Transform(definition.As, output, scope.Bind("output", output))
		if err != nil {
			return Value{}, err
		}
		exported = Of(value)
	}
	if err := definition.Schema.Validate(exported.V); err != nil {
		return Value{}, NewError(TypeValidation, err.Error())
	}
	return exported, nil
}

func (x *Execution) completeWorkflow(root *Run) Event {
	output := root.Data
	if definition := x.def.Output; definition != nil {
		if definition.As != nil {
			transformed, err := x.def.Transform(definition.As, output, x.workflowScope(root.StartedAt))
			if err != nil {
				return Event{Type: ExecutionFaulted, Error: x.problem(err, "/output")}
			}
			output = transformed
		}
		if err := definition.Schema.Validate(output); err != nil {
			return Event{Type: ExecutionFaulted, Error: x.problem(NewError(TypeValidation, err.Error()), "/output")}
		}
	}
	return Event{Type: ExecutionCompleted, Output: Of(output)}
}

// faulted ends a run with an error.
func (x *Execution) faulted(run *Run, err error) Event {
	problem := x.problem(err, run.Task)
	switch {
	case run.ID == 0:
		return Event{Type: ExecutionFaulted, Error: problem}
	case run.Phase == PhaseCompensating:
		return x.compensated(run, problem)
	}
	return Event{Type: TaskFaulted, Run: run.ID, Parent: run.Parent, Task: run.Task, Name: x.def.Task(run.Task).Name,
		Key: run.Key, Error: problem}
}

// problem makes an error of the workflow of any error; what is none comes from an expression.
func (x *Execution) problem(err error, instance string) *Error {
	var known *Error
	if !errors.As(err, &known) {
		known = NewError(TypeExpression, err.Error())
	}
	problem := *known
	problem.Detail = x.maskText(problem.Detail)
	if problem.Instance == "" {
		problem.Instance = instance
	}
	return &problem
}
