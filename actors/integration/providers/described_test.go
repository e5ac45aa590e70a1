//go:build conformance || specs

package providers_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
)

// description is all that a vendor says of its API. Its judges are not ours: kin-openapi, and gqlparser for GraphQL.
type description struct {
	rest  []*openAPI
	graph *graphQL
}

// describe reads FOLDER/PROVIDER.json, PROVIDER-1.json and so on, or PROVIDER.graphql.
func describe(t *testing.T, folder, provider string, c *providerCase) description {
	t.Helper()
	d := description{graph: describeGraph(t, filepath.Join(folder, provider+".graphql"))}
	for i := 0; d.graph == nil; i++ {
		name := provider + ".json"
		if i > 0 {
			name = fmt.Sprintf("%s-%d.json", provider, i)
		}
		data, err := os.ReadFile(filepath.Join(folder, name))
		if errors.Is(err, fs.ErrNotExist) && i > 0 {
			break
		}
		if err != nil {
			t.Fatalf("reading description: %v", err)
		}
		d.rest = append(d.rest, openDescription(t, data, provider, c))
	}
	return d
}

func openDescription(t *testing.T, data []byte, provider string, c *providerCase) *openAPI {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		t.Fatalf("loading description of %s: %v", provider, err)
	}
	for _, o := range overlays {
		if slices.Contains(o.providers, provider) {
			o.bend(doc)
		}
	}
	if c.Description.Server != "" {
		doc.Servers = openapi3.Servers{{URL: c.Description.Server}}
		for _, item := range doc.Paths.Map() {
			item.Servers = nil
			for _, operation := range item.Operations() {
				operation.Servers = nil
			}
		}
	}
	move(doc, verbApart)
	router, err := legacy.NewRouter(doc, openapi3.DisableExamplesValidation(), openapi3.DisableSchemaDefaultsValidation(), openapi3.DisableSchemaPatternValidation(), openapi3.AllowExtraSiblingFields("type"))
	if err != nil {
		t.Fatalf("routing description of %s: %v", provider, err)
	}
	return &openAPI{doc, router}
}

// judge returns what the vendor's description has against a request; found is false when it has no such operation.
func (d description) judge(r *manifest.Request) (found bool, err error) {
	if d.graph != nil {
		return true, d.graph.judge(r)
	}
	for _, one := range d.rest {
		if found, err = one.judge(r); found {
			return true, err
		}
	}
	return false, err
}

// actionsOf are all that can be judged: the actions and the probe.
func actionsOf(p *manifest.Provider) []*manifest.Action {
	return append(slices.Clone(p.Actions), p.Health)
}

// requestOf is the request of an action with its example; the first one, where it makes several.
func requestOf(c *providerCase, a *manifest.Action) (*manifest.Request, error) {
	input := a.Example
	if len(a.Before) > 0 {
		a = a.Before[0].Action
	}
	return a.Request(fetched(a.Provider(), c.connection(a.Provider(), "", nil, nil)), manifest.Call{Input: input, Object: aFile})
}

// judgeAction judges an action with its example.
func (d description) judgeAction(c *providerCase, a *manifest.Action) (found bool, err error) {
	r, err := requestOf(c, a)
	if err != nil {
		return true, err
	}
	if a.Safety == egress.Read && !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost}, r.Method) {
		return true, fmt.Errorf("a read by %s", r.Method)
	}
	return d.judge(r)
}

// caught reports whether anything says no to an action of a manifest: its compiler, or the vendor's description.
func caught(t *testing.T, d description, c *providerCase, yaml, action string) bool {
	t.Helper()
	p, err := manifest.Load([]byte(yaml))
	if err != nil {
		return true
	}
	for _, a := range actionsOf(p) {
		if a.ID == action {
			found, err := d.judgeAction(c, a)
			return !found || err != nil
		}
	}
	t.Fatalf("%s: there is no action %s", p.ID, action)
	return false
}

// follow judges every action of a provider, and the probe; absent should be the actions that the description does not know.
func follow(t *testing.T, d description, c *providerCase, provider string, absent []string) {
	t.Helper()
	p, err := manifest.Load([]byte(source(t, provider)))
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, a := range actionsOf(p) {
		found, err := d.judgeAction(c, a)
		if !found {
			missing = append(missing, a.ID)
		} else if err != nil {
			t.Errorf("%s %s: %v", provider, a.ID, err)
		}
	}
	slices.Sort(missing)
	slices.Sort(absent)
	if !slices.Equal(missing, absent) {
		t.Errorf("%s: the description has no %v, and should have no %v", provider, missing, absent)
	}
}

// everyField says which fields of the input an example leaves out, and so unjudged.
func everyField(t *testing.T, c *providerCase, p *manifest.Provider) {
	t.Helper()
	for _, a := range p.Actions {
		properties, _ := a.Input["properties"].(map[string]any)
		for name := range properties {
			if _, used := a.Example[name]; !used && !slices.Contains(c.Unused, a.ID+"."+name) {
				t.Errorf("%s %s: the example has no %s", p.ID, a.ID, name)
			}
		}
	}
}

// described are the providers whose description stands in a folder.
func described(t *testing.T, folder string) []string {
	t.Helper()
	return slices.DeleteFunc(providerIDs(t), func(id string) bool {
		_, err := os.Stat(filepath.Join(folder, id+".json"))
		_, graph := os.Stat(filepath.Join(folder, id+".graphql"))
		return err != nil && graph != nil
	})
}

// catches checks that every mutation of a provider's manifest is caught, and tells how many there were.
func catches(t *testing.T, d description, c *providerCase, provider string, absent []string) int {
	t.Helper()
	mutations := mutationsOf(t, d, c, provider, absent)
	for _, m := range mutations {
		name := m.action + "/" + m.what
		_, loose := c.Description.Loose[name]
		if got := caught(t, d, c, m.yaml, m.action); got == loose {
			t.Errorf("%s: caught is %v of %s", provider, got, name)
		}
	}
	for name := range c.Description.Loose {
		if !slices.ContainsFunc(mutations, func(m mutation) bool { return m.action+"/"+m.what == name }) {
			t.Errorf("%s: there is no mutation %s", provider, name)
		}
	}
	return len(mutations)
}

func namesOf(reasons map[string]string) []string {
	names := make([]string, 0, len(reasons))
	for name, why := range reasons {
		if strings.TrimSpace(why) != "" {
			names = append(names, name)
		}
	}
	return names
}
