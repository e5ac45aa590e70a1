package machine

import (
	"cmp"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// scope is what expressions of a task see: the specification's variables, and those of the enclosing tasks. What an
// expression does not use is not made.
func (x *Execution) scope(run *Run, task *language.Task) language.Scope {
	scope := x.workflowScope(run.StartedAt)
	if task == nil {
		scope.Lookup = func(name string) any {
			if name == "input" {
				return run.Input
			}
			return x.variable(name)
		}
		return scope
	}
	scope.Names = task.Scope
	if task.Kind == language.KindFor {
		scope.Names = inside(task.Scope, task.For.Each, task.For.At)
	}
	scope.Lookup = func(name string) any {
		switch name {
		case "input":
			return run.Input
		case "task":
			return x.aboutTask(run, task)
		}
		if slices.Contains(language.Variables, name) {
			return x.variable(name)
		}
		for at := run; at != nil && at.ID != 0; at = x.state.run(at.Parent) {
			if value, ok := x.defines(at, name); ok {
				return value
			}
		}
		return nil
	}
	return scope
}

func inside(scope []string, names ...string) []string {
	out := slices.Clone(scope)
	for _, name := range names {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// aboutTask is $task: of the task itself, or in an extension of the task extended.
func (x *Execution) aboutTask(run *Run, task *language.Task) any {
	if task.Kind == language.KindExtension {
		return about(task, run)
	}
	for at := run; at.ID != 0; {
		slot := at.Slot
		if at = x.state.run(at.Parent); at == nil || at.ID == 0 {
			break
		}
		if around := x.def.Task(at.Task); around.Kind == language.KindExtension && !extends(around, slot) {
			return about(around, at)
		}
	}
	return map[string]any{"name": task.Name, "reference": task.Pointer, "definition": task.Definition, "input": run.Input,
		"startedAt": moment(run.StartedAt)}
}

// defines is the value of a variable that one enclosing run defines.
func (x *Execution) defines(run *Run, name string) (any, bool) {
	task := x.def.Task(run.Task)
	switch {
	case run.Phase == PhaseCompensating:
		return run.Input, name == language.VariableCompensate
	case run.Phase == PhaseIterating && name == task.Listen.Foreach.Item:
		return run.message(task), true
	case run.Phase == PhaseIterating:
		return run.Index, name == task.Listen.Foreach.At
	case task.Kind == language.KindFor && run.Index >= 0 && run.Index < len(run.Items):
		if name == task.For.Each {
			return run.Items[run.Index], true
		}
		return run.Index, name == task.For.At
	case task.Kind == language.KindTry && run.Phase == PhaseCatching && run.Caught != nil && name == task.Try.Catch.As:
		return run.Caught.Value(), true
	}
	return nil, false
}

// workflowScope is what expressions of the workflow itself see.
func (x *Execution) workflowScope(now time.Time) language.Scope {
	return language.Scope{Now: now, Lookup: x.variable}
}

// variable is the value of one of the specification's variables, as the workflow itself sees it.
func (x *Execution) variable(name string) any {
	s := &x.state
	switch name {
	case "context":
		return s.Context.V
	case "input":
		return s.Input.V
	case "secrets":
		return x.secrets(x.def.Use.Secrets...)
	case "runtime":
		if x.env.Runtime == nil {
			return map[string]any{"name": "weft"}
		}
		return x.env.Runtime
	case "workflow":
		return map[string]any{"id": s.Execution, "definition": x.def.Definition, "input": s.Input.V, "startedAt": moment(s.StartedAt)}
	}
	return nil
}

func moment(at time.Time) map[string]any {
	return map[string]any{"iso8601": at.UTC().Format(time.RFC3339Nano),
		"epoch": map[string]any{"seconds": int(at.Unix()), "milliseconds": int(at.UnixMilli())}}
}

func (x *Execution) workflowInput(input any, now time.Time) (any, error) {
	definition := x.def.Input
	if definition == nil {
		return input, nil
	}
	if err := definition.Schema.Validate(input); err != nil {
		return nil, NewError(TypeValidation, err.Error())
	}
	if definition.From == nil {
		return input, nil
	}
	return x.def.Transform(definition.From, input, x.workflowScope(now))
}

// duration is a duration of the definition, or what its expression yields.
func (x *Execution) duration(d *language.Duration, run *Run, scope language.Scope) (time.Duration, error) {
	if d == nil || d.Expression == "" {
		return cmp.Or(d, &language.Duration{}).Value, nil
	}
	value, err := x.def.Evaluate(d.Expression, run.Input, scope)
	if err != nil {
		return 0, err
	}
	return language.DurationOf(value)
}
