package integration_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// selfHosted is the manifest of a provider whose server a setting chooses. HOST is the default's.
const selfHosted = `id: hosted
name: Hosted
category: developer_tools
base_url: ${ "http://" + (.settings.host // "HOST") }
hosts: ['${ .settings.host // "HOST" }']
settings: {type: object, additionalProperties: false, properties: {host: {type: string}}}
auth:
  - id: oauth2
    kind: oauth2
    oauth2:
      authorize_url: ${ "http://" + (.settings.host // "HOST") + "/authorize" }
      token_url: ${ "http://" + (.settings.host // "HOST") + "/token" }
      revoke_url: ${ "http://" + (.settings.host // "HOST") + "/revoke" }
      pkce: true
health: {method: GET, path: /me, output: "${ {account: .body.account} }"}
actions:
  get: {title: Get, safety: read, method: GET, path: /things, input: {type: object}}
`

const operatorsSecret = "the-client's-secret"

// withSelfHosted adds the provider of selfHosted, with an OAuth client of the operator's.
func withSelfHosted(t testing.TB, v *oauthServer, clientHosts ...string) option {
	t.Helper()
	dir := t.TempDir()
	putManifest(t, dir, "hosted", strings.ReplaceAll(selfHosted, "HOST", v.Listener.Addr().String()))
	return withConfig(func(c *integration.Config) {
		c.ProvidersDir = dir
		c.Providers["hosted"] = integration.ProviderConfig{ClientID: "the-client", ClientSecret: mesh.Secret(operatorsSecret), ClientHosts: clientHosts}
	})
}

// wantUnseen fails if the server has received a secret in a token request.
func (v *oauthServer) wantUnseen(t testing.TB, secret string) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, form := range v.seen {
		if strings.Contains(fmt.Sprint(form), secret) {
			t.Errorf("a token request has the secret: %v", form)
		}
	}
}

// TestOperatorsClientIsBoundToItsHosts: the operator's client id and secret are not sent to a host that a user's settings choose, by
// no way that makes an OAuth request.
func TestOperatorsClientIsBoundToItsHosts(t *testing.T) {
	t.Parallel()
	v, evil := newOAuthServer(t), newListener(t)
	b := setup(t, actortest.Databases(t)[0], withSelfHosted(t, v))
	_, ada := b.user(t)
	elsewhere := fmt.Sprintf(`{"host":%q}`, evil.Listener.Addr())
	refused := wantCode(t, b, subjects.CodeInvalid, subjects.GetAuthURL, ada, subjects.GetAuthURLRequest{Provider: "hosted", Settings: elsewhere})
	if refused.Fields[0].Field != "client_id" || !strings.Contains(refused.Detail, "integration.providers.hosted.client_hosts") {
		t.Errorf("got %+v", refused)
	}
	// An expired access token would be renewed while connecting.
	imported := subjects.ConnectIntegrationRequest{
		Provider: "hosted", Settings: map[string]any{"host": evil.Listener.Addr().String()}, Credentials: subjects.SecretMap{
			"access_token": "imported-0", "refresh_token": "imported-refresh", "expires_at": time.Now().Add(-time.Hour).Format(time.RFC3339),
		},
	}
	if e := wantCode(t, b, subjects.CodeInvalid, subjects.ConnectIntegration, ada, imported); e.Fields[0].Field != "credentials.client_id" {
		t.Errorf("got %+v", e)
	}
	imported.Credentials["expires_at"] = time.Now().Add(time.Hour).Format(time.RFC3339)
	c := call(t, b, subjects.ConnectIntegration, ada, imported)
	wantCode(t, b, subjects.CodeConflict, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: c.ID})
	call(t, b, subjects.DisconnectIntegration, ada, subjects.IntegrationRequest{IntegrationID: c.ID})
	evil.wantUnseen(t, "the-client")
	// A client of the user's own is used there, and the operator's at its host.
	own := call(t, b, subjects.GetAuthURL, ada, subjects.GetAuthURLRequest{Provider: "hosted", Settings: elsewhere, ClientID: "my-own"})
	code, state := evil.approve(t, own.AuthorizationURL)
	_, _ = mesh.Call(t.Context(), b.caller, subjects.ExchangeCode, subjects.ExchangeCodeRequest{Provider: "hosted", Code: code, State: state, ClientSecret: "mine"}, ada)
	if evil.wantUnseen(t, operatorsSecret); len(evil.seen) != 1 || evil.seen[0].Get("client_id") != "my-own" {
		t.Errorf("the user's server received %v", evil.seen)
	}
	start := call(t, b, subjects.GetAuthURL, ada, subjects.GetAuthURLRequest{Provider: "hosted"})
	code, state = v.approve(t, start.AuthorizationURL)
	kept := call(t, b, subjects.ExchangeCode, ada, subjects.ExchangeCodeRequest{Provider: "hosted", Code: code, State: state})
	call(t, b, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: kept.ID})
	// Later settings do not move the connection with its tokens.
	moved := subjects.UpdateIntegrationRequest{IntegrationID: kept.ID, Settings: map[string]any{"host": evil.Listener.Addr().String()}}
	wantCode(t, b, subjects.CodeInvalid, subjects.UpdateIntegration, ada, moved)
	wantCode(t, b, subjects.CodeInvalid, subjects.GetAuthURL, ada, subjects.GetAuthURLRequest{Provider: "hosted", IntegrationID: kept.ID, Settings: elsewhere})
	evil.wantUnseen(t, "the-client")
}

