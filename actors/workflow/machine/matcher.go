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

// passes tells whether an event has the attributes that a filter asks for and correlates with what came before. It
// returns the values that events to come must share. An expression that fails means no.
func (m *eventMatcher) passes(filter language.EventFilter, message map[string]any, run *Run, scope language.Scope) (map[string]any, bool) {
	for name, want := range filter.With {
		if !m.attribute(want, message[name], scope) {
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
			if err != nil || !same(expected, value) {
				return nil, false
			}
			continue
		}
		if known, fixed := run.Correlation[name]; fixed && !same(known, value) {
			return nil, false
		}
		if shared == nil {
			shared = map[string]any{}
		}
		shared[name] = value
	}
	return shared, true
}

// attribute compares one attribute: an expression must hold for it, a text must equal it or match all of it as a
// regular expression, any other value must equal it.
func (m *eventMatcher) attribute(want, got any, scope language.Scope) bool {
	text, isText := want.(string)
	if !isText {
		return same(want, got)
	}
	if language.IsExpression(text) {
		value, err := m.def.Evaluate(text, got, scope)
		if err != nil || value == nil || value == false {
			return false
		}
		return value == true || same(value, got)
	}
	given, isText := got.(string)
	if !isText || text == given || language.IsLiteral(text) {
		return isText && text == given
	}
	pattern, err := regexp.Compile("^(?:" + text + ")$")
	return err == nil && pattern.MatchString(given)
}

func same(a, b any) bool {
	return reflect.DeepEqual(a, b) || bytes.Equal(language.Canonical(a), language.Canonical(b))
}
