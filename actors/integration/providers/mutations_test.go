//go:build conformance || specs

package providers_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// mutation is a manifest with one thing wrong in an action.
type mutation struct{ action, what, yaml string }

// wrong is what one change does to an action as it was written.
type wrong struct {
	what  string
	apply func(spec map[string]any)
}

// mutationsOf makes, from what the description says of each action, every manifest that it must refuse: another verb, another
// path, a parameter that nobody knows, a required one left out, a value of another type.
func mutationsOf(t *testing.T, d description, c *providerCase, provider string, absent []string) []mutation {
	t.Helper()
	p, err := manifest.Load([]byte(source(t, provider)))
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal([]byte(source(t, provider)), &tree); err != nil {
		t.Fatal(err)
	}
	var all []mutation
	for _, a := range actionsOf(p) {
		if slices.Contains(absent, a.ID) {
			continue
		}
		r, err := requestOf(c, a)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range d.wrongs(t, r) {
			all = append(all, mutation{a.ID, w.what, mutated(t, tree, p, a.ID, w.apply)})
		}
	}
	return all
}

// mutated is a manifest with one action of a provider, changed.
func mutated(t *testing.T, tree map[string]any, p *manifest.Provider, action string, change func(map[string]any)) string {
	t.Helper()
	small := maps.Clone(tree)
	delete(small, "limits")
	actions, _ := tree["actions"].(map[string]any)
	kept := action
	if action == p.Health.ID {
		kept = p.Actions[0].ID
	}
	small["actions"] = map[string]any{kept: actions[kept]}
	encoded, err := json.Marshal(small)
	if err != nil {
		t.Fatal(err)
	}
	var copied map[string]any
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	if err := decoder.Decode(&copied); err != nil {
		t.Fatal(err)
	}
	spec, _ := copied["health"].(map[string]any)
	if action != p.Health.ID {
		spec, _ = copied["actions"].(map[string]any)[action].(map[string]any)
	}
	change(spec)
	return asJSON(t, copied)
}

func (d description) wrongs(t *testing.T, r *manifest.Request) []wrong {
	t.Helper()
	if d.graph != nil {
		return d.graph.wrongs(t, r)
	}
	for _, one := range d.rest {
		if route, _, _, err := one.route(r); err == nil {
			all := append(one.wrongAddress(r), wrongQuery(route.Operation, route.PathItem, r)...)
			return append(all, wrongBody(t, route.Operation, r)...)
		}
	}
	return nil
}

var literal = regexp.MustCompile(`/([a-zA-Z][^/{}:]*)`)

func (d *openAPI) wrongAddress(r *manifest.Request) []wrong {
	all := []wrong{{"path", func(spec map[string]any) {
		path, _ := spec["path"].(string)
		if at := literal.FindStringIndex(path); at != nil {
			spec["path"] = path[:at[1]] + "x" + path[at[1]:]
		} else {
			spec["path"] = path + "/x"
		}
	}}}
	for _, verb := range []string{http.MethodPut, http.MethodPatch, http.MethodPost, http.MethodGet} {
		other := *r
		other.Method = verb
		if _, _, _, err := d.route(&other); err != nil {
			return append(all, wrong{"verb", func(spec map[string]any) { spec["method"] = verb }})
		}
	}
	return all
}

func wrongQuery(operation *openapi3.Operation, item *openapi3.PathItem, r *manifest.Request) []wrong {
	all := []wrong{{"unknown query", func(spec map[string]any) { spec["query"] = with(spec["query"], 1, "weft_unknown") }}}
	u, err := url.Parse(r.URL)
	if err != nil {
		return all
	}
	for _, p := range slices.Concat(operation.Parameters, item.Parameters) {
		name := p.Value.Name
		if p.Value.In != "query" || !u.Query().Has(name) {
			continue
		}
		if p.Value.Required {
			all = append(all, wrong{"missing query " + name, func(spec map[string]any) { spec["query"] = without(spec["query"], name) }})
		}
		if types := typesOf(p.Value.Schema); len(types) > 0 && !slices.Contains(types, "string") && !slices.Contains(types, "array") || hasEnum(p.Value.Schema) {
			all = append(all, wrong{"type of query " + name, func(spec map[string]any) { spec["query"] = with(spec["query"], "perhaps", name) }})
		}
	}
	return all
}

func wrongBody(t *testing.T, operation *openapi3.Operation, r *manifest.Request) []wrong {
	t.Helper()
	contentType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if len(r.Body) == 0 || operation.RequestBody == nil || operation.RequestBody.Value.Content[contentType] == nil {
		return nil
	}
	schema := operation.RequestBody.Value.Content[contentType].Schema
	if contentType == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(r.Body))
		if err != nil {
			t.Fatal(err)
		}
		fields := map[string]any{}
		for name := range form {
			fields[name] = nil
		}
		return wrongMembers("form", schema, fields, nil)
	}
	if !strings.HasSuffix(contentType, "json") {
		return nil
	}
	var value any
	if err := json.Unmarshal(r.Body, &value); err != nil {
		t.Fatal(err)
	}
	return wrongMembers("json", schema, value, nil)
}

