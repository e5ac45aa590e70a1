package manifest

import (
	"maps"
	"slices"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/weftmesh/weft/actors/jq"
)

// placed is an expression with its place in the manifest.
type placed struct{ text, pointer string }

// unknownFields reports expressions that refer to a field which the schema of the input or of the settings does not have, where that can
// be told without evaluating them: such a value would silently be omitted.
func (c *compiler) unknownFields(p *Provider) {
	settings := fieldsOf(p.Settings)
	union := map[string]bool{}
	for _, a := range p.Actions {
		maps.Copy(union, fieldsOf(a.Input))
	}
	for _, e := range c.placed {
		input := union
		if rest, ok := strings.CutPrefix(e.pointer, "/actions/"); ok {
			id, _, _ := strings.Cut(rest, "/")
			if a := p.byID[id]; a != nil {
				input = fieldsOf(a.Input)
			}
		}
		query, err := gojqParse(e.text)
		if err != nil {
			continue // reported when it was compiled
		}
		w := walker{found: func(root, field string) {
			known := map[string]map[string]bool{"input": input, "settings": settings}[root]
			if known != nil && !known[field] && !known["*"] {
				c.fault(e.pointer, "the %s has no field %s", root, field)
			}
		}}
		w.query(query, &place{})
	}
}

// gojqParse parses an expression that has been compiled, so its length and nesting are bounded.
func gojqParse(text string) (*gojq.Query, error) {
	if len(text) > jq.MaxText {
		return nil, errTooLarge
	}
	return gojq.Parse(expressionBody(text)) //nolint:wrapcheck // reported when it was compiled
}

// fieldsOf returns the fields of an object's schema, with "*" if it may have others.
func fieldsOf(schema map[string]any) map[string]bool {
	fields := map[string]bool{}
	properties, _ := schema["properties"].(map[string]any)
	for name := range properties {
		fields[name] = true
	}
	patterns, _ := schema["patternProperties"].(map[string]any)
	if schema["additionalProperties"] != false || len(patterns) > 0 {
		fields["*"] = true
	}
	return fields
}

// place is the path from an expression's input to the value that . is; nil means that it is not known.
type place struct{ path []string }

// walker finds the members .ROOT.FIELD that a jq query refers to.
type walker struct {
	found func(root, field string)
}

// keeping are functions whose arguments see the same . as they do. Those that are true yield it too.
var keeping = map[string]bool{
	"select": true, "del": true, "values": true, "strings": true, "objects": true, "arrays": true, "numbers": true, "error": false, "test": false,
	"capture": false, "split": false, "join": false, "sub": false, "gsub": false, "has": false, "contains": false, "startswith": false, "endswith": false,
	"ltrimstr": false, "rtrimstr": false, "IN": false,
}

// query walks a query whose . is at a place, and returns the place of what it yields.
func (w walker) query(q *gojq.Query, at *place) *place {
	switch {
	case q == nil || at == nil:
		return nil
	case q.Term != nil:
		return w.term(q.Term, at)
	case q.Left == nil || q.Right == nil:
		return nil
	}
	left := w.query(q.Left, at)
	if q.Op == gojq.OpPipe && len(q.Patterns) == 0 {
		return w.query(q.Right, left)
	}
	right := w.query(q.Right, at)
	if q.Op == gojq.OpPipe {
		return right
	}
	return nil
}

func (w walker) term(t *gojq.Term, at *place) *place {
	var now *place
	switch t.Type {
	case gojq.TermTypeIdentity:
		now = at
	case gojq.TermTypeIndex:
		now = w.index(t.Index, at, at)
	case gojq.TermTypeQuery:
		now = w.query(t.Query, at)
	case gojq.TermTypeFunc:
		yields, known := keeping[t.Func.Name]
		if known {
			for _, argument := range t.Func.Args {
				w.query(argument, at)
			}
		}
		if yields {
			now = at
		}
	case gojq.TermTypeTry:
		now = w.query(t.Try.Body, at)
	default:
		w.parts(t, at)
	}
	for _, suffix := range t.SuffixList {
		switch {
		case suffix.Index != nil:
			now = w.index(suffix.Index, now, at)
		case suffix.Iter:
			now = nil
		}
	}
	return now
}

// parts walks the queries of a term that makes a new value; they see the same . as it does.
func (w walker) parts(t *gojq.Term, at *place) {
	var all []*gojq.Query
	switch {
	case t.Object != nil:
		for _, member := range t.Object.KeyVals {
			if member.Val == nil && member.Key != "" && !strings.HasPrefix(member.Key, "$") {
				w.step(member.Key, at)
			}
			all = append(all, member.KeyQuery, member.Val)
		}
	case t.Array != nil:
		all = append(all, t.Array.Query)
	case t.If != nil:
		all = append(all, t.If.Cond, t.If.Then, t.If.Else)
		for _, other := range t.If.Elif {
			all = append(all, other.Cond, other.Then)
		}
	case t.Reduce != nil:
		all = append(all, t.Reduce.Query)
	case t.Str != nil:
		all = slices.Clone(t.Str.Queries)
	case t.Unary != nil:
		w.term(t.Unary.Term, at)
	}
	for _, q := range all {
		w.query(q, at)
	}
}

// index returns the place of a member of now. The expressions within brackets see at.
func (w walker) index(i *gojq.Index, now, at *place) *place {
	w.query(i.Start, at)
	w.query(i.End, at)
	switch {
	case i.Name != "":
		return w.step(i.Name, now)
	case i.Str != nil && len(i.Str.Queries) == 0:
		return w.step(i.Str.Str, now)
	case i.Start != nil && !i.IsSlice && i.Start.Term != nil && i.Start.Term.Str != nil && len(i.Start.Term.Str.Queries) == 0 && len(i.Start.Term.SuffixList) == 0:
		return w.step(i.Start.Term.Str.Str, now)
	}
	return nil
}

// step returns the place of a named member.
func (w walker) step(name string, at *place) *place {
	if at == nil {
		return nil
	}
	path := append(slices.Clone(at.path), strings.TrimPrefix(name, "."))
	if len(path) == 2 {
		w.found(path[0], path[1])
	}
	return &place{path}
}
