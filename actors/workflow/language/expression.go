package language

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Bounds of one evaluation.
//
// What is bounded: MaxSteps counts the interpreter's instructions, so that the same expression on the same data ends
// the same everywhere; MaxTime is a backstop on the wall clock. What `+`, `*`, join, string interpolation and the
// functions that copy their input make is charged against MaxAllocation as it is made; an array index in an
// assignment ends at MaxIndex; the result is bounded by MaxResult and MaxResultDepth.
//
// What is not: memory is bounded by these charges and not measured. The most that seven hostile expressions made was
// 107 MiB (explode, again and again); an evaluation can hold as much for the MaxTime that it lasts. One call of a
// function (sort, a regular expression) is not preempted and runs to its end, on an input that its charge lets through.
const (
	MaxSteps       = 1_000_000
	MaxTime        = 250 * time.Millisecond
	MaxAllocation  = 16 << 20
	MaxIndex       = 100_000
	MaxResult      = 1 << 20
	MaxResultDepth = 128
)

// Variables are the names that the specification gives to expressions, without $.
var Variables = []string{"context", "input", "output", "secrets", "task", "workflow", "runtime", "authorization"}

// Errors of an evaluation, beside those that the expression itself raises.
var (
	ErrSteps  = errors.New("the expression takes too many steps")
	ErrTime   = errors.New("the expression takes too long")
	ErrMemory = errors.New("the expression makes too much data")
	ErrMany   = errors.New("the expression yields more than one value")
	ErrNumber = errors.New("the expression yields a number that JSON cannot write")
)

// Scope is what an expression sees beside its input. A variable that is missing is null.
type Scope struct {
	// Values holds Variables and those that enclosing tasks define, without $. Lookup is asked for what Values does not
	// hold, and only for what an expression uses.
	Values map[string]any
	Lookup func(name string) any
	// Names are the names that enclosing tasks define (Task.Scope).
	Names []string
	// Now is what the function now yields.
	Now time.Time

	bound []binding
}

type binding struct {
	name  string
	value any
}

// Bind is the scope with a variable that hides any of that name.
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

// IsExpression tells whether a string is written as an expression: `${ … }`.
func IsExpression(text string) bool {
	text = strings.TrimSpace(text)
	return strings.HasPrefix(text, "${") && strings.HasSuffix(text, "}")
}

// body is the jq program of an expression with or without its `${ }`.
func body(text string) string {
	if !IsExpression(text) {
		return text
	}
	text = strings.TrimSpace(text)
	return text[2 : len(text)-1]
}

// Evaluate runs an expression, written with or without `${ }`, on input. No result counts as null; more than one is
// ErrMany. Values must be of the forms that Normalize gives; the result is too, and shares structure with its input.
func (w *Workflow) Evaluate(expression string, input any, scope Scope) (any, error) {
	value, err := w.expressions.run(body(expression), input, &scope)
	if err != nil {
		return nil, fmt.Errorf("evaluating %.80q: %w", expression, err)
	}
	return value, nil
}

// Condition evaluates an expression as a condition: false and null are false, all else is true.
func (w *Workflow) Condition(expression string, input any, scope Scope) (bool, error) {
	value, err := w.Evaluate(expression, input, scope)
	return value != nil && value != false, err
}

// Transform evaluates what input.from, output.as or export.as holds: a string is an expression, with or without
// `${ }`, and an object is filled in by Fill.
func (w *Workflow) Transform(transformation, input any, scope Scope) (any, error) {
	if text, ok := transformation.(string); ok {
		return w.Evaluate(text, input, scope)
	}
	return w.Fill(transformation, input, scope)
}

// Fill replaces the expressions in a value of the definition by what they yield. In loose mode every string is
// tried as an expression and kept where it is none or fails.
func (w *Workflow) Fill(value, input any, scope Scope) (any, error) {
	switch value := value.(type) {
	case string:
		if IsExpression(value) {
			return w.Evaluate(value, input, scope)
		}
		if w.Loose {
			if result, err := w.Evaluate(value, input, scope); err == nil {
				return result, nil
			}
		}
		return value, nil
	case map[string]any:
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

// FillText is Fill for a field that is a string; a result that is none is rendered as JSON.
func (w *Workflow) FillText(text string, input any, scope Scope) (string, error) {
	value, err := w.Fill(text, input, scope)
	if err != nil {
		return "", err
	}
	return Text(value), nil
}

// Text renders a value as a string: strings as they are, null as "", all else as JSON.
func Text(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return value
	}
	return string(Canonical(value))
}

// checkExpression reports an expression that does not parse or that uses what is forbidden.
func (f field) checkExpression(text string) {
	if _, err := prepare(body(text)); err != nil {
		f.fault(CodeExpression, err.Error())
		return
	}
	if f.reader.seals == 0 && usesSecrets(text) {
		f.fault(CodeExpression, "$secrets may be used in what a call is made with, in an authentication, and in the "+
			"input.from of a call: anywhere else it would be written to the history")
	}
	f.reader.expressions = append(f.reader.expressions, written{f, text})
}

var secrets = regexp.MustCompile(`\$secrets\b`)

func usesSecrets(text string) bool { return secrets.MatchString(text) }

// UsesSecrets tells whether what a call is made with takes secrets.
func (t *Task) UsesSecrets() bool {
	return t.Sealed || t.Call != nil && usesSecrets(string(Canonical(t.Call.With)))
}

// written is an expression with its place.
type written struct {
	field
	text string
}

// checkNames reports variables and functions that are defined nowhere. A variable that some task defines is accepted
// everywhere; where it is out of scope the expression fails when it runs.
func (r *reader) checkNames() {
	seen := map[string]error{}
	for _, expression := range r.expressions {
		program := body(expression.text)
		err, known := seen[program]
		if !known {
			err = compile(program, r.variables).err
			seen[program] = err
		}
		if err != nil {
			expression.fault(CodeExpression, err.Error())
		}
	}
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
		if text, ok := f.text(); ok && IsExpression(text) {
			f.checkExpression(text)
		}
		return
	}
	o := f.object()
	for _, key := range o.keys {
		o.fields[key].checkTemplate()
	}
}
