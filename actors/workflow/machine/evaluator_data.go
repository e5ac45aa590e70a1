package machine

import (
	"cmp"
	"math"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// workflowInput validates and transforms the input of the workflow.
func (e *evaluator) workflowInput(input any, now time.Time) (any, error) {
	definition := e.def.Input
	if definition == nil {
		return input, nil
	}
	if err := definition.Schema.Validate(input, e.budget()); err != nil {
		return nil, NewError(TypeValidation, err.Error())
	}
	if definition.From == nil {
		return input, nil
	}
	return e.def.Transform(definition.From, input, e.workflowScope(now))
}

// deadline is when an execution that begins now times out; nil without a timeout.
func (e *evaluator) deadline(data any, now time.Time) (*time.Time, error) {
	if e.def.Timeout == nil {
		return nil, nil
	}
	after, err := e.duration(&e.def.Timeout.After, &Run{Input: data}, e.workflowScope(now))
	if err != nil {
		return nil, err
	}
	due := now.Add(after)
	return &due, nil
}

// duration is a duration of the definition, evaluated if it is an expression.
func (e *evaluator) duration(d *language.Duration, run *Run, scope language.Scope) (time.Duration, error) {
	if d == nil || d.Expression == "" {
		return cmp.Or(d, &language.Duration{}).Value, nil
	}
	value, err := e.def.Evaluate(d.Expression, run.Input, scope)
	if err != nil {
		return 0, err
	}
	return language.DurationOf(value)
}

// loopItems evaluates for.in; null yields no items.
func (e *evaluator) loopItems(run *Run, task *language.Task, _ time.Time) ([]any, error) {
	scope := e.scope(run, task)
	scope.Names = task.Scope
	value, err := e.def.Transform(task.For.In, run.Input, scope)
	if list, inline := task.For.In.([]any); inline {
		value, err = e.def.Fill(list, run.Input, scope)
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

// transformOutput applies output.as and output.schema to a raw output.
func (e *evaluator) transformOutput(definition *language.Output, raw any, scope language.Scope) (any, error) {
	if definition == nil {
		return raw, nil
	}
	output := raw
	if definition.As != nil {
		transformed, err := e.def.Transform(definition.As, raw, scope.Bind("output", raw))
		if err != nil {
			return nil, err
		}
		output = transformed
	}
	if err := definition.Schema.Validate(output, scope.Budget); err != nil {
		return nil, NewError(TypeValidation, err.Error())
	}
	return output, nil
}

// exportContext computes the context that a task exports; absent if it exports none.
func (e *evaluator) exportContext(definition *language.Export, output any, scope language.Scope) (Value, error) {
	if definition == nil {
		return Value{}, nil
	}
	exported := e.state.Context
	if definition.As != nil {
		value, err := e.def.Transform(definition.As, output, scope.Bind("output", output))
		if err != nil {
			return Value{}, err
		}
		exported = ValueOf(value)
	}
	if err := definition.Schema.Validate(exported.V, scope.Budget); err != nil {
		return Value{}, NewError(TypeValidation, err.Error())
	}
	return exported, nil
}

// condition evaluates a condition of the definition, which may read secrets. It fails if one that it reads is unavailable.
func (e *evaluator) condition(text string, input any, scope language.Scope) (bool, error) {
	e.secrets.denied = nil
	holds, err := e.def.Condition(text, input, scope)
	if e.secrets.denied != nil {
		return false, e.secrets.denied
	}
	return holds, err
}

// conditionsHold evaluates a pair of when and exceptWhen; an empty one is ignored.
func (e *evaluator) conditionsHold(when, exceptWhen string, run *Run, scope language.Scope) (bool, error) {
	if when != "" {
		ok, err := e.def.Condition(when, run.Input, scope)
		if err != nil || !ok {
			return false, err
		}
	}
	if exceptWhen != "" {
		except, err := e.def.Condition(exceptWhen, run.Input, scope)
		return err == nil && !except, err
	}
	return true, nil
}

// applicableTask skips the extensions around a task whose condition is false.
func (e *evaluator) applicableTask(task *language.Task, parent *Run, raw any, now time.Time) (*language.Task, error) {
	for task.Kind == language.KindExtension && task.Extension.When != "" {
		probe := &Run{ID: e.state.NextRun, Parent: parent.ID, Task: task.Pointer, Input: raw, StartedAt: now}
		holds, err := e.def.Condition(task.Extension.When, raw, e.scope(probe, task))
		if err != nil || holds {
			return task, err
		}
		task = task.Extended
	}
	return task, nil
}

// expandURIs replaces the fields that are URI templates by their expansions, in place. A list is a list of templates.
func (e *evaluator) expandURIs(fields, definition map[string]any, input any, scope language.Scope, names ...string) error {
	for _, name := range names {
		switch text := definition[name].(type) {
		case string:
			expanded, err := e.def.ExpandURI(text, input, scope)
			if err != nil {
				return err
			}
			fields[name] = expanded
		case []any:
			list := make([]any, len(text))
			for i, item := range text {
				expanded, err := e.def.ExpandURI(language.Text(item), input, scope)
				if err != nil {
					return err
				}
				list[i] = expanded
			}
			fields[name] = list
		}
	}
	return nil
}

// raisedError evaluates the error definition of a raise task.
func (e *evaluator) raisedError(definition *language.ErrorDefinition, task *language.Task, run *Run, scope language.Scope) (*Error, error) {
	err := &Error{Instance: task.Pointer}
	fields := []struct {
		from string
		to   *string
	}{{definition.Type, &err.Type}, {definition.Title, &err.Title}, {definition.Detail, &err.Detail}}
	if definition.Instance != "" {
		fields = append(fields, struct {
			from string
			to   *string
		}{definition.Instance, &err.Instance})
	}
	for _, field := range fields {
		fill := e.def.FillText
		if field.to == &err.Type {
			fill = e.def.ExpandURI
		}
		text, failure := fill(field.from, run.Input, scope)
		if failure != nil {
			return nil, failure
		}
		*field.to = text
	}
	status, failure := e.def.Fill(definition.Status, run.Input, scope)
	if failure != nil {
		return nil, failure
	}
	switch status := status.(type) {
	case int:
		err.Status = status
	case float64:
		if math.Abs(status) > math.MaxInt32 {
			return nil, NewError(TypeExpression, "the status of an error must be a status code")
		}
		err.Status = int(status)
	default:
		return nil, NewError(TypeExpression, "the status of an error must be a number")
	}
	return err, nil
}

// workflowError converts an error to an error of the workflow, with secrets masked and the instance set. Once a decision has exceeded what
// an event may take, every error of it says so.
func (e *evaluator) workflowError(err error, instance string) *Error {
	problem := *asError(err)
	if exceeded := e.meter.fault(); exceeded != nil { // err is how the evaluation ended for that reason
		problem = *exceeded
	}
	problem.Detail = e.secrets.maskText(problem.Detail)
	if problem.Instance == "" {
		problem.Instance = instance
	}
	return &problem
}
