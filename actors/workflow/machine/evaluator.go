package machine

import (
	"maps"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/workflow/language"
)

// evaluator evaluates the expressions of a definition against the state of an execution.
type evaluator struct {
	def     *language.Workflow
	state   *State
	secrets *secretReader
	runtime map[string]any
	meter   *meter
}

// budget is that of the present decision.
func (e *evaluator) budget() *budget.Budget { return &e.meter.budget }

// scope is the scope of a task's expressions: the specification's variables and those of the enclosing tasks. Variables
// are computed only when an expression uses them.
func (e *evaluator) scope(run *Run, task *language.Task) language.Scope {
	scope := e.workflowScope(run.StartedAt)
	if task == nil {
		scope.Lookup = func(name string) any {
			if name == "input" {
				return run.Input
			}
			return e.variable(name)
		}
		return scope
	}
	scope.Names = task.Scope
	if task.Kind == language.KindFor {
		scope.Names = withNames(task.Scope, task.For.Each, task.For.At)
	}
	scope.Lookup = func(name string) any {
		switch name {
		case "input":
			return run.Input
		case "task":
			return e.taskDescriptor(run, task)
		case "authorization":
			return e.authorization(run, task, true)
		}
		if slices.Contains(language.Variables, name) {
			return e.variable(name)
		}
		for at := run; at != nil && at.ID != 0; at = e.state.run(at.Parent) {
			if value, ok := e.localVariable(at, name); ok {
				return value
			}
		}
		return nil
	}
	return scope
}

// withNames returns a scope's names with further ones.
func withNames(scope []string, names ...string) []string {
	out := slices.Clone(scope)
	for _, name := range names {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// taskDescriptor is $task: that of the task itself, or within an extension that of the extended task.
func (e *evaluator) taskDescriptor(run *Run, task *language.Task) any {
	if task.Kind == language.KindExtension {
		return extendedTaskDescriptor(task, run)
	}
	for at := run; at.ID != 0; {
		slot := at.Slot
		if at = e.state.run(at.Parent); at == nil || at.ID == 0 {
			break
		}
		if around := e.def.Task(at.Task); around.Kind == language.KindExtension && !isExtendedSlot(around, slot) {
			return extendedTaskDescriptor(around, at)
		}
	}
	return map[string]any{"name": task.Name, "reference": task.Pointer, "definition": task.Definition, "input": run.rawInput(),
		"startedAt": dateTimeDescriptor(run.StartedAt)}
}

// extendedTaskDescriptor is $task within an extension: the definition of the extended task and the fields of its
// descriptor.
func extendedTaskDescriptor(around *language.Task, run *Run) map[string]any {
	task := around.Extended
	for task.Extended != nil {
		task = task.Extended
	}
	values := maps.Clone(task.Definition)
	maps.Copy(values, map[string]any{"name": task.Name, "reference": task.Pointer, "definition": task.Definition,
		"input": run.rawInput(), "startedAt": dateTimeDescriptor(run.StartedAt)})
	return values
}

// outputScope is the scope of output.as and export.as: $task has the raw output.
func (e *evaluator) outputScope(run *Run, task *language.Task, raw any) language.Scope {
	scope := e.scope(run, task)
	lookup := scope.Lookup
	scope.Lookup = func(name string) any {
		value := lookup(name)
		if descriptor, isObject := value.(map[string]any); isObject && name == "task" {
			descriptor["output"] = raw
		}
		return value
	}
	return scope
}

// localVariable is the value of a variable that one enclosing run defines.
func (e *evaluator) localVariable(run *Run, name string) (any, bool) {
	task := e.def.Task(run.Task)
	switch {
	case run.Phase == PhaseCompensating:
		return run.Input, name == language.VariableCompensate
	case run.Phase == PhaseIterating && name == task.Listen.Foreach.Item:
		return run.currentMessage(task), true
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

// workflowScope is the scope of expressions that belong to the workflow itself.
func (e *evaluator) workflowScope(now time.Time) language.Scope {
	return language.Scope{Now: now, Lookup: e.variable, Budget: e.budget()}
}

// variable is the value of one of the specification's variables at workflow level.
func (e *evaluator) variable(name string) any {
	s := e.state
	switch name {
	case "context":
		return s.Context.V
	case "input":
		return s.Input.V
	case "secrets":
		return e.secrets.variable(e.def.Use.Secrets)
	case "runtime":
		return runtimeDescriptor(e.runtime)
	case "workflow":
		return map[string]any{"id": s.Execution, "definition": e.def.Definition, "input": s.Input.V, "startedAt": dateTimeDescriptor(s.StartedAt)}
	}
	return nil
}

// runtimeDescriptor is $runtime with the fields that the environment leaves out.
func runtimeDescriptor(given map[string]any) map[string]any {
	runtime := map[string]any{"name": "weft", "version": "unknown", "metadata": map[string]any{}}
	maps.Copy(runtime, given)
	return runtime
}

// dateTimeDescriptor is the specification's form of an instant.
func dateTimeDescriptor(at time.Time) map[string]any {
	return map[string]any{"iso8601": at.UTC().Format(time.RFC3339Nano),
		"epoch": map[string]any{"seconds": int(at.Unix()), "milliseconds": int(at.UnixMilli())}}
}
