package integration_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// keyFor returns a token of an API key with scopes.
func (b *fixture) keyFor(t testing.TB, user string, scopes ...string) mesh.As {
	t.Helper()
	return mesh.As{Token: b.mesh.Token(t, user, actortest.WithAPIKey("key-1", strings.Join(scopes, " ")))}
}

// listener is a server that accepts everything and records it.
func newListener(t testing.TB) *oauthServer {
	t.Helper()
	w := newOAuthServer(t)
	w.api = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusOK)
		return true
	}
	return w
}

// TestStoredCredentialsStayWhereTheyWereGiven: settings that send the stored credentials to another server, or to another place of a
// request, need the credentials anew, for every way of authentication and every caller.
func TestStoredCredentialsStayWhereTheyWereGiven(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	good, evil := newFakeProvider(t, respond(200, `{}`)), newFakeProvider(t, respond(200, `{}`))
	user, ada := b.user(t)
	good.Config.Handler, evil.Config.Handler = recordAll(good), recordAll(evil)
	port := strings.TrimPrefix(good.URL, "http://127.0.0.1:")
	for auth, credentials := range map[string]subjects.SecretMap{
		"bearer": {"api_key": goodKey}, "header": {"api_key": goodKey}, "query": {"api_key": goodKey}, "basic": {"username": "u", "password": goodKey},
	} {
		c := call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{
			Provider: "http", Auth: auth, Label: auth, Credentials: credentials, Settings: map[string]any{"base_url": good.URL + "/v1"},
		})
		before, settings := len(good.requests()), []map[string]any{
			{"base_url": evil.URL}, {"base_url": strings.Replace(good.URL, "http://", "https://", 1)}, {"base_url": "http://127.0.0.1"},
			{"base_url": "http://localhost:" + port}, {"base_url": "http://127.0.0.2:" + port}, {"base_url": "http://127.0.0.1:" + port + "@" + evil.Listener.Addr().String()},
			{"base_url": evil.URL + "/" + good.URL}, {"base_url": "http://127.0.0.1:" + port + ".evil.test/"},
		}
		if auth == "header" || auth == "query" {
			settings = append(settings, map[string]any{"base_url": good.URL, "key_name": "X-Other"})
		}
		for _, as := range []mesh.As{ada, b.keyFor(t, user, subjects.ScopeIntegrationsConnect)} {
			for _, s := range settings {
				refused := wantCode(t, b, subjects.CodeInvalid, subjects.UpdateIntegration, as, subjects.UpdateIntegrationRequest{IntegrationID: c.ID, Settings: s})
				if f := refused.Fields[0].Field; f != "credentials" && f != "settings.base_url" {
					t.Errorf("%s %v: %+v", auth, s, refused)
				}
			}
		}
		if n := len(evil.requests()) + len(good.requests()) - before; n != 0 {
			t.Errorf("%s: %d requests were made", auth, n)
		}
		// Credentials that come with the settings are tried there.
		moved := call(t, b, subjects.UpdateIntegration, ada, subjects.UpdateIntegrationRequest{
			IntegrationID: c.ID, Settings: map[string]any{"base_url": good.URL + "/v2"}, Credentials: credentials,
		})
		if moved.Settings["base_url"] != good.URL+"/v2" {
			t.Errorf("%s: %v", auth, moved.Settings)
		}
	}
}

// recordAll is a handler that records every request, the health probe too.
func recordAll(v *fakeProvider) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.seen = append(v.seen, request{method: r.Method, path: r.URL.Path})
		w.WriteHeader(http.StatusOK)
	}
}

// TestProbeOfStoredCredentialsIsACall: trying the stored credentials needs the scope and the consent of a call.
func TestProbeOfStoredCredentialsIsACall(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	v := newFakeProvider(t, respond(200, `{}`))
	user, ada := b.user(t)
	c := b.connectTo(t, v, ada, "")
	v.Config.Handler = recordAll(v)
	connect, both := b.keyFor(t, user, subjects.ScopeIntegrationsConnect), b.keyFor(t, user, subjects.ScopeIntegrationsConnect, subjects.ScopeIntegrationsExecute)
	path := subjects.UpdateIntegrationRequest{IntegrationID: c.ID, Settings: map[string]any{"base_url": v.URL, "health_path": "/other"}}
	if e := wantCode(t, b, subjects.CodeForbidden, subjects.UpdateIntegration, connect, path); e.Scope != subjects.ScopeIntegrationsExecute {
		t.Errorf("got %+v", e)
	}
	b.mesh.Revoke(t, user, subjects.ScopeIntegrationsExecute)
	for _, as := range []mesh.As{both, ada} {
		wantCode(t, b, subjects.CodeConsentRequired, subjects.UpdateIntegration, as, path)
	}
	if got := v.requests(); len(got) != 0 {
		t.Errorf("the provider received %+v", got)
	}
	b.mesh.Consent(t, user, subjects.ScopeIntegrationsExecute)
	for _, as := range []mesh.As{both, ada} {
		call(t, b, subjects.UpdateIntegration, as, path)
	}
	if got := v.requests(); len(got) != 2 || got[0].path != "/other" {
		t.Errorf("the provider received %+v", got)
	}
}
