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

// description is the published description of a provider's API: OpenAPI documents, validated by kin-openapi, or a GraphQL
// schema, validated by gqlparser.
type description struct {
	rest  []*openAPI
	graph *graphQL
}

// readDescription reads FOLDER/PROVIDER.json, PROVIDER-1.json and so on, or FOLDER/PROVIDER.graphql.
func readDescription(t *testing.T, folder, provider string, c *providerCase) description {
	t.Helper()
	d := description{graph: readGraphQL(t, filepath.Join(folder, provider+".graphql"))}
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
		d.rest = append(d.rest, loadOpenAPI(t, data, provider, c))
	}
	return d
}

// loadOpenAPI loads an OpenAPI document and applies the provider's overlays to it.
func loadOpenAPI(t *testing.T, data []byte, provider string, c *providerCase) *openAPI {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		t.Fatalf("loading description of %s: %v", provider, err)
	}
	for _, o := range overlays {
		if slices.Contains(o.providers, provider) {
			o.apply(doc)
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
	movePaths(doc, separateSuffix)
	router, err := legacy.NewRouter(doc, openapi3.DisableExamplesValidation(), openapi3.DisableSchemaDefaultsValidation(), openapi3.DisableSchemaPatternValidation(), openapi3.AllowExtraSiblingFields("type"))
	if err != nil {
		t.Fatalf("routing description of %s: %v", provider, err)
	}
	return &openAPI{doc, router}
}

// validate validates a request against the description; found is false if the description has no such operation.
func (d description) validate(r *manifest.Request) (found bool, err error) {
	if d.graph != nil {
		return true, d.graph.validate(r)
	}
	for _, one := range d.rest {
		if found, err = one.validate(r); found {
			return true, err
		}
	}
	return false, err
}

// actionsOf returns the actions and the health probe of a provider.
func actionsOf(p *manifest.Provider) []*manifest.Action {
	return append(slices.Clone(p.Actions), p.Health)
}

// requestOf builds the request of an action for its example; the request of the first step, if the action has steps.
func requestOf(c *providerCase, a *manifest.Action) (*manifest.Request, error) {
	input := a.Example
	if len(a.Before) > 0 {
		a = a.Before[0].Action
	}
	return a.Request(withFetchedToken(a.Provider(), c.connection(a.Provider(), "", nil, nil)), manifest.Call{Input: input, Object: testObject})
}

// validateAction validates the request of an action for its example.
func (d description) validateAction(c *providerCase, a *manifest.Action) (found bool, err error) {
	r, err := requestOf(c, a)
	if err != nil {
		return true, err
	}
	if a.Safety == egress.Read && !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost}, r.Method) {
		return true, fmt.Errorf("the method of a read is %s", r.Method)
	}
	return d.validate(r)
}

// isRejected reports whether an action of a manifest is rejected, by the compiler or by the description.
func isRejected(t *testing.T, d description, c *providerCase, yaml, action string) bool {
	t.Helper()
	p, err := manifest.Load([]byte(yaml))
	if err != nil {
		return true
	}
	for _, a := range actionsOf(p) {
		if a.ID == action {
			found, err := d.validateAction(c, a)
			return !found || err != nil
		}
	}
	t.Fatalf("%s: unknown action %s", p.ID, action)
	return false
}

// checkActions validates every action of a provider and its health probe. absent are the actions that the description must
// not have.
func checkActions(t *testing.T, d description, c *providerCase, provider string, absent []string) {
	t.Helper()
	p, err := manifest.Load([]byte(source(t, provider)))
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, a := range actionsOf(p) {
		found, err := d.validateAction(c, a)
		if !found {
			missing = append(missing, a.ID)
		} else if err != nil {
			t.Errorf("%s %s: %v", provider, a.ID, err)
		}
	}
	slices.Sort(missing)
	slices.Sort(absent)
	if !slices.Equal(missing, absent) {
		t.Errorf("%s: the description lacks the actions %v, want %v", provider, missing, absent)
	}
}

// checkExampleFields checks that the examples contain every field of the input, except those that the case lists as unused.
func checkExampleFields(t *testing.T, c *providerCase, p *manifest.Provider) {
	t.Helper()
	for _, a := range p.Actions {
		properties, _ := a.Input["properties"].(map[string]any)
		for name := range properties {
			if _, used := a.Example[name]; !used && !slices.Contains(c.Unused, a.ID+"."+name) {
				t.Errorf("%s %s: the example lacks the field %s", p.ID, a.ID, name)
			}
		}
	}
}

// describedProviders returns the providers whose descriptions are in a folder.
func describedProviders(t *testing.T, folder string) []string {
	t.Helper()
	return slices.DeleteFunc(providerIDs(t), func(id string) bool {
		_, err := os.Stat(filepath.Join(folder, id+".json"))
		_, graph := os.Stat(filepath.Join(folder, id+".graphql"))
		return err != nil && graph != nil
	})
}

// checkMutations checks that every mutation of a provider's manifest is rejected, except those that the case lists as loose.
// It returns the number of mutations.
func checkMutations(t *testing.T, d description, c *providerCase, provider string, absent []string) int {
	t.Helper()
	mutations := mutationsOf(t, d, c, provider, absent)
	for _, m := range mutations {
		name := m.action + "/" + m.what
		_, loose := c.Description.Loose[name]
		if got := isRejected(t, d, c, m.yaml, m.action); got == loose {
			t.Errorf("%s: mutation %s: rejected is %v, want %v", provider, name, got, !loose)
		}
	}
	for name := range c.Description.Loose {
		if !slices.ContainsFunc(mutations, func(m mutation) bool { return m.action+"/"+m.what == name }) {
			t.Errorf("%s: unknown mutation %s in loose", provider, name)
		}
	}
	return len(mutations)
}

// namesOf returns the names that have a reason.
func namesOf(reasons map[string]string) []string {
	names := make([]string, 0, len(reasons))
	for name, why := range reasons {
		if strings.TrimSpace(why) != "" {
			names = append(names, name)
		}
	}
	return names
}
