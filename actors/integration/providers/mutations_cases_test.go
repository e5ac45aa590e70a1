//go:build conformance

package providers_test

import (
	"maps"
	"net/url"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// TestCasesRejectMutations: the cases of a provider without a description must fail for a mutated manifest.
func TestCasesRejectMutations(t *testing.T) {
	t.Parallel()
	tested, mutations := 0, 0
	for _, id := range providerIDs(t) {
		c := caseOf(t, id)
		if c == nil || c.Description != nil || len(c.Wire) == 0 {
			continue
		}
		p, err := manifest.Load([]byte(source(t, id)))
		if err != nil {
			t.Fatal(err)
		}
		var tree map[string]any
		if err := yaml.Unmarshal([]byte(source(t, id)), &tree); err != nil {
			t.Fatal(err)
		}
		tested++
		for _, w := range c.Wire {
			for _, m := range w.changes() {
				mutations++
				if !w.rejects(t, c, mutate(t, tree, p, w.Action, m.apply)) {
					t.Errorf("%s %s: the case does not reject the mutation %s", id, w.Action, m.what)
				}
			}
		}
	}
	t.Logf("%d mutations of %d providers", mutations, tested)
}

// changes returns changes of an action that the case must reject: another method, another path, an unknown parameter, and
// missing parameters and fields.
func (w *wireCase) changes() []change {
	if w.Request == nil {
		return nil
	}
	all := []change{
		{"method", func(spec map[string]any) {
			other := "PUT"
			if w.Request.Method == other {
				other = "POST"
			}
			spec["method"] = other
		}},
		{"path", func(spec map[string]any) {
			path, _ := spec["path"].(string)
			if isExpression(path) {
				spec["path"] = "${ (" + path[2:len(path)-1] + ") + \"x\" }"
			} else {
				spec["path"] = path + "/x"
			}
		}},
		{"unknown parameter", func(spec map[string]any) { spec["query"] = with(spec["query"], "1", "weft_unknown") }},
	}
	for _, name := range slices.Sorted(maps.Keys(w.Request.Query)) {
		all = append(all, change{"missing parameter " + name, func(spec map[string]any) { spec["query"] = without(spec["query"], name) }})
	}
	for _, path := range membersOf(w.Request.JSON, nil) {
		all = append(all, change{"missing field " + jsonText(path), func(spec map[string]any) {
			body, _ := spec["body"].(map[string]any)
			body["json"] = without(body["json"], path...)
		}})
	}
	return all
}

func isExpression(text string) bool {
	return len(text) > 3 && text[:2] == "${" && text[len(text)-1] == '}'
}

// membersOf returns the paths of an object's members at any depth.
func membersOf(value any, at []string) (paths [][]string) {
	object, _ := value.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		path := append(slices.Clone(at), name)
		paths = append(append(paths, path), membersOf(object[name], path)...)
	}
	return paths
}

// rejects reports whether a manifest does not compile, or does not send the expected request.
func (w *wireCase) rejects(t *testing.T, c *providerCase, text string) bool {
	t.Helper()
	p, err := manifest.Load([]byte(text))
	if err != nil {
		return true
	}
	a := p.Health
	if w.Action != a.ID {
		a, _ = p.Action(w.Action)
	}
	conn := withFetchedToken(p, c.connection(p, w.Auth, w.Settings, w.Credentials))
	conn.BaseURL = "https://provider.test"
	input := w.Input
	if input == nil {
		input = a.Example
	}
	r, err := a.Request(conn, manifest.Call{Input: input})
	if err != nil {
		return true
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return true
	}
	sent := &received{r.Method, u.EscapedPath(), r.Header.Get("Content-Type"), string(r.Body), u.Query(), r.Header}
	return len(w.differences(t, sent)) > 0
}
