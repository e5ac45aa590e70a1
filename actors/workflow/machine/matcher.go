package machine

import (
	"bytes"
	"reflect"
	"regexp"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// eventMatcher matches CloudEvents against the event filters of a definition.
type eventMatcher struct {
	def *language.Workflow
}

// matches reports whether an event has the attributes that a filter requires and correlates with earlier events. It
// returns the values that later events must share. An expression that fails does not match.
func (m *eventMatcher) matches(filter language.EventFilter, message map[string]any, run *Run, scope language.Scope) (map[string]any, bool) {
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
			if err != nil || !equalJSON(expected, value) {
				return nil, false
			}
			continue
		}
		if known, fixed := run.Correlation[name]; fixed && !equalJSON(known, value) {
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
// a regular expression, any other value must equal it.
func (m *eventMatcher) matchesAttribute(want, got any, scope language.Scope) bool {
	text, isText := want.(string)
	if !isText {
		return equalJSON(want, got)
	}
	if language.IsExpression(text) {
		value, err := m.def.Evaluate(text, got, scope)
		if err != nil || value == nil || value == false {
			return false
		}
		return value == true || equalJSON(value, got)
	}
	given, isText := got.(string)
	if !isText || text == given || language.IsLiteral(text) {
		return isText && text == given
	}
	pattern, err := regexp.Compile("^(?:" + text + ")$")
	return err == nil && pattern.MatchString(given)
}

func equalJSON(a, b any) bool {
	return reflect.DeepEqual(a, b) || bytes.Equal(language.Canonical(a), language.Canonical(b))
}
