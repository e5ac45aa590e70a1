package integration_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func TestProvidersFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v := newOAuthServer(t)
	v.access["a-token-of-acme"] = "mine"
	b := setup(t, actortest.Databases(t)[0], withConfig(func(c *integration.Config) { c.ProvidersDir = dir }))
	_, ada := b.user(t)
	one := subjects.ProviderRequest{Provider: "acme"}
	ask := func(r subjects.ProviderRequest) (subjects.ProviderDetail, error) {
		return mesh.Call(t.Context(), b.caller, subjects.GetProvider, r, ada)
	}
	has := func(code subjects.Code, r subjects.ProviderRequest) func() bool {
		return func() bool {
			_, err := ask(r)
			return subjects.CodeOf(err) == code
		}
	}
	wantCode(t, b, subjects.CodeNotFound, subjects.GetProvider, ada, one)

	// A new provider can be used.
	text := strings.ReplaceAll(acme, "URL", v.URL)
	putManifest(t, dir, "acme", text)
	actortest.Eventually(t, "the provider", has("", one))
	c := call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{
		Provider: "acme", Credentials: subjects.SecretMap{"access_token": "a-token-of-acme"},
	})
	if got := call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"7"}`)); !strings.Contains(string(got.Output), "/things/7") {
		t.Errorf("got %s", got.Output)
	}

	// An invalid file disables its own provider, with a reason, and no other.
	putManifest(t, dir, "acme", strings.Replace(text, "safety: write_once", "safety: perhaps", 1))
	actortest.Eventually(t, "the provider is disabled", has(subjects.CodeConflict, one))
	if status := call(t, b, subjects.GetProviderStatus, ada, one); !strings.Contains(status.Fault, "acme.yaml: 23:13: /actions/get/safety: must match") {
		t.Errorf("the fault: %q", status.Fault)
	}
	refused := wantCode(t, b, subjects.CodeConflict, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"7"}`))
	if !strings.Contains(refused.Detail, "23:13") {
		t.Errorf("refused: %v", refused)
	}
	call(t, b, subjects.GetProvider, ada, subjects.ProviderRequest{Provider: "http"})
	putManifest(t, dir, "acme", text)
	actortest.Eventually(t, "the provider is enabled again", has("", one))

	// A file replaces a shipped provider of the same id until it is removed.
	putManifest(t, dir, "http", strings.ReplaceAll(strings.Replace(text, "id: acme", "id: http", 1), "name: Acme", "name: My own"))
	actortest.Eventually(t, "the shipped provider is replaced", func() bool {
		got, err := ask(subjects.ProviderRequest{Provider: "http"})
		return err == nil && got.Name == "My own"
	})
	if err := os.Remove(filepath.Join(dir, "http.yaml")); err != nil {
		t.Fatal(err)
	}
	actortest.Eventually(t, "the shipped provider is back", func() bool {
		got, err := ask(subjects.ProviderRequest{Provider: "http"})
		return err == nil && got.Name != "My own"
	})
	if err := os.Remove(filepath.Join(dir, "acme.yaml")); err != nil {
		t.Fatal(err)
	}
	actortest.Eventually(t, "the provider is removed", has(subjects.CodeNotFound, one))
}

func TestProviders(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	_, ada := b.user(t)
	list := call(t, b, subjects.ListProviders, ada, subjects.ListProvidersRequest{PageRequest: subjects.PageRequest{Limit: 100}})
	if len(list.Items) < 50 || list.NextCursor != "" {
		t.Fatalf("providers: %+v", list.Items)
	}
	found := call(t, b, subjects.ListProviders, ada, subjects.ListProvidersRequest{Query: "SLACK"})
	if len(found.Items) != 1 || found.Items[0].ID != "slack" || found.Items[0].AuthType != "api_key" || found.Items[0].ActionCount == 0 {
		t.Errorf("searched: %+v", found.Items)
	}
	page := call(t, b, subjects.ListProviders, ada, subjects.ListProvidersRequest{PageRequest: subjects.PageRequest{Limit: 1}})
	rest := call(t, b, subjects.ListProviders, ada, subjects.ListProvidersRequest{PageRequest: subjects.PageRequest{Cursor: page.NextCursor, Limit: 100}})
	if len(page.Items)+len(rest.Items) != len(list.Items) {
		t.Errorf("%d and %d of %d providers", len(page.Items), len(rest.Items), len(list.Items))
	}
	slack := call(t, b, subjects.GetProvider, ada, subjects.ProviderRequest{Provider: "slack"})
	for _, action := range slack.Actions {
		if action.ID == "send_message" && (action.Safety != "write_once" || action.Input["required"] == nil || action.OutputSchema == nil) {
			t.Errorf("send_message: %+v", action)
		}
	}
	if len(slack.Auth) == 0 || slack.Auth[0].Help == "" || len(slack.Limits) == 0 {
		t.Errorf("slack: %+v", slack)
	}
	wantCode(t, b, subjects.CodeNotFound, subjects.GetProvider, ada, subjects.ProviderRequest{Provider: "unknown"})
	wantCode(t, b, subjects.CodeUnauthenticated, subjects.ListProviders, mesh.As{}, subjects.ListProvidersRequest{})
}
