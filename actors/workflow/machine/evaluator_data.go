package machine

import (
	"cmp"
	"net/url"
	"regexp"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

var uriPlaceholder = regexp.MustCompile(`\{([a-zA-Z_][a-zA-Z0-9_]*)\}`)

// workflowInput validates and transforms the input of the workflow.
func (e *evaluator) workflowInput(input any, now time.Time) (any, error) {
	definition := e.def.Input
	if definition == nil {
		return input, nil
	}
	if err := definition.Schema.Validate(input); err != nil {
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
	if err := definition.Schema.Validate(output); err != nil {
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
	if err := definition.Schema.Validate(exported.V); err != nil {
		return Value{}, NewError(TypeValidation, err.Error())
	}
	return exported, nil
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

// endpointURI evaluates an endpoint: an expression, or a template whose {names} are fields of the input.
func (e *evaluator) endpointURI(text string, input any, scope language.Scope) (string, error) {
	if language.IsExpression(text) {
		value, err := e.def.Evaluate(text, input, scope)
		return language.Text(value), err
	}
	fields, _ := input.(map[string]any)
	var missing string
	target := uriPlaceholder.ReplaceAllStringFunc(text, func(match string) string {
		value, ok := fields[match[1:len(match)-1]]
		if !ok || value == nil {
			missing = match
			return ""
		}
		return url.PathEscape(language.Text(value))
	})
	if missing != "" {
		return "", NewError(TypeExpression, "the input has no field for "+missing+" in the URI")
	}
	return target, nil
}

// stringMap evaluates a map of names to strings, or an expression for one. A null value omits its name.
func (e *evaluator) stringMap(definition, input any, scope language.Scope) (map[string]string, error) {
	texts := map[string]string{}
	if definition == nil {
		return texts, nil
	}
	filled, err := e.def.Fill(definition, input, scope)
	if err != nil {
		return nil, err
	}
	fields, isObject := filled.(map[string]any)
	if !isObject && filled != nil {
		return nil, NewError(TypeExpression, "headers and query must be objects")
	}
	for name, value := range fields {
		if value != nil {
			texts[name] = language.Text(value)
		}
	}
	return texts, nil
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
		text, failure := e.def.FillText(field.from, run.Input, scope)
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
		err.Status = int(status)
	default:
		return nil, NewError(TypeExpression, "the status of an error must be a number")
	}
	return err, nil
}

// workflowError converts an error to an error of the workflow, with secrets masked and the instance set.
func (e *evaluator) workflowError(err error, instance string) *Error {
	problem := *asError(err)
	problem.Detail = e.secrets.maskText(problem.Detail)
	if problem.Instance == "" {
		problem.Instance = instance
	}
	return &problem
}
