package schema

import (
	"encoding/json"
	"errors"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/pattern"
)

// meter counts what a validation does.
type meter struct {
	part budget.Budget
	// err is what ended the last validation before its verdict.
	err error
	// perError is the memory that the error of one application may take, while errors are kept.
	perError int
	schemas  []*jsonschema.Schema
	patterns map[string]*counted
	compile  func(text string) (*pattern.Pattern, error)
}

// aborted ends a validation.
type aborted struct{ error }

// collect notes each subschema that is compiled, wherever it stands.
func (m *meter) collect(c *jsonschema.CompilerContext, _ map[string]any) (jsonschema.SchemaExt, error) {
	if len(m.schemas) >= MaxSubschemas {
		return nil, errTooMany
	}
	m.schemas = append(m.schemas, c.Enqueue(nil))
	return nil, nil
}

var errTooMany = errors.New("the schema has too many subschemas")

// attach has each subschema call the meter when it is applied to a value. The validator calls a format after type, const and enum, whose
// costs are those of the subschema that applies this one, and before everything else.
func (m *meter) attach() {
	unevaluated := false
	for _, s := range m.schemas {
		unevaluated = unevaluated || s.UnevaluatedProperties != nil || s.UnevaluatedItems != nil
	}
	for _, s := range m.schemas {
		c := costsOf(s, unevaluated)
		format := s.Format
		s.Format = &jsonschema.Format{Name: "meter", Validate: func(value any) error {
			m.enter(&c, value)
			if format == nil {
				return nil
			}
			if text, isText := value.(string); isText {
				m.take(len(text)/16, 0)
			}
			return format.Validate(value)
		}}
		if format != nil {
			s.Format.Name = format.Name
		}
	}
}

// costs are what the application of a subschema takes.
type costs struct {
	// fixed is for what applies to the same value, item for each item or field.
	fixed, item int
	// bytes is the memory for each item or field. others are how many subschemas apply to the same value.
	bytes    int
	others   int
	number   int
	isUnique bool
}

// visit is how many steps the application of a subschema takes at least.
const visit = 4

// costsOf adds up what a subschema does before those that it applies count by themselves.
func costsOf(s *jsonschema.Schema, unevaluated bool) costs {
	c := costs{fixed: visit, isUnique: s.UniqueItems, bytes: 64}
	for _, other := range onSameValue(s) {
		c.fixed += ahead(other)
		c.others++
	}
	c.fixed += len(s.Required) / 8
	for _, required := range s.DependentRequired {
		c.fixed += 1 + len(required)/8
	}
	for _, other := range onItems(s) {
		c.item += ahead(other)
	}
	most := 0
	for _, other := range s.Properties {
		most = max(most, ahead(other))
	}
	c.item += most
	for _, other := range s.PatternProperties {
		c.item += ahead(other)
	}
	if s.PropertyNames != nil {
		c.item += ahead(s.PropertyNames) + visit
	}
	if unevaluated {
		c.item, c.bytes = c.item+1, c.bytes+64
	}
	for _, bound := range []bool{s.Minimum != nil, s.Maximum != nil, s.ExclusiveMinimum != nil, s.ExclusiveMaximum != nil, s.MultipleOf != nil} {
		if bound {
			c.number += 5
		}
	}
	return c
}

// ahead is what applying a subschema takes before it calls the meter: its type, const and enum.
func ahead(s *jsonschema.Schema) int {
	var w weight
	if s.Const != nil {
		w.add(*s.Const, 0)
	}
	if s.Enum != nil {
		for _, value := range s.Enum.Values {
			w.add(value, 0)
		}
	}
	return 1 + w.steps()
}

// enter takes what the application of a subschema to a value takes.
func (m *meter) enter(c *costs, value any) {
	length, steps := 0, c.fixed
	switch value := value.(type) {
	case map[string]any:
		length = len(value)
	case []any:
		length = len(value)
		if c.isUnique {
			m.unique(value)
		}
	case string:
		steps += len(value) / 256
	case int, int64, float64, json.Number:
		steps += c.number
	}
	m.take(steps+length*(c.item+1)/2, c.bytes*length+m.perError*(1+c.others+length/4))
}

// unique takes the comparison of all items of a list: up to 20 each with each, more by their hashes.
func (m *meter) unique(list []any) {
	var w weight
	w.add(list, 0)
	if len(list) <= 20 {
		m.take(w.steps()*len(list)/2, 0)
		return
	}
	m.take(2*w.steps(), 64*len(list))
}

func (m *meter) take(steps, bytes int) {
	if err := m.part.Step(steps); err != nil {
		panic(aborted{err})
	}
	if err := m.part.Allocate(bytes); err != nil {
		panic(aborted{err})
	}
}

// counted is a pattern that takes steps for each match.
type counted struct {
	*pattern.Pattern
	meter *meter
}

// pattern compiles a pattern once for all subschemas.
func (m *meter) pattern(text string) (jsonschema.Regexp, error) {
	if known := m.patterns[text]; known != nil {
		return known, nil
	}
	compiled, err := m.compile(text)
	if err != nil {
		return nil, err
	}
	c := &counted{compiled, m}
	m.patterns[text] = c
	return c, nil
}

// MatchString implements jsonschema.Regexp. A match that exceeds a bound ends the validation.
func (c *counted) MatchString(text string) bool {
	matched, err := c.Match(text, &c.meter.part)
	if err != nil {
		panic(aborted{err})
	}
	return matched
}
