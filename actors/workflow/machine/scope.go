package machine

import (
	"cmp"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// scope is what expressions of a task see: the specification's variables, and those of the enclosing tasks.
func (x *Execution) scope(run *Run, task *language.Task) language.Scope {
	scope := x.workflowScope(run.StartedAt)
	scope.Values["input"] = run.Input
	if task == nil {
		return scope
	}
	scope.Names = task.Scope
	if task.Kind == language.KindFor {
		scope.Names = inside(task.Scope, task.For.Each, task.For.At)
	}
	scope.Values["task"] = map[string]any{"name": task.Name, "reference": task.Pointer, "definition": task.Definition,
		"input": run.Input, "startedAt": moment(run.StartedAt)}
	if task.Kind == language.KindExtension {
		scope.Values["task"] = about(task, run)
	}
	for at, extended := run, false; at.ID != 0; {
		x.bind(at, scope)
		slot := at.Slot
		if at = x.state.run(at.Parent); at == nil || at.ID == 0 {
			break
		}
		if around := x.def.Task(at.Task); !extended && around.Kind == language.KindExtension && !extends(around, slot) {
			scope.Values["task"], extended = about(around, at), true
		}
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

func namesOutside(task *language.Task) []string { return task.Scope }

// bind adds the variables that one enclosing run defines; the innermost of a name counts.
func (x *Execution) bind(run *Run, scope language.Scope) {
	task := x.def.Task(run.Task)
	set := func(name string, value any) {
		if _, hidden := scope.Values[name]; !hidden {
			scope.Values[name] = value
		}
	}
	switch {
	case run.Phase == PhaseCompensating:
		set(language.VariableCompensate, run.Input)
	case run.Phase == PhaseIterating:
		set(task.Listen.Foreach.Item, run.message(task))
		set(task.Listen.Foreach.At, run.Index)
	case task.Kind == language.KindFor && run.Index >= 0 && run.Index < len(run.Items):
		set(task.For.Each, run.Items[run.Index])
		set(task.For.At, run.Index)
	case task.Kind == language.KindTry && run.Phase == PhaseCatching && run.Caught != nil:
		set(task.Try.Catch.As, run.Caught.Value())
	}
}

// scopeWith overlays the variables of a run that is about to change.
func (x *Execution) scopeWith(run *Run, scope language.Scope) language.Scope {
	task := x.def.Task(run.Task)
	delete(scope.Values, task.For.Each)
	delete(scope.Values, task.For.At)
	x.bind(run, scope)
	return scope
}

// workflowScope is what expressions of the workflow itself see.
func (x *Execution) workflowScope(now time.Time) language.Scope {
	s := &x.state
	runtime := x.env.Runtime
	if runtime == nil {
		runtime = map[string]any{"name": "weft"}
	}
	secrets := x.env.Secrets
	if secrets == nil {
		secrets = map[string]any{}
	}
	return language.Scope{Now: now, Values: map[string]any{
		"context": s.Context.V, "input": s.Input.V, "secrets": secrets, "runtime": runtime,
		"workflow": map[string]any{"id": s.Execution, "definition": x.def.Definition, "input": s.Input.V,
			"startedAt": moment(s.StartedAt)},
	}}
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