// TestClientHosts: with client_hosts, the operator's client is used at those hosts and not at the manifest's.
func TestClientHosts(t *testing.T) {
	t.Parallel()
	v, other := newOAuthServer(t), newOAuthServer(t)
	b := setup(t, actortest.Databases(t)[0], withSelfHosted(t, v, other.Listener.Addr().String()))
	_, ada := b.user(t)
	wantCode(t, b, subjects.CodeInvalid, subjects.GetAuthURL, ada, subjects.GetAuthURLRequest{Provider: "hosted"})
	settings := fmt.Sprintf(`{"host":%q}`, other.Listener.Addr())
	start := call(t, b, subjects.GetAuthURL, ada, subjects.GetAuthURLRequest{Provider: "hosted", Settings: settings})
	code, state := other.approve(t, start.AuthorizationURL)
	call(t, b, subjects.ExchangeCode, ada, subjects.ExchangeCodeRequest{Provider: "hosted", Code: code, State: state})
	if len(v.seen) != 0 {
		t.Errorf("the other server received %v", v.seen)
	}
}

// TestSettingsChangedDuringAnAuthorization: a flow that was started with other settings than the connection has by now does not undo
// the change.
func TestSettingsChangedDuringAnAuthorization(t *testing.T) {
	t.Parallel()
	v := newOAuthServer(t)
	b := setup(t, actortest.Databases(t)[0], withAcme(t, v))
	_, ada := b.user(t)
	c := b.authorize(t, v, ada, "")
	start := call(t, b, subjects.GetAuthURL, ada, subjects.GetAuthURLRequest{Provider: "acme", IntegrationID: c.ID})
	call(t, b, subjects.UpdateIntegration, ada, subjects.UpdateIntegrationRequest{IntegrationID: c.ID, Settings: map[string]any{"tenant": "another"}})
	code, state := v.approve(t, start.AuthorizationURL)
	wantCode(t, b, subjects.CodeConflict, subjects.ExchangeCode, ada, subjects.ExchangeCodeRequest{Provider: "acme", Code: code, State: state})
	if got := call(t, b, subjects.GetIntegration, ada, subjects.IntegrationRequest{IntegrationID: c.ID}); got.Settings["tenant"] != "another" {
		t.Errorf("got %v", got.Settings)
	}
}

// TestClientHostsAreChecked: an entry that is no host is refused at the start.
func TestClientHostsAreChecked(t *testing.T) {
	t.Parallel()
	for host, good := range map[string]bool{
		"git.example.com": true, "git.example.com:8443": true, "*.example.com": true, "": false, "*": false, "https://git.example.com": false,
		"git.example.com/": false, "user@git.example.com": false, "git.*.com": false, "git example": false,
	} {
		c := integration.DefaultConfig()
		c.PublicURL = "https://weft.example"
		c.Providers = map[string]integration.ProviderConfig{"gitlab": {ClientHosts: []string{host}}}
		if err := c.Check(); (err == nil) != good {
			t.Errorf("%q: %v", host, err)
		}
	}
}

// TestShippedProvidersBindTheOperatorsClient: of every shipped provider whose OAuth hosts are decided by a setting, the operator's client
// is used at the manifest's own host, if it has one, or at the configured ones.
func TestShippedProvidersBindTheOperatorsClient(t *testing.T) {
	t.Parallel()
	clients := map[string]integration.ProviderConfig{}
	for _, id := range []string{"gitlab", "sentry", "salesforce", "mattermost", "shopify", "zendesk", "github"} {
		clients[id] = integration.ProviderConfig{ClientID: "the-client", ClientSecret: operatorsSecret}
	}
	bound := clients["shopify"]
	bound.ClientHosts = []string{"*.myshopify.com"}
	clients["shopify"] = bound
	b := setup(t, actortest.Databases(t)[0], withConfig(func(c *integration.Config) { c.Providers = clients }))
	_, ada := b.user(t)
	for _, c := range []struct {
		provider, settings string
		good               bool
	}{
		{"gitlab", ``, true}, {"gitlab", `{"host":"gitlab.com"}`, true}, {"gitlab", `{"host":"GitLab.com"}`, true}, {"gitlab", `{"host":"gitlab.com:443"}`, true},
		{"gitlab", `{"host":"attacker.example"}`, false}, {"gitlab", `{"host":"gitlab.com:8443"}`, false}, {"gitlab", `{"host":"gitlab.com.attacker.example"}`, false},
		{"sentry", ``, true}, {"sentry", `{"host":"de.sentry.io"}`, false}, {"salesforce", ``, true}, {"salesforce", `{"login_host":"attacker.my.salesforce.com"}`, false},
		{"mattermost", `{"host":"chat.example.com"}`, false}, {"zendesk", `{"subdomain":"attacker"}`, false}, {"shopify", `{"shop":"acme"}`, true}, {"github", ``, true},
	} {
		request := subjects.GetAuthURLRequest{Provider: c.provider, Settings: c.settings}
		if c.good {
			call(t, b, subjects.GetAuthURL, ada, request)
			continue
		}
		if e := wantCode(t, b, subjects.CodeInvalid, subjects.GetAuthURL, ada, request); e.Fields[0].Field != "client_id" {
			t.Errorf("%s %s: %+v", c.provider, c.settings, e)
		}
		request.ClientID = "my-own"
		call(t, b, subjects.GetAuthURL, ada, request)
	}
}
