package manifest_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

const apiKeyAuth = "- {id: token, kind: api_key, in: bearer}"

// method returns the authentication method of minimal with changes.
func method(t *testing.T, changes ...string) *manifest.AuthMethod {
	t.Helper()
	m, ok := load(t, changes...).AuthMethod("")
	if !ok {
		t.Fatal("no authentication method")
	}
	return m
}

func TestAuthorizeURL(t *testing.T) {
	t.Parallel()
	m := method(t, apiKeyAuth, `- id: o
    kind: oauth2
    oauth2:
      authorize_url: https://id.acme.test/authorize?tenant=1
      token_url: https://id.acme.test/token
      pkce: true
      scope_separator: ","
      scope_parameter: user_scope
      default_scopes: [a, b]
      authorize_params: {access_type: offline, state: mine}`)
	at, err := m.AuthorizeURL(manifest.Authorization{
		Client: manifest.Client{ID: "c&1", Secret: "s3cr3t"}, RedirectURI: "https://weft.test/cb?x=1", State: "st", Challenge: "ch",
	})
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(at)
	want := url.Values{
		"tenant": {"1"}, "response_type": {"code"}, "client_id": {"c&1"}, "redirect_uri": {"https://weft.test/cb?x=1"}, "state": {"st"},
		"user_scope": {"a,b"}, "access_type": {"offline"}, "code_challenge": {"ch"}, "code_challenge_method": {"S256"},
	}
	if u.Query().Encode() != want.Encode() || strings.Contains(at, "s3cr3t") {
		t.Errorf("got %s", at)
	}
	if at, err = m.AuthorizeURL(manifest.Authorization{Scopes: []string{"only"}}); err != nil || !strings.Contains(at, "user_scope=only") {
		t.Errorf("got %s, %v", at, err)
	}
}

func TestTokenRequests(t *testing.T) {
	t.Parallel()
	client := manifest.Client{ID: "id", Secret: "s3/cr3t"}
	m := method(t, apiKeyAuth, `- id: o
    kind: oauth2
    oauth2: {authorize_url: https://id.acme.test/a, token_url: https://id.acme.test/t, refresh_url: https://id.acme.test/r, revoke_url: https://id.acme.test/v,
      pkce: true, client_auth: basic, token_params: {extra: "1"}, refresh_params: {again: "2"}}`)
	r, err := m.CodeRequest(nil, client, "c0de", "https://weft.test/cb", "verify")
	if err != nil {
		t.Fatal(err)
	}
	form, _ := url.ParseQuery(string(r.Body))
	want := url.Values{"grant_type": {"authorization_code"}, "code": {"c0de"}, "redirect_uri": {"https://weft.test/cb"}, "code_verifier": {"verify"}, "extra": {"1"}}
	if form.Encode() != want.Encode() || r.URL != "https://id.acme.test/t" || r.Header.Get("Authorization") != "Basic aWQ6czMlMkZjcjN0" || !r.NoRedirect {
		t.Errorf("code: %s %s %v", r.URL, r.Body, r.Header)
	}
	r, err = m.RefreshRequest(nil, client, "r3fresh")
	if err != nil || r.URL != "https://id.acme.test/r" || string(r.Body) != "again=2&grant_type=refresh_token&refresh_token=r3fresh" {
		t.Errorf("refresh: %v %v", r, err)
	}
	if r, ok, err := m.RevokeRequest(nil, client, "t0ken"); !ok || err != nil || r.URL != "https://id.acme.test/v" || string(r.Body) != "token=t0ken" {
		t.Errorf("revoke: %v %v %v", r, ok, err)
	}
	m = method(t, apiKeyAuth, `- id: o
    kind: oauth2
    oauth2: {authorize_url: https://id.acme.test/a, token_url: https://id.acme.test/t, token_format: json}`)
	r, err = m.CodeRequest(nil, client, "c0de", "https://weft.test/cb", "")
	if err != nil {
		t.Fatal(err)
	}
	var sent map[string]string
	if err := json.Unmarshal(r.Body, &sent); err != nil || sent["client_secret"] != "s3/cr3t" || sent["code"] != "c0de" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("json: %s %v", r.Body, err)
	}
	if _, ok, _ := m.RevokeRequest(nil, client, "t0ken"); ok {
		t.Error("a method without revoke_url returned a request")
	}
	r, err = method(t, apiKeyAuth, `- id: o
    kind: client_credentials
    oauth2: {token_url: https://id.acme.test/t, default_scopes: [a, b], token_params: {audience: x, account: "${ .settings | .[\"acc\" + \"ount\"] }", twice: "${ .credentials.client_id * 2 }"}}`).
		GrantRequest(manifest.Connection{Settings: map[string]any{"account": "7"}, Credentials: map[string]any{"client_id": "id", "client_secret": "sec"}}, time.Now(), "1")
	if err != nil || string(r.Body) != "account=7&audience=x&client_id=id&client_secret=sec&grant_type=client_credentials&scope=a+b&twice=idid" {
		t.Errorf("client credentials: %v %v", r, err)
	}
}

