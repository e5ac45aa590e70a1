package language

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/jq"
)

// Bounds of one evaluation: those of package jq.
const (
	MaxSteps       = jq.MaxSteps
	MaxTime        = jq.MaxTime
	MaxAllocation  = jq.MaxAllocation
	MaxIndex       = jq.MaxIndex
	MaxResult      = jq.MaxResult
	MaxResultDepth = jq.MaxResultDepth
)

// Variables are the specification's variables, without $.
var Variables = []string{"context", "input", "output", "secrets", "task", "workflow", "runtime", "authorization"}

// Errors of an evaluation besides those that the expression itself raises.
var (
	ErrSteps  = jq.ErrSteps
	ErrTime   = jq.ErrTime
	ErrMemory = jq.ErrMemory
	ErrMany   = jq.ErrMany
	ErrNumber = errors.New("the expression yields a number that is not finite")
)

// Exhausted is the error of an evaluation that exceeds a bound. It wraps the budget's error.
type Exhausted = jq.Exhausted

func isExhausted(err error) bool {
	var exhausted *Exhausted
	return errors.As(err, &exhausted)
}

// Scope holds the variables of an expression. A missing variable is null.
type Scope struct {
	// Values are the values of Variables and of the variables that enclosing tasks define, without $. Lookup is called for
	// variables that are not in Values, and only for those that the expression mentions.
	Values map[string]any
	Lookup func(name string) any
	// Names are the variables that enclosing tasks define (Task.Scope).
	Names []string
	// Now is the result of the function now.
	Now time.Time
	// Budget is charged with what each evaluation takes, which ends when the budget is exhausted; nil if only the bounds of one
	// evaluation apply.
	Budget *budget.Budget

	bound []binding
}

type binding struct {
	name  string
	value any
}

// Bind returns the scope with a variable that shadows any of the same name.
func (s Scope) Bind(name string, value any) Scope {
	s.bound = append(slices.Clip(s.bound), binding{name, value})
	return s
}

func (s *Scope) value(name string) any {
	for _, bound := range slices.Backward(s.bound) {
		if bound.name == name {
			return bound.value
		}
	}
	if value, ok := s.Values[name]; ok || s.Lookup == nil {
		return value
	}
	return s.Lookup(name)
}

// IsExpression reports whether a string has the form of an expression: `${ … }`.
func IsExpression(text string) bool {
	text = strings.TrimSpace(text)
	return strings.HasPrefix(text, "${") && strings.HasSuffix(text, "}")
}

// expressionBody is the jq program of an expression, written with or without `${ }`.
func expressionBody(text string) string {
	if !IsExpression(text) {
		return text
	}
	text = strings.TrimSpace(text)
	return text[2 : len(text)-1]
}

// Evaluate evaluates an expression, written with or without `${ }`, on input. No result is null; more than one is
// ErrMany. Values must have the forms that Normalize returns; so does the result, which may share structure with the
// input.
func (w *Workflow) Evaluate(expression string, input any, scope Scope) (any, error) {
	value, err := w.expressions.run(expressionBody(expression), input, &scope)
	if err != nil {
		return nil, fmt.Errorf("evaluating %.80q: %w", expression, err)
	}
	return value, nil
}

// Condition evaluates an expression as a condition: false and null are false, anything else is true.
func (w *Workflow) Condition(expression string, input any, scope Scope) (bool, error) {
	value, err := w.Evaluate(expression, input, scope)
	return value != nil && value != false, err
}

// Transform evaluates input.from, output.as or export.as: a string is an expression, with or without `${ }`; an object
// is evaluated by Fill.
func (w *Workflow) Transform(transformation, input any, scope Scope) (any, error) {
	if text, ok := transformation.(string); ok {
		return w.Evaluate(text, input, scope)
	}
	return w.Fill(transformation, input, scope)
}

// Fill replaces the expressions in a value of the definition by their results. In loose mode every string is evaluated
// as an expression, and kept if that fails, unless it exceeds a bound.
func (w *Workflow) Fill(value, input any, scope Scope) (any, error) {
	switch value := value.(type) {
	case string:
		if IsExpression(value) {
			return w.Evaluate(value, input, scope)
		}
		if w.Loose {
			if result, err := w.Evaluate(value, input, scope); err == nil || isExhausted(err) {
				return result, err
			}
		}
		return value, nil
	case map[string]any:
		if err := copying(scope.Budget, value); err != nil {
			return nil, err
		}
		filled := make(map[string]any, len(value))
		for key, item := range value {
			result, err := w.Fill(item, input, scope)
			if err != nil {
				return nil, err
			}
			filled[key] = result
		}
		return filled, nil
	case []any:
		if err := copying(scope.Budget, value); err != nil {
			return nil, err
		}
		filled := make([]any, len(value))
		for i, item := range value {
			result, err := w.Fill(item, input, scope)
			if err != nil {
				return nil, err
			}
			filled[i] = result
		}
		return filled, nil
	}
	return value, nil
}

