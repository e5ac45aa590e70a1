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

// mutation is a manifest with a mistake in one action.
type mutation struct{ action, what, yaml string }

// change introduces a mistake into an action.
type change struct {
	what  string
	apply func(spec map[string]any)
}

// mutationsOf generates, from the description, mutations of each action that the description must reject: another method,
// another path, unknown, missing and wrongly typed parameters and fields.
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
		for _, c := range d.changes(t, r) {
			all = append(all, mutation{a.ID, c.what, mutate(t, tree, p, a.ID, c.apply)})
		}
	}
	return all
}

// mutate returns a manifest with a changed action of a provider, and without its other actions.
func mutate(t *testing.T, tree map[string]any, p *manifest.Provider, action string, change func(map[string]any)) string {
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

// changes returns the changes of a request's action that the description must reject.
func (d description) changes(t *testing.T, r *manifest.Request) []change {
	t.Helper()
	if d.graph != nil {
		return d.graph.changes(t, r)
	}
	for _, one := range d.rest {
		if route, _, _, err := one.route(r); err == nil {
			all := append(one.addressChanges(r), queryChanges(route.Operation, route.PathItem, r)...)
			return append(all, bodyChanges(t, route.Operation, r)...)
		}
	}
	return nil
}

var literal = regexp.MustCompile(`/([a-zA-Z][^/{}:]*)`)

// addressChanges change the path and the method.
func (d *openAPI) addressChanges(r *manifest.Request) []change {
	all := []change{{"path", func(spec map[string]any) {
		path, _ := spec["path"].(string)
		if at := literal.FindStringIndex(path); at != nil {
			spec["path"] = path[:at[1]] + "x" + path[at[1]:]
		} else {
			spec["path"] = path + "/x"
		}
	}}}
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodPost, http.MethodGet} {
		other := *r
		other.Method = method
		if _, _, _, err := d.route(&other); err != nil {
			return append(all, change{"method", func(spec map[string]any) { spec["method"] = method }})
		}
	}
	return all
}

// queryChanges change the query parameters.
func queryChanges(operation *openapi3.Operation, item *openapi3.PathItem, r *manifest.Request) []change {
	all := []change{{"unknown query", func(spec map[string]any) { spec["query"] = with(spec["query"], 1, "weft_unknown") }}}
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
			all = append(all, change{"missing query " + name, func(spec map[string]any) { spec["query"] = without(spec["query"], name) }})
		}
		if types := typesOf(p.Value.Schema); len(types) > 0 && !slices.Contains(types, "string") && !slices.Contains(types, "array") || hasEnum(p.Value.Schema) {
			all = append(all, change{"type of query " + name, func(spec map[string]any) { spec["query"] = with(spec["query"], "perhaps", name) }})
		}
	}
	return all
}

// bodyChanges change the members of a form or JSON body.
func bodyChanges(t *testing.T, operation *openapi3.Operation, r *manifest.Request) []change {
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
		return memberChanges("form", schema, fields, nil)
	}
	if !strings.HasSuffix(contentType, "json") {
		return nil
	}
	var value any
	if err := json.Unmarshal(r.Body, &value); err != nil {
		t.Fatal(err)
	}
	return memberChanges("json", schema, value, nil)
}

// memberChanges change the members of an object, and the members of these.
func memberChanges(kind string, schema *openapi3.SchemaRef, value any, at []string) []change {
	object, ok := value.(map[string]any)
	if !ok || schema == nil {
		return nil
	}
	setTo := func(what string, path []string, to any) change {
		return change{what + " " + strings.Join(path, "."), func(spec map[string]any) {
			body, _ := spec["body"].(map[string]any)
			body[kind] = with(body[kind], to, path...)
		}}
	}
	all := []change{}
	schemas := parts([]*openapi3.SchemaRef{schema})
	if slices.ContainsFunc(schemas, func(s *openapi3.SchemaRef) bool { return len(s.Value.Properties) > 0 }) {
		all = append(all, setTo("unknown field", append(slices.Clone(at), "weft_unknown"), 1))
	}
	if len(schema.Value.AnyOf)+len(schema.Value.OneOf) > 0 {
		return all // A value that one alternative rejects may satisfy another.
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		path := append(slices.Clone(at), name)
		if requires(schema, name) {
			all = append(all, change{"missing field " + strings.Join(path, "."), func(spec map[string]any) {
				body, _ := spec["body"].(map[string]any)
				body[kind] = without(body[kind], path...)
			}})
		}
		property := propertyOf(schemas, name)
		if property == nil {
			continue
		}
		if other, found := otherType(typesOf(property), kind); found {
			all = append(all, setTo("type of", path, other))
		} else if hasEnum(property) {
			all = append(all, setTo("enum of", path, "perhaps"))
		}
		if kind == "json" && len(path) < 2 {
			all = append(all, memberChanges(kind, property, object[name], path)...)
		}
	}
	return all
}

// requires reports whether a schema requires a member, other than in one of several alternatives.
func requires(schema *openapi3.SchemaRef, name string) bool {
	if slices.Contains(schema.Value.Required, name) {
		return true
	}
	return slices.ContainsFunc(schema.Value.AllOf, func(s *openapi3.SchemaRef) bool { return requires(s, name) })
}

// propertyOf returns the schema of a member; nil if there is none or more than one.
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

// typesOf returns the types that a schema allows; nil means any.
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

// hasEnum reports whether a schema restricts a scalar to an enumeration.
func hasEnum(schema *openapi3.SchemaRef) bool {
	return schema != nil && schema.Value != nil && len(schema.Value.Enum) > 0 && !slices.Contains(typesOf(schema), "array")
}

// otherType returns a value of none of the types. In a form, every value is a string.
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

// with returns a tree with a value set at a path. Expressions are extended by a filter that sets it.
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

// without returns a tree without the value at a path.
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