// TestOAuthURLsAreWithinHosts: settings cannot redirect a client's secret to another host.
func TestOAuthURLsAreWithinHosts(t *testing.T) {
	t.Parallel()
	const auth = `- id: o
    kind: oauth2
    oauth2: {authorize_url: "${ \"https://\" + .settings.shop + \".acme.test/a\" }", token_url: "${ \"https://\" + .settings.shop + \".acme.test/t\" }"}`
	m := method(t, apiKeyAuth, auth, "auth:", "hosts: ['*.acme.test', api.acme.test]\nsettings: {type: object, properties: {shop: {type: string}}}\nauth:")
	r, err := m.CodeRequest(map[string]any{"shop": "s1"}, manifest.Client{}, "c", "r", "")
	if err != nil || r.URL != "https://s1.acme.test/t" {
		t.Errorf("got %v, %v", r, err)
	}
	for _, shop := range []any{"evil.test/", "evil.test?", "evil.test#", "a@evil.test:1/", "", nil} {
		if r, err := m.CodeRequest(map[string]any{"shop": shop}, manifest.Client{}, "c", "r", ""); err == nil {
			t.Errorf("%v: %s", shop, r.URL)
		}
	}
	if err := faultsOf(t, apiKeyAuth, auth); !strings.Contains(err, "/auth/0/oauth2/token_url: a URL that is an expression requires hosts") {
		t.Error(err)
	}
}

func TestTokenResponses(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	plain := method(t, apiKeyAuth, `- id: o
    kind: oauth2
    oauth2: {authorize_url: https://id.acme.test/a, token_url: https://id.acme.test/t}`)
	custom := method(t, apiKeyAuth, `- id: o
    kind: oauth2
    oauth2:
      authorize_url: https://id.acme.test/a
      token_url: https://id.acme.test/t
      token_lifetime: 1h
      answer: {access_token: "${ .body.authed_user.access_token }", expires_in: "${ .headers[\"x-life\"] }", refresh_token: "${ .body.authed_user.refresh }"}
      capture: {instance: "${ .body.instance_url }"}`, "auth:", "settings: {type: object, properties: {instance: {type: string}}}\nauth:")
	for _, c := range []struct {
		name, body      string
		m               *manifest.AuthMethod
		header          http.Header
		access, refresh string
		expires         time.Time
		instance        any
	}{
		{name: "RFC 6749", m: plain, body: `{"access_token":"a1","refresh_token":"r1","expires_in":60}`, access: "a1", refresh: "r1", expires: at.Add(time.Minute)},
		{name: "expires_in a string", m: plain, body: `{"access_token":"a1","expires_in":"60"}`, access: "a1", expires: at.Add(time.Minute)},
		{name: "a year", m: plain, body: `{"access_token":"a1","expires_in":31536000}`, access: "a1", expires: at.AddDate(1, 0, 0)},
		{name: "spaces", m: plain, body: `{"access_token":"a1","expires_in":" 3600 "}`, access: "a1", expires: at.Add(time.Hour)},
		{name: "a negative lifetime", m: custom, header: http.Header{"X-Life": {"-1"}}, body: `{"authed_user":{"access_token":"a1"}}`, access: "a1", expires: at.Add(time.Hour)},
		{name: "never expires", m: plain, body: `{"access_token":"a1"}`, access: "a1"},
		{name: "a form as text", m: plain, header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, body: `access_token=a1&refresh_token=r1`, access: "a1", refresh: "r1"},
		{name: "a form, in capitals", m: plain, header: http.Header{"Content-Type": {"application/X-WWW-Form-Urlencoded"}}, body: `access_token=a1&refresh_token=r1`, access: "a1", refresh: "r1"},
		{name: "JSON after a byte order mark", m: plain, body: "\xef\xbb\xbf" + `{"access_token":"a1","refresh_token":"r1"}`, access: "a1", refresh: "r1"},
		{name: "JSON as HTML", m: plain, header: http.Header{"Content-Type": {"text/html"}}, body: `{"access_token":"a1"}`, access: "a1"},
		{name: "form", m: plain, header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, body: `access_token=a1&expires_in=60`, access: "a1", expires: at.Add(time.Minute)},
		{name: "other fields", m: custom, header: http.Header{"X-Life": {"30"}}, body: `{"authed_user":{"access_token":"a1","refresh":"r1"},"instance_url":"https://i"}`, access: "a1", refresh: "r1", expires: at.Add(30 * time.Second), instance: "https://i"},
		{name: "the manifest's lifetime", m: custom, body: `{"authed_user":{"access_token":"a1"}}`, access: "a1", expires: at.Add(time.Hour)},
	} {
		got, err := c.m.Tokens(manifest.Answer{Status: 200, Header: c.header, Body: []byte(c.body), At: at})
		if err != nil || got.Access != c.access || got.Refresh != c.refresh || !got.ExpiresAt.Equal(c.expires) || got.Settings["instance"] != c.instance {
			t.Errorf("%s: got %q %q %s %v, %v", c.name, got.Access, got.Refresh, got.ExpiresAt, got.Settings, err)
		}
	}
}

