package schema

import (
	"errors"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// onSameValue are the subschemas that a subschema applies to the value that it is applied to. What a dynamic reference leads to is found
// out when it is followed; longestChain adds it.
func onSameValue(s *jsonschema.Schema) []*jsonschema.Schema {
	var all []*jsonschema.Schema
	for _, one := range []*jsonschema.Schema{s.Ref, s.RecursiveRef, s.Not, s.If, s.Then, s.Else} {
		if one != nil {
			all = append(all, one)
		}
	}
	if s.DynamicRef != nil && s.DynamicRef.Ref != nil {
		all = append(all, s.DynamicRef.Ref)
	}
	for _, list := range [][]*jsonschema.Schema{s.AllOf, s.AnyOf, s.OneOf} {
		all = append(all, list...)
	}
	for _, one := range s.DependentSchemas {
		all = append(all, one)
	}
	for _, dependency := range s.Dependencies {
		if one, isSchema := dependency.(*jsonschema.Schema); isSchema {
			all = append(all, one)
		}
	}
	return all
}

// onItems are the subschemas that a subschema applies to each item or field.
func onItems(s *jsonschema.Schema) []*jsonschema.Schema {
	var all []*jsonschema.Schema
	for _, one := range []*jsonschema.Schema{s.UnevaluatedProperties, s.UnevaluatedItems, s.Contains, s.Items2020} {
		if one != nil {
			all = append(all, one)
		}
	}
	for _, either := range []any{s.AdditionalProperties, s.AdditionalItems, s.Items} {
		if one, isSchema := either.(*jsonschema.Schema); isSchema && one != nil {
			all = append(all, one)
		}
	}
	return all
}

// longestChain is at least the number of subschemas that can apply to one value by way of each other. A schema that applies itself to the
// same value again is refused: it has no meaning (JSON Schema Core §9.4.1), and describing the cycle takes the validator more time the
// deeper it is.
func longestChain(schemas []*jsonschema.Schema) (int, error) {
	dynamic := map[string][]*jsonschema.Schema{}
	var recursive []*jsonschema.Schema
	for _, s := range schemas {
		if s.DynamicAnchor != "" {
			dynamic[s.DynamicAnchor] = append(dynamic[s.DynamicAnchor], s)
		}
		if s.RecursiveAnchor {
			recursive = append(recursive, s)
		}
	}
	edges := func(s *jsonschema.Schema) []*jsonschema.Schema {
		all := onSameValue(s)
		if s.DynamicRef != nil {
			all = append(all, dynamic[s.DynamicRef.Anchor]...)
		}
		if s.RecursiveRef != nil {
			all = append(all, recursive...)
		}
		return all
	}
	c := chains{edges: edges, of: map[*jsonschema.Schema]int{}}
	longest := 0
	for _, s := range schemas {
		longest = max(longest, c.visit(s))
	}
	if c.cyclic != nil {
		return 0, errors.New("the schema applies itself to the same value without end, at " + Cut(fragment(c.cyclic.Location), maxPart))
	}
	return longest, nil
}

// fragment is the fragment of a location: the pointer to a subschema.
func fragment(location string) string {
	_, pointer, _ := strings.Cut(location, "#")
	return "#" + pointer
}

// chains finds the longest chain from each subschema, and one on a cycle.
type chains struct {
	edges func(*jsonschema.Schema) []*jsonschema.Schema
	// of are the lengths; 0 while a subschema is visited.
	of     map[*jsonschema.Schema]int
	cyclic *jsonschema.Schema
}

func (c *chains) visit(s *jsonschema.Schema) int {
	length, known := c.of[s]
	if known && length == 0 && c.cyclic == nil {
		c.cyclic = s
	}
	if known || c.cyclic != nil {
		return length
	}
	c.of[s] = 0
	below := 0
	for _, next := range c.edges(s) {
		below = max(below, c.visit(next))
	}
	c.of[s] = 1 + below
	return 1 + below
}
