package machine

import (
	"bytes"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/pattern"
	"github.com/weftmesh/weft/actors/workflow/language"
)

// eventMatcher matches CloudEvents against the event filters of a definition.
type eventMatcher struct {
	def *language.Workflow
	// patterns are those that were compiled before.
	patterns *pattern.Cache
}

// schedulePatterns are the patterns of the schedules of all definitions.
var schedulePatterns pattern.Cache

// MatchingBudget returns a budget for matching one event with the filters of a schedule: that of one event of an execution.
func MatchingBudget() *budget.Budget {
	return budget.New(budget.Limits{Steps: MaxEventSteps, Bytes: MaxEventBytes})
}

// newScheduleMatcher returns the matcher of a definition's schedule and a scope with its budget.
func newScheduleMatcher(def *language.Workflow, now time.Time) (eventMatcher, language.Scope) {
	return eventMatcher{def, &schedulePatterns}, language.Scope{Now: now, Budget: MatchingBudget()}
}

// matches reports whether an event has the attributes that a filter requires and correlates with earlier events. It
// returns the values that later events must share. An expression that fails does not match; where the scope's budget is exhausted, the
// result means nothing.
func (m *eventMatcher) matches(filter language.EventFilter, message map[string]any, run *Run, scope language.Scope) (map[string]any, bool) {
	if filter.With["type"] == nil && isLifecycle(message) {
		return nil, false
	}
	for name, want := range filter.With {
		if !m.matchesAttribute(want, message[name], scope) {
			return nil, false
		}
	}
	var shared map[string]any
	for name, correlation := range filter.Correlate {
		value, err := m.def.Evaluate(correlation.From, message, scope)
		if err != nil || value == nil {
			return nil, false
		}
		if correlation.Expect != "" {
			expected, err := m.def.Fill(correlation.Expect, run.Input, scope)
			if err != nil || !equalJSON(expected, value, scope.Budget) {
				return nil, false
			}
			continue
		}
		if known, fixed := run.Correlation[name]; fixed && !equalJSON(known, value, scope.Budget) {
			return nil, false
		}
		if shared == nil {
			shared = map[string]any{}
		}
		shared[name] = value
	}
	return shared, true
}

// matchesAttribute compares one attribute: an expression must hold for it, a string must equal it or match all of it as
// a regular expression. An object or a list with expressions inside is compared part by part; any other value must equal it.
func (m *eventMatcher) matchesAttribute(want, got any, scope language.Scope) bool {
	text, isText := want.(string)
	if !isText {
		return m.matchesPart(want, got, scope)
	}
	if language.IsExpression(text) {
		return m.matchesExpression(text, got, scope)
	}
	given, isText := got.(string)
	if !isText || text == given || language.IsLiteral(text) {
		return isText && text == given
	}
	compiled, _, err := m.patterns.Get("^(?:" + text + ")$")
	if err != nil || scope.Budget.Step(compiled.Size()) != nil { // also if it is known: the steps are always the same
		return false
	}
	matched, err := compiled.Match(given, scope.Budget)
	return err == nil && matched
}

// matchesExpression evaluates an expression on a value: it must be true, or equal the value.
func (m *eventMatcher) matchesExpression(text string, got any, scope language.Scope) bool {
	value, err := m.def.Evaluate(text, got, scope)
	if err != nil || value == nil || value == false {
		return false
	}
	return value == true || equalJSON(value, got, scope.Budget)
}

// matchesPart compares a value. In an object with expressions, the fields that it names must match; a list with expressions
// must match item by item. Everything else must be equal.
func (m *eventMatcher) matchesPart(want, got any, scope language.Scope) bool {
	if text, isText := want.(string); isText && language.IsExpression(text) {
		return m.matchesExpression(text, got, scope)
	}
	if !hasExpression(want) {
		return equalJSON(want, got, scope.Budget)
	}
	switch want := want.(type) {
	case map[string]any:
		fields, isObject := got.(map[string]any)
		if !isObject {
			return false
		}
		for name, part := range want {
			if !m.matchesPart(part, fields[name], scope) {
				return false
			}
		}
		return true
	case []any:
		items, isList := got.([]any)
		if !isList || len(items) != len(want) {
			return false
		}
		for i, part := range want {
			if !m.matchesPart(part, items[i], scope) {
				return false
			}
		}
		return true
	}
	return false
}

// hasExpression reports whether any text in a value is an expression.
func hasExpression(value any) bool {
	switch value := value.(type) {
	case string:
		return language.IsExpression(value)
	case map[string]any:
		for _, part := range value {
			if hasExpression(part) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(value, hasExpression)
	}
	return false
}

// equalJSON reports whether two values have the same encoding. It takes a step for each value that it looks at.
func equalJSON(a, b any, whole *budget.Budget) bool {
	if whole.Step(1) != nil {
		return false
	}
	switch a := a.(type) {
	case map[string]any:
		b, isObject := b.(map[string]any)
		if !isObject || len(a) != len(b) {
			return false
		}
		for name, item := range a {
			other, given := b[name]
			if !given || !equalJSON(item, other, whole) {
				return false
			}
		}
		return true
	case []any:
		b, isList := b.([]any)
		if !isList || len(a) != len(b) {
			return false
		}
		for i, item := range a {
			if !equalJSON(item, b[i], whole) {
				return false
			}
		}
		return true
	case string:
		b, isText := b.(string)
		return isText && whole.Step(min(len(a), len(b))/stepBytes) == nil && a == b
	}
	switch b.(type) {
	case map[string]any, []any, string:
		return false
	}
	return bytes.Equal(language.Canonical(a), language.Canonical(b))
}
