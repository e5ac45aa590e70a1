//go:build conformance

package providers_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/providers"
)

// overlay bends one thing of a vendor's description that the vendor's own documentation contradicts.
type overlay struct {
	provider, why string
	bend          func(*openapi3.T)
}

// mutation is one change of a manifest that the judge must catch in an action.
type mutation struct{ name, provider, action, old, new string }

// overlays is every bend there is; there may be 25 for all providers.
var overlays = slices.Concat(firstOverlays, googleOverlays, microsoftOverlays)

var firstOverlays = []overlay{
	{"slack", "the header `token` stands for Authorization: Bearer, which the documentation asks for", func(doc *openapi3.T) {
		for _, item := range doc.Paths.Map() {
			for _, operation := range item.Operations() {
				for _, parameter := range operation.Parameters {
					if parameter.Value.Name == "token" {
						parameter.Value.Required = false
					}
				}
			}
		}
	}},
}

// beyond lists the actions that the slices beside the repository do not hold. WEFT_OPENAPI_FULL may name a folder
// with whole descriptions (slack.json, github.json); then these are judged too.
var beyond = joined(map[string][]string{
	"slack":  {"add_reaction", "find_user_by_email", "get_user"},
	"github": {"get_repo", "get_user", "list_issues", "list_repos"},
}, googleBeyond, microsoftBeyond)

func joined(tables ...map[string][]string) map[string][]string {
	all := map[string][]string{}
	for _, table := range tables {
		maps.Copy(all, table)
	}
	return all
}

func description(t *testing.T, folder, provider string) (*openapi3.T, routers.Router) {
	t.Helper()
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromFile(filepath.Join(folder, provider+".json"))
	if err != nil {
		t.Fatalf("loading description: %v", err)
	}
	for _, o := range overlays {
		if o.provider == provider {
			o.bend(doc)
		}
	}
	move(doc, verbApart)
	router, err := legacy.NewRouter(doc, openapi3.DisableExamplesValidation(), openapi3.DisableSchemaDefaultsValidation(), openapi3.DisableSchemaPatternValidation())
	if err != nil {
		t.Fatalf("routing description: %v", err)
	}
	return doc, router
}

func conformanceFolder() string {
	root := os.Getenv("WEFT_CONFORMANCE")
	if root == "" {
		root = "../../../../shared/conformance"
	}
	return filepath.Join(root, "openapi")
}

func connection(provider string) manifest.Connection {
	return manifest.Connection{Credentials: map[string]any{"token": "token-of-" + provider}}
}

