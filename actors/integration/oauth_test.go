package integration_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

var acmeURL = subjects.GetAuthURLRequest{Provider: "acme"}

// authorize connects a user to the oauthServer by an authorization flow.
func (b *fixture) authorize(t testing.TB, v *oauthServer, as mesh.As, label string) subjects.Connection {
	t.Helper()
	start := call(t, b, subjects.GetAuthURL, as, subjects.GetAuthURLRequest{Provider: "acme", Label: label})
	code, state := v.approve(t, start.AuthorizationURL)
	return call(t, b, subjects.ExchangeCode, as, subjects.ExchangeCodeRequest{Provider: "acme", Code: code, State: state})
}

func TestConnectByCode(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		v := newOAuthServer(t)
		b := setup(t, database, withAcme(t, v))
		id, ada := b.user(t)
		_, eve := b.user(t)
		start := call(t, b, subjects.GetAuthURL, ada, subjects.GetAuthURLRequest{Provider: "acme", Scopes: []string{"read", "write"}})
		u, _ := url.Parse(start.AuthorizationURL)
		q := u.Query()
		if q.Get("client_id") != "the-client" || q.Get("scope") != "read write" || q.Get("code_challenge_method") != "S256" ||
			q.Get("redirect_uri") != "http://127.0.0.1:8080/v1/integrations/callback" || q.Get("state") != start.State || start.ExpiresIn != 600 {
			t.Errorf("the authorization URL is %s", start.AuthorizationURL)
		}
		code, state := v.approve(t, start.AuthorizationURL)
		exchange := subjects.ExchangeCodeRequest{Provider: "acme", Code: code, State: state}
		// Another user, another session, another provider and a guessed state are refused, and do not use up the state.
		wantCode(t, b, subjects.CodeInvalid, subjects.ExchangeCode, eve, exchange)
		wantCode(t, b, subjects.CodeInvalid, subjects.ExchangeCode, mesh.As{Token: b.mesh.Token(t, id)}, exchange)
		wantCode(t, b, subjects.CodeInvalid, subjects.ExchangeCode, ada, subjects.ExchangeCodeRequest{Provider: "gmail", Code: code, State: state})
		wantCode(t, b, subjects.CodeInvalid, subjects.ExchangeCode, ada, subjects.ExchangeCodeRequest{Provider: "acme", Code: code, State: "guessed"})
		other := exchange
		other.Issuer = "https://evil.test"
		if e := wantCode(t, b, subjects.CodeInvalid, subjects.ExchangeCode, ada, other); e.Fields[0].Field != "iss" {
			t.Errorf("another issuer: %+v", e)
		}
		exchange.Issuer = v.URL
		c := call(t, b, subjects.ExchangeCode, ada, exchange)
		if c.Status != "active" || c.Auth != "oauth2" || c.Settings["tenant"] != "t-family-0" || c.ExpiresAt == nil || string(c.Account) != `{"account":"family-0"}` {
			t.Errorf("connected: %+v", c)
		}
		// A state is valid once.
		wantCode(t, b, subjects.CodeInvalid, subjects.ExchangeCode, ada, exchange)
		if result := call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`)); !strings.Contains(string(result.Output), "/things/1") {
			t.Errorf("got %s", result.Output)
		}
		// Another label makes another connection. connect_integration accepts a code too.
		start = call(t, b, subjects.GetAuthURL, ada, subjects.GetAuthURLRequest{Provider: "acme", Label: "second"})
		code, state = v.approve(t, start.AuthorizationURL)
		second := call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{Provider: "acme", Code: code, State: state})
		if second.Label != "second" || second.ID == c.ID {
			t.Errorf("second: %+v", second)
		}
		// An existing connection can be authorized again.
		start = call(t, b, subjects.GetAuthURL, ada, subjects.GetAuthURLRequest{Provider: "acme", IntegrationID: c.ID})
		code, state = v.approve(t, start.AuthorizationURL)
		again := call(t, b, subjects.ExchangeCode, ada, subjects.ExchangeCodeRequest{Provider: "acme", Code: code, State: state})
		if again.ID != c.ID || !strings.Contains(string(again.Account), "family-2") {
			t.Errorf("authorized again: %+v", again)
		}
		call(t, b, subjects.DisconnectIntegration, ada, subjects.IntegrationRequest{IntegrationID: c.ID})
		// Disconnecting revokes the tokens (RFC 7009).
		actortest.Eventually(t, "the revocation of the tokens", func() bool { v.mu.Lock(); defer v.mu.Unlock(); return v.revoked["family-2"] })
	})
}

func TestAuthURLRefusals(t *testing.T) {
	t.Parallel()
	v := newOAuthServer(t)
	b := setup(t, actortest.Databases(t)[0], withAcme(t, v), withConfig(func(c *integration.Config) { c.RedirectURIs = []string{"https://app.test/cb"} }))
	_, ada := b.user(t)
	for name, r := range map[string]struct {
		request subjects.GetAuthURLRequest
		code    subjects.Code
	}{
		"no client":                {subjects.GetAuthURLRequest{Provider: "gmail"}, subjects.CodeConflict},
		"unknown provider":         {subjects.GetAuthURLRequest{Provider: "unknown"}, subjects.CodeNotFound},
		"no OAuth":                 {subjects.GetAuthURLRequest{Provider: "http"}, subjects.CodeInvalid},
		"another method":           {subjects.GetAuthURLRequest{Provider: "acme", Auth: "robot"}, subjects.CodeInvalid},
		"unknown scope":            {subjects.GetAuthURLRequest{Provider: "acme", Scopes: []string{"admin"}}, subjects.CodeInvalid},
		"unknown redirect_uri":     {subjects.GetAuthURLRequest{Provider: "acme", RedirectURI: "https://app.test/cb/"}, subjects.CodeInvalid},
		"invalid settings":         {subjects.GetAuthURLRequest{Provider: "acme", Settings: `{"more":1}`}, subjects.CodeInvalid},
		"settings of another type": {subjects.GetAuthURLRequest{Provider: "acme", Settings: `[]`}, subjects.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, b, r.code, subjects.GetAuthURL, ada, r.request) })
	}
	if start := call(t, b, subjects.GetAuthURL, ada, subjects.GetAuthURLRequest{Provider: "acme", RedirectURI: "https://app.test/cb"}); start.RedirectURI != "https://app.test/cb" {
		t.Errorf("got %+v", start)
	}
	own := call(t, b, subjects.GetAuthURL, ada, subjects.GetAuthURLRequest{Provider: "acme", ClientID: "my-own"})
	code, state := v.approve(t, own.AuthorizationURL)
	refused := wantCode(t, b, subjects.CodeInvalid, subjects.ExchangeCode, ada, subjects.ExchangeCodeRequest{Provider: "acme", Code: code, State: state, ClientSecret: "wrong-secret-of-mine"})
	if refused.Fields[0].Field != "code" || strings.Contains(refused.Error(), "wrong-secret") || !strings.Contains(own.AuthorizationURL, "my-own") {
		t.Errorf("got %+v", refused)
	}
}

func page(t testing.TB, b *fixture, r subjects.OAuthCallbackRequest) string {
	t.Helper()
	got := call(t, b, subjects.OAuthCallback, mesh.As{}, r)
	if !strings.HasPrefix(got.ContentType, "text/html") {
		t.Fatalf("got %s", got.ContentType)
	}
	return string(got.Body)
}

func TestCallbackPage(t *testing.T) {
	t.Parallel()
	v := newOAuthServer(t)
	b := setup(t, actortest.Databases(t)[0], withAcme(t, v))
	id, ada := b.user(t)
	start := call(t, b, subjects.GetAuthURL, ada, acmeURL)
	code, state := v.approve(t, start.AuthorizationURL)
	back := url.Values{"code": {code}, "state": {state}, "hd": {"example.com"}, "realmId": {"12"}}.Encode()
	// Another browser, to which an attacker has sent the URL, has no binding or another one.
	for _, binding := range []string{"", strings.Repeat("A", 43)} {
		if text := page(t, b, subjects.OAuthCallbackRequest{Query: back, CookieBinding: binding}); !strings.Contains(text, "Not connected") || strings.Contains(text, code) || strings.Contains(text, state) {
			t.Errorf("another browser: %s", text)
		}
	}
	if text := page(t, b, subjects.OAuthCallbackRequest{Query: back, CookieBinding: start.Binding}); !strings.Contains(text, "acme is connected as default") {
		t.Errorf("got %s", text)
	}
	if text := page(t, b, subjects.OAuthCallbackRequest{Query: back, CookieBinding: start.Binding}); !strings.Contains(text, "Not connected") {
		t.Errorf("twice: %s", text)
	}
	if got := call(t, b, subjects.GetUserIntegrations, ada, subjects.ListIntegrationsRequest{}); len(got.Items) != 1 {
		t.Errorf("connections: %+v", got.Items)
	}
	for query, want := range map[string]string{
		"error=access_denied":                       "answered with access_denied",
		"error=%3Cscript%3Ealert(1)%3C%2Fscript%3E": "answered with an error",
		"": "without a provider", "state=x": "without a provider", "%zz": "without a provider",
	} {
		if text := page(t, b, subjects.OAuthCallbackRequest{Query: query}); !strings.Contains(text, want) || strings.Contains(text, "<script") {
			t.Errorf("%s: %s", query, text)
		}
	}
	// An ended session cannot complete a flow.
	session := "session-that-ends"
	ended := mesh.As{Token: b.mesh.Token(t, id, actortest.WithSession(session))}
	start = call(t, b, subjects.GetAuthURL, ended, subjects.GetAuthURLRequest{Provider: "acme", Label: "late"})
	code, state = v.approve(t, start.AuthorizationURL)
	b.mesh.RevokeSession(t, id, session)
	text := page(t, b, subjects.OAuthCallbackRequest{Query: url.Values{"code": {code}, "state": {state}}.Encode(), CookieBinding: start.Binding})
	if !strings.Contains(text, "Not connected") {
		t.Errorf("an ended session: %s", text)
	}
}

func TestImportedTokens(t *testing.T) {
	t.Parallel()
	v := newOAuthServer(t)
	b := setup(t, actortest.Databases(t)[0], withAcme(t, v))
	_, ada := b.user(t)
	v.access["imported-1"], v.families["imported-refresh"] = "import", "import"
	good := call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{
		Provider: "acme", Credentials: subjects.SecretMap{"access_token": "imported-1", "expires_at": time.Now().Add(time.Hour).Format(time.RFC3339)},
	})
	if good.ExpiresAt == nil || v.count("refresh_token") != 0 {
		t.Errorf("got %+v", good)
	}
	// An expired token is renewed before it is used.
	late := call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{
		Provider: "acme", Label: "late", Credentials: subjects.SecretMap{
			"access_token": "imported-0", "refresh_token": "imported-refresh", "expires_at": time.Now().Add(-time.Hour).Format(time.RFC3339),
		},
	})
	if !late.ExpiresAt.After(time.Now()) || v.count("refresh_token") != 1 {
		t.Errorf("got %+v", late)
	}
	refused := wantCode(t, b, subjects.CodeInvalid, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{
		Provider: "acme", Label: "bad", Credentials: subjects.SecretMap{
			"access_token": "imported-0", "refresh_token": "imported-refresh", "expires_at": time.Now().Add(-time.Hour).Format(time.RFC3339),
		},
	})
	if refused.Fields[0].Field != "credentials" {
		t.Errorf("got %+v", refused)
	}
	wantCode(t, b, subjects.CodeInvalid, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{Provider: "acme", Label: "none", Credentials: subjects.SecretMap{}})
	wantCode(t, b, subjects.CodeConflict, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: good.ID})
}

func TestFetchedTokens(t *testing.T) {
	t.Parallel()
	v := newOAuthServer(t)
	b := setup(t, actortest.Databases(t)[0], withAcme(t, v))
	_, ada := b.user(t)
	for _, c := range []struct {
		auth, grant string
		credentials subjects.SecretMap
		bad         subjects.SecretMap
	}{
		{"robot", "client_credentials", subjects.SecretMap{"client_id": "r2", "client_secret": "the-client's-secret"}, subjects.SecretMap{"client_id": "r2", "client_secret": "not-the-secret"}},
		{"signer", "urn:ietf:params:oauth:grant-type:jwt-bearer", subjects.SecretMap{"name": "robby", "key": "the-key-of-the-robot"}, subjects.SecretMap{"name": "robby", "key": "another key"}},
	} {
		request := subjects.ConnectIntegrationRequest{Provider: "acme", Auth: c.auth, Label: c.auth, Credentials: c.bad}
		if e := wantCode(t, b, subjects.CodeInvalid, subjects.ConnectIntegration, ada, request); e.Fields[0].Field != "credentials" {
			t.Errorf("%s: %+v", c.auth, e)
		}
		request.Credentials = c.credentials
		connection := call(t, b, subjects.ConnectIntegration, ada, request)
		before := v.count(c.grant)
		call(t, b, subjects.ExecuteAction, ada, action(connection.ID, "get", `{"id":"1"}`))
		if v.count(c.grant) != before {
			t.Errorf("%s: a valid token was requested again", c.auth)
		}
		v.expire()
		result := call(t, b, subjects.ExecuteAction, ada, action(connection.ID, "get", `{"id":"1"}`))
		if v.count(c.grant) != before+1 || result.Attempts != 2 {
			t.Errorf("%s: %d token requests, %d attempts", c.auth, v.count(c.grant)-before, result.Attempts)
		}
		v.answerNext(func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, http.StatusServiceUnavailable, "temporarily_unavailable")
		})
		v.expire()
		wantCode(t, b, subjects.CodeUnavailable, subjects.ExecuteAction, ada, action(connection.ID, "get", `{"id":"1"}`))
		call(t, b, subjects.ExecuteAction, ada, action(connection.ID, "get", `{"id":"1"}`))
	}
}
