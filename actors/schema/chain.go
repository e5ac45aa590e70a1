package schema

import "github.com/santhosh-tekuri/jsonschema/v6"

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

// longestChain is at least the number of subschemas that can apply to one value by way of each other. The validator refuses one that
// applies itself to the same value again, so a chain passes each at most once: the bound is the heaviest path through the strongly
// connected components, each of which counts with all of its subschemas.
func longestChain(schemas []*jsonschema.Schema) int {
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
	c := components{edges: edges, of: map[*jsonschema.Schema]*position{}}
	longest := 0
	for _, s := range schemas {
		longest = max(longest, c.visit(s).length)
	}
	return longest
}

// components finds strongly connected components by Tarjan's algorithm, and the heaviest path from each.
type components struct {
	edges func(*jsonschema.Schema) []*jsonschema.Schema
	of    map[*jsonschema.Schema]*position
	stack []*jsonschema.Schema
}

// position is the state of a subschema. length is that of the heaviest path from its component, once the component is complete.
type position struct {
	index, low, length int
	open               bool
}

func (c *components) visit(s *jsonschema.Schema) *position {
	if known := c.of[s]; known != nil {
		return known
	}
	p := &position{index: len(c.of), low: len(c.of), open: true}
	c.of[s] = p
	c.stack = append(c.stack, s)
	for _, next := range c.edges(s) {
		if q := c.visit(next); q.open {
			p.low = min(p.low, q.low)
		}
	}
	if p.low < p.index {
		return p
	}
	c.close(s)
	return p
}

// close completes the component whose first subschema is s.
func (c *components) close(s *jsonschema.Schema) {
	first := len(c.stack) - 1
	for c.stack[first] != s {
		first--
	}
	members := c.stack[first:]
	c.stack = c.stack[:first]
	below := 0
	for _, member := range members {
		for _, next := range c.edges(member) {
			if q := c.of[next]; !q.open {
				below = max(below, q.length)
			}
		}
	}
	for _, member := range members {
		q := c.of[member]
		q.open, q.length = false, len(members)+below
	}
}