func source(t *testing.T, provider string) string {
	t.Helper()
	file, err := providers.FS.Open(provider + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// faultsOf judges every action with its example, and the health probe. absent holds the actions that the
// description does not know.
func faultsOf(t *testing.T, folder, provider, yaml string) (faults map[string]error, absent []string) {
	t.Helper()
	p, err := manifest.Load([]byte(yaml))
	if err != nil {
		return map[string]error{"": err}, nil
	}
	doc, router := description(t, folder, provider)
	faults = map[string]error{}
	for _, a := range append(slices.Clone(p.Actions), p.Health) {
		r, err := a.Request(connection(provider), manifest.Call{Input: a.Example})
		if err != nil {
			faults[a.ID] = err
			continue
		}
		if a.Safety == egress.Read && r.Method != http.MethodGet {
			faults[a.ID] = fmt.Errorf("a read by %s", r.Method)
		}
		if found, err := judge(doc, router, r); !found {
			absent = append(absent, a.ID)
		} else if err != nil {
			faults[a.ID] = err
		}
	}
	return faults, absent
}

func TestActionsFollowTheVendorsDescriptions(t *testing.T) {
	t.Parallel()
	for provider, missing := range beyond {
		faults, absent := faultsOf(t, conformanceFolder(), provider, source(t, provider))
		for id, err := range faults {
			t.Errorf("%s %s: %v", provider, id, err)
		}
		if !slices.Equal(absent, missing) {
			t.Errorf("%s: the slice has no %v, and should have no %v", provider, absent, missing)
		}
		if full := os.Getenv("WEFT_OPENAPI_FULL"); full != "" {
			faults, absent := faultsOf(t, full, provider, source(t, provider))
			for id, err := range faults {
				t.Errorf("%s %s, whole description: %v", provider, id, err)
			}
			if len(absent) > 0 {
				t.Errorf("%s: the whole description has no %v", provider, absent)
			}
		}
	}
	if len(overlays) > 25 {
		t.Errorf("%d overlays", len(overlays))
	}
}

// An example that leaves a field out leaves it unjudged.
func TestExamplesUseEveryField(t *testing.T) {
	t.Parallel()
	alternatives := []string{"create_pull_request.issue", "send_message.attachments", "send_message.mrkdwn", "send_message.unfurl_links", "send_message.unfurl_media"}
	for provider := range beyond {
		p, err := manifest.Load([]byte(source(t, provider)))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range p.Actions {
			properties, _ := a.Input["properties"].(map[string]any)
			for name := range properties {
				if _, used := a.Example[name]; !used && !slices.Contains(alternatives, a.ID+"."+name) {
					t.Errorf("%s %s: the example has no %s", provider, a.ID, name)
				}
			}
		}
	}
}

// The judge must be able to say no.
func TestMutationsAreCaught(t *testing.T) {
	t.Parallel()
	for _, c := range append([]mutation{
		{"wrong verb", "slack", "send_message", "method: POST\n    path: /chat.postMessage", "method: PUT\n    path: /chat.postMessage"},
		{"wrong path", "slack", "update_message", "path: /chat.update", "path: /chat.updates"},
		{"missing field", "slack", "update_message", "        ts: ${ .input.ts }\n        text", "        text"},
		{"renamed field", "slack", "send_message", "        channel: ${ .input.channel }\n        text", "        chanel: ${ .input.channel }\n        text"},
		{"wrong type", "slack", "create_channel", "is_private: ${ .input.is_private }", "is_private: perhaps"},
		{"unknown query", "slack", "list_channels", "cursor: ${ .input.cursor }", "page: ${ .input.cursor }"},
		{"wrong query type", "slack", "list_channels", "limit: ${ .input.limit // 200 }", "limit: many"},
		{"wrong body kind", "slack", "create_channel", "      form:\n        name", "      json:\n        name"},
		{"wrong probe", "slack", "health_probe", "path: /auth.test", "path: /auth.tests"},
		{"wrong verb", "github", "create_issue", "method: POST\n    path: /repos/{owner}/{repo}/issues\n", "method: PATCH\n    path: /repos/{owner}/{repo}/issues\n"},
		{"wrong path", "github", "create_pull_request", "{repo}/pulls", "{repo}/pull"},
		{"missing field", "github", "create_comment", `json: {body: "${ .input.body }"}`, `json: {}`},
		{"wrong type", "github", "create_comment", `json: {body: "${ .input.body }"}`, `json: {body: 7}`},
		{"unknown field", "github", "create_pull_request", "json: ${ .input | del(.owner, .repo) }\n    output_schema: {type: object, properties: {id: {type: integer}, number: {type: integer}, html_url: {type: string}}}\n\n  dispatch", "json: ${ .input }\n\n  dispatch"},
		{"wrong parameter type", "github", "create_comment", "issue_number: 1347", "issue_number: 1347.5"},
		{"missing body", "github", "dispatch_workflow", "    body:\n      json: {ref: \"${ .input.ref }\", inputs: \"${ .input.inputs }\"}\n", ""},
	}, slices.Concat(googleMutations, microsoftMutations)...) {
		text := source(t, c.provider)
		if strings.Count(text, c.old) < 1 {
			t.Fatalf("%s %s: there is no %q", c.name, c.action, c.old)
		}
		faults, absent := faultsOf(t, conformanceFolder(), c.provider, strings.Replace(text, c.old, c.new, 1))
		if faults[c.action] == nil && faults[""] == nil && !slices.Contains(absent, c.action) {
			t.Errorf("%s of %s %s was not caught: %v, %v", c.name, c.provider, c.action, faults, absent)
		}
	}
}
