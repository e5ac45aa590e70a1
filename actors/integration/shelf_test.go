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
	v := newAuthorizer(t)
	v.access["a-token-of-acme"] = "mine"
	b := setup(t, actortest.Databases(t)[0], with(func(c *integration.Config) { c.ProvidersDir = dir }))
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

	// The fifty-first provider: dropped in, and used.
	text := strings.ReplaceAll(acme, "URL", v.URL)
	putManifest(t, dir, "acme", text)
	actortest.Eventually(t, "the provider is not there", has("", one))
	c := call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{
		Provider: "acme", Credentials: subjects.SecretMap{"access_token": "a-token-of-acme"},
	})
	if got := call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"7"}`)); !strings.Contains(string(got.Output), "/things/7") {
		t.Errorf("got %s", got.Output)
	}

	// A faulty file disables its own provider, says why, and no other.
	putManifest(t, dir, "acme", strings.Replace(text, "safety: write_once", "safety: perhaps", 1))
	actortest.Eventually(t, "the faulty file has no effect", has(subjects.CodeConflict, one))
	if status := call(t, b, subjects.GetProviderStatus, ada, one); !strings.Contains(status.Fault, "acme.yaml: 23:13: /actions/get/safety: must match") {
		t.Errorf("the fault: %q", status.Fault)
	}
	refused := wantCode(t, b, subjects.CodeConflict, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"7"}`))
	if !strings.Contains(refused.Detail, "23:13") {
		t.Errorf("refused: %v", refused)
	}
	call(t, b, subjects.GetProvider, ada, subjects.ProviderRequest{Provider: "http"})
	putManifest(t, dir, "acme", text)
	actortest.Eventually(t, "the mended file has no effect", has("", one))

	// A file of a provider that weft ships takes its place, and gives it back when it goes.
	putManifest(t, dir, "http", strings.ReplaceAll(strings.Replace(text, "id: acme", "id: http", 1), "name: Acme", "name: My own"))
	actortest.Eventually(t, "the file does not take its place", func() bool {
		got, err := ask(subjects.ProviderRequest{Provider: "http"})
		return err == nil && got.Name == "My own"
	})
	if err := os.Remove(filepath.Join(dir, "http.yaml")); err != nil {
		t.Fatal(err)
	}
	actortest.Eventually(t, "the shipped one does not come back", func() bool {
		got, err := ask(subjects.ProviderRequest{Provider: "http"})
		return err == nil && got.Name != "My own"
	})
	if err := os.Remove(filepath.Join(dir, "acme.yaml")); err != nil {
		t.Fatal(err)
	}
	actortest.Eventually(t, "the provider does not go", has(subjects.CodeNotFound, one))
}