func TestTokenErrors(t *testing.T) {
	t.Parallel()
	m := method(t, apiKeyAuth, `- id: o
    kind: oauth2
    oauth2: {authorize_url: https://id.acme.test/a, token_url: https://id.acme.test/t}`)
	for _, c := range []struct {
		status     int
		body, want string
		final      bool
	}{
		{400, `{"error":"invalid_grant","error_description":"the token r3fr3sh is revoked"}`, " (HTTP 400): invalid_grant", true},
		{200, `{"ok":false,"error":"invalid_grant"}`, " (HTTP 200): invalid_grant", true},
		{200, `{"ok":false,"error":"r3fr3sh"}`, " (HTTP 200): the answer has no access token", false},
		{401, `{"error":"invalid_client"}`, " (HTTP 401): invalid_client", false},
		{503, `<html>r3fr3sh</html>`, " (HTTP 503): the answer is neither JSON nor a form", false},
		{429, `{"error":"invalid_grant"}`, " (HTTP 429): invalid_grant", false},
		{200, ``, " (HTTP 200): the answer is neither JSON nor a form", false},
		{200, `{"access_token":"r3fr3sh"`, " (HTTP 200): the answer is neither JSON nor a form", false},
		{404, `not found`, " (HTTP 404): the answer is neither JSON nor a form", false},
		{400, `{"access_token":"r3fr3sh"}`, " (HTTP 400)", false},
	} {
		_, err := m.Tokens(manifest.Answer{Status: c.status, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(c.body)})
		var refused *manifest.TokenError
		if !errors.As(err, &refused) || refused.Error() != "the token request failed"+c.want || refused.Final != c.final {
			t.Errorf("%d %s: got %v", c.status, c.body, err)
		}
	}
}

func TestJWTBearer(t *testing.T) {
	t.Parallel()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)}))
	const auth = `- id: app
    kind: jwt_bearer
    credentials:
      type: object
      required: [email, private_key]
      properties: {email: {type: string, writeOnly: false}, private_key: {type: string, writeOnly: true}}
    jwt:
      TOKENURL
      algorithm: RS256
      key: ${ .credentials.private_key }
      key_id: k1
      claims: {iss: "${ .credentials.email }", scope: a b}
      lifetime: 1h`
	conn := manifest.Connection{Credentials: map[string]any{"email": "svc@acme.test", "private_key": block}}
	now := time.Now().Truncate(time.Second)
	check := func(signed string) {
		t.Helper()
		claims := jwt.MapClaims{}
		token, err := jwt.ParseWithClaims(signed, claims, func(*jwt.Token) (any, error) { return &private.PublicKey, nil }, jwt.WithValidMethods([]string{"RS256"}))
		if err != nil {
			t.Fatal(err)
		}
		exp, _ := claims.GetExpirationTime()
		iat, _ := claims.GetIssuedAt()
		if token.Header["kid"] != "k1" || claims["iss"] != "svc@acme.test" || claims["scope"] != "a b" || claims["jti"] != "j1" || exp.Sub(iat.Time) != time.Hour || iat.After(now) {
			t.Errorf("got %v %v", token.Header, claims)
		}
	}
	m := method(t, apiKeyAuth, strings.Replace(auth, "TOKENURL", "token_url: https://id.acme.test/t", 1))
	r, err := m.GrantRequest(conn, now, "j1")
	if err != nil {
		t.Fatal(err)
	}
	form, _ := url.ParseQuery(string(r.Body))
	if form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || m.SelfIssues() || !m.Fetches() {
		t.Errorf("got %s", r.Body)
	}
	check(form.Get("assertion"))
	own := method(t, apiKeyAuth, strings.Replace(auth, "TOKENURL", "", 1))
	tokens, err := own.SelfIssued(conn, now, "j1")
	if err != nil || !own.SelfIssues() || tokens.ExpiresAt.Before(now.Add(59*time.Minute)) {
		t.Fatalf("got %v until %s", err, tokens.ExpiresAt)
	}
	check(tokens.Access)
	conn.Credentials["private_key"] = "-----BEGIN not a key"
	if _, err := m.GrantRequest(conn, now, "j1"); err == nil || strings.Contains(err.Error(), "BEGIN") {
		t.Errorf("got %v", err)
	}
}