// copying charges a budget with a shallow copy of a value.
func copying(whole *budget.Budget, value any) error {
	size := jq.Width(value)
	err := whole.Allocate(size)
	if err == nil {
		err = whole.Step(1 + size/64)
	}
	if err == nil {
		return nil
	}
	var bound *budget.Error
	if errors.As(err, &bound) {
		return &Exhausted{Text: "filling in a value exceeds the budget of " + bound.Bound, Bound: bound}
	}
	return nil
}

// FillText is Fill for a string field; a result that is not a string is encoded as JSON.
func (w *Workflow) FillText(text string, input any, scope Scope) (string, error) {
	value, err := w.Fill(text, input, scope)
	if err != nil {
		return "", err
	}
	return Text(value), nil
}

// Text formats a value as a string: strings as they are, null as "", anything else as JSON.
func Text(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return value
	}
	return string(Canonical(value))
}

// checkExpression reports an expression that does not parse or uses a forbidden function or $secrets where it is not
// allowed.
func (f field) checkExpression(text string) {
	if !f.reader.countExpression(f, text) {
		return
	}
	if _, err := jq.Parse(expressionBody(text)); err != nil {
		if strings.Count(text, "${") > 1 {
			err = embeddedExpression(text)
		}
		f.fault(CodeExpression, err.Error())
		return
	}
	if f.reader.secretsAllowed == 0 && mentionsSecrets(text) {
		f.fault(CodeExpression, secretsRefused(f.pointer))
	}
	for _, match := range secretsVariable.FindAllStringSubmatch(text, -1) {
		name := match[1] + match[2]
		if name != "" && !slices.Contains(f.reader.workflow.Use.Secrets, name) && f.reader.secretsAllowed > 0 {
			f.reference("use.secrets", name, f.reader.workflow.Use.Secrets)
		}
	}
	f.reader.expressions = append(f.reader.expressions, locatedExpression{f, text})
}

// countExpression reports an expression that is one too many, and no more after it.
func (r *reader) countExpression(f field, text string) bool {
	before := r.expressionText
	if r.expressionText += len(text); r.expressionText <= MaxExpressionText && len(r.expressions) < MaxExpressions {
		return true
	}
	if before <= MaxExpressionText {
		f.fault(CodeTooLarge, fmt.Sprintf("the definition has more than %d expressions, or more than %d bytes of them", MaxExpressions, MaxExpressionText))
		r.expressionText = MaxExpressionText + 1
	}
	return false
}

// checkBare checks an expression that may be written without `${ }`. One with it is left to checkTemplate.
func (f field) checkBare(text string) {
	if !IsExpression(text) {
		f.checkExpression(text)
	}
}

// locatedExpression is an expression with its position.
type locatedExpression struct {
	field
	text string
}

// checkNames reports undefined variables and functions. A variable that any task defines is accepted everywhere; where
// it is out of scope the evaluation fails.
func (r *reader) checkNames() {
	seen := map[string]error{}
	for _, expression := range r.expressions {
		program := expressionBody(expression.text)
		err, known := seen[program]
		if !known {
			err = r.suggestVariable(compile(program, r.variables).err)
			seen[program] = err
		}
		if err != nil {
			expression.fault(CodeExpression, err.Error())
		}
	}
}

// suggestVariable adds the variable that was probably meant to the error of an expression with an undefined one.
func (r *reader) suggestVariable(err error) error {
	if err == nil {
		return nil
	}
	name, undefined := strings.CutPrefix(err.Error(), "variable not defined: $")
	if suggestion := Suggest(name, slices.Concat(Variables, r.variables)); undefined && suggestion != "" {
		return fmt.Errorf("%w: did you mean $%s?", err, suggestion)
	}
	return err
}

// expression takes a field that is always an expression, with or without `${ }`.
func (o *object) expression(key string) string {
	f, ok := o.take(key)
	if !ok {
		return ""
	}
	text := f.needText()
	if text != "" {
		f.checkExpression(text)
	}
	return text
}

// checkTemplate checks every `${ … }` in a value.
func (f field) checkTemplate() {
	if f.isList() {
		for _, item := range f.items() {
			item.checkTemplate()
		}
		return
	}
	if !f.isObject() {
		switch text, ok := f.text(); {
		case ok && IsExpression(text):
			f.checkExpression(text)
		case ok && f.reader.workflow.Loose && f.reader.secretsAllowed == 0 && mentionsSecrets(text):
			f.fault(CodeExpression, secretsRefused(f.pointer)) // in loose mode, any text is evaluated
		case ok && strings.Contains(text, "${") && strings.Contains(text, "}"):
			f.reader.warn(f, "the text is taken as it is: "+embeddedExpression(text).Error())
		}
		return
	}
	o := f.object()
	for _, key := range o.keys {
		o.fields[key].checkTemplate()
	}
}

// CheckExpression returns the fault of an expression, written with or without `${ }`, that is evaluated outside of
// tasks, where only Variables are defined, and whose result is kept.
func CheckExpression(text string) error {
	if mentionsSecrets(text) {
		return errors.New("$secrets may not be used here, because the result is kept")
	}
	return compile(expressionBody(text), nil).err
}