// wrongMembers are the changes of an object's members, down to its members' members.
func wrongMembers(kind string, schema *openapi3.SchemaRef, value any, at []string) []wrong {
	object, ok := value.(map[string]any)
	if !ok || schema == nil {
		return nil
	}
	change := func(what string, path []string, to any) wrong {
		return wrong{what + " " + strings.Join(path, "."), func(spec map[string]any) {
			body, _ := spec["body"].(map[string]any)
			body[kind] = with(body[kind], to, path...)
		}}
	}
	all := []wrong{}
	schemas := parts([]*openapi3.SchemaRef{schema})
	if slices.ContainsFunc(schemas, func(s *openapi3.SchemaRef) bool { return len(s.Value.Properties) > 0 }) {
		all = append(all, change("unknown field", append(slices.Clone(at), "weft_unknown"), 1))
	}
	if len(schema.Value.AnyOf)+len(schema.Value.OneOf) > 0 {
		return all // What one alternative refuses, another may take.
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		path := append(slices.Clone(at), name)
		if requires(schema, name) {
			all = append(all, wrong{"missing field " + strings.Join(path, "."), func(spec map[string]any) {
				body, _ := spec["body"].(map[string]any)
				body[kind] = without(body[kind], path...)
			}})
		}
		property := propertyOf(schemas, name)
		if property == nil {
			continue
		}
		if other, found := otherType(typesOf(property), kind); found {
			all = append(all, change("type of", path, other))
		} else if hasEnum(property) {
			all = append(all, change("enum of", path, "perhaps"))
		}
		if kind == "json" && len(path) < 2 {
			all = append(all, wrongMembers(kind, property, object[name], path)...)
		}
	}
	return all
}

// requires reports whether a schema, not one of several alternatives, asks for a member.
func requires(schema *openapi3.SchemaRef, name string) bool {
	if slices.Contains(schema.Value.Required, name) {
		return true
	}
	return slices.ContainsFunc(schema.Value.AllOf, func(s *openapi3.SchemaRef) bool { return requires(s, name) })
}

// propertyOf is the one schema of a member, nil where there is none, or more than one.
func propertyOf(schemas []*openapi3.SchemaRef, name string) *openapi3.SchemaRef {
	var found []*openapi3.SchemaRef
	for _, s := range schemas {
		if property := s.Value.Properties[name]; property != nil {
			found = append(found, property)
		}
	}
	if len(found) != 1 {
		return nil
	}
	return found[0]
}

// typesOf are the types that a schema lets pass; nil means any.
func typesOf(schema *openapi3.SchemaRef) []string {
	if schema == nil || schema.Value == nil {
		return nil
	}
	v := schema.Value
	if v.Type != nil {
		return v.Type.Slice()
	}
	if len(v.AllOf) == 1 {
		return typesOf(v.AllOf[0])
	}
	var types []string
	for _, one := range slices.Concat(v.AnyOf, v.OneOf) {
		more := typesOf(one)
		if len(more) == 0 {
			return nil
		}
		types = append(types, more...)
	}
	return types
}

func hasEnum(schema *openapi3.SchemaRef) bool {
	return schema != nil && schema.Value != nil && len(schema.Value.Enum) > 0 && !slices.Contains(typesOf(schema), "array")
}

// otherType is a value of none of the types. In a form, everything is a text.
func otherType(types []string, kind string) (any, bool) {
	has := func(name string) bool { return slices.Contains(types, name) }
	switch {
	case len(types) == 0, kind == "form" && (has("string") || has("array") || has("object")):
		return nil, false
	case !has("string"):
		return "perhaps", true
	case !has("number") && !has("integer"):
		return 7, true
	case !has("boolean"):
		return true, true
	}
	return nil, false
}

// with is a tree with another value at a path; an expression is changed by what it yields.
func with(node, value any, path ...string) any {
	switch n := node.(type) {
	case string:
		return "${ (" + strings.TrimSuffix(strings.TrimPrefix(n, "${"), "}") + ") | setpath(" + jsonText(path) + "; " + jsonText(value) + ") }"
	case map[string]any:
		if len(path) == 1 {
			n[path[0]] = value
		} else {
			n[path[0]] = with(n[path[0]], value, path[1:]...)
		}
		return n
	}
	return with(map[string]any{}, value, path...)
}

// without is a tree without what stands at a path.
func without(node any, path ...string) any {
	switch n := node.(type) {
	case string:
		return "${ (" + strings.TrimSuffix(strings.TrimPrefix(n, "${"), "}") + ") | delpaths([" + jsonText(path) + "]) }"
	case map[string]any:
		if len(path) == 1 {
			delete(n, path[0])
		} else {
			n[path[0]] = without(n[path[0]], path[1:]...)
		}
	}
	return node
}

func jsonText(value any) string {
	encoded, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}
