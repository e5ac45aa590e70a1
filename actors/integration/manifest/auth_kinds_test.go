package manifest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// authKinds holds an authentication method of each kind, with the credentials that its default schema requires.
var authKinds = map[manifest.AuthKind]struct{ spec, credentials string }{
	manifest.AuthNone:              {"{id: a, kind: none}", ""},
	manifest.AuthAPIKey:            {"{id: a, kind: api_key, in: bearer}", "api_key"},
	manifest.AuthBasic:             {"{id: a, kind: basic}", "username password"},
	manifest.AuthOAuth2:            {"{id: a, kind: oauth2, oauth2: {authorize_url: https://a.test, token_url: https://a.test}}", "access_token"},
	manifest.AuthClientCredentials: {"{id: a, kind: client_credentials, oauth2: {token_url: https://a.test}}", "client_id client_secret"},
	manifest.AuthSigV4:             {"{id: a, kind: sigv4, sigv4: {service: s3, region: eu}}", "access_key_id secret_access_key"},
	manifest.AuthJWTBearer: {
		`{id: a, kind: jwt_bearer, credentials: {type: object, required: [key], properties: {key: {type: string}}}, jwt: {algorithm: HS256, key: "${ .credentials.key }", claims: {}}}`,
		"key",
	},
}

func TestDefaultCredentials(t *testing.T) {
	t.Parallel()
	for kind, c := range authKinds {
		p := load(t, "{id: token, kind: api_key, in: bearer}", c.spec)
		names := strings.Fields(c.credentials)
		all := map[string]any{}
		for _, name := range names {
			all[name] = "a-value-of-" + name
		}
		if err := p.ValidateConnection(manifest.Connection{Credentials: all}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		for _, name := range names {
			some := map[string]any{}
			for _, other := range names {
				if other != name {
					some[other] = all[other]
				}
			}
			want := "/credentials/" + name + " is required"
			if err := p.ValidateConnection(manifest.Connection{Credentials: some}); err == nil || err.Error() != want {
				t.Errorf("%s without %s: got %v, want %s", kind, name, err, want)
			}
			some[name] = ""
			if err := p.ValidateConnection(manifest.Connection{Credentials: some}); (err == nil) != (kind == manifest.AuthJWTBearer) {
				t.Errorf("%s with an empty %s: got %v", kind, name, err)
			}
		}
		all["more"] = "x"
		if err := p.ValidateConnection(manifest.Connection{Credentials: all}); err == nil || err.Error() != "/credentials/more is not a known field" {
			t.Errorf("%s with an unknown credential: got %v", kind, err)
		}
	}
}

// TestFetchedTokens: for kinds that fetch a token, requests carry it and not the credentials.
func TestFetchedTokens(t *testing.T) {
	t.Parallel()
	for kind, c := range authKinds {
		p := load(t, "{id: token, kind: api_key, in: bearer}", c.spec)
		m, _ := p.AuthMethod("a")
		fetches := kind == manifest.AuthClientCredentials || kind == manifest.AuthJWTBearer
		if m.Kind != kind || m.Fetches() != fetches || m.SelfIssues() != (kind == manifest.AuthJWTBearer) {
			t.Errorf("%s: fetches %v, self-issues %v", m.Kind, m.Fetches(), m.SelfIssues())
		}
		if !fetches {
			continue
		}
		conn := manifest.Connection{Credentials: map[string]any{"access_token": "t0ken-t0ken", "client_secret": "s3cret", "key": "s3cret"}}
		if r := request(t, p, conn, map[string]any{"id": "x"}); r.Header.Get("Authorization") != "Bearer t0ken-t0ken" || strings.Contains(fmt.Sprint(r), "s3cret") {
			t.Errorf("%s: got %v", kind, r)
		}
	}
}

func TestMissingCredentials(t *testing.T) {
	t.Parallel()
	for kind, c := range authKinds {
		p := load(t, "{id: token, kind: api_key, in: bearer}", c.spec)
		a, _ := p.Action("get_thing")
		_, err := a.Request(manifest.Connection{}, manifest.Call{Input: map[string]any{"id": "x"}})
		want := "building acme request get_thing: the connection has no credentials"
		switch kind {
		case manifest.AuthNone, manifest.AuthBasic:
			if err != nil {
				t.Errorf("%s: got %v", kind, err)
			}
			continue
		case manifest.AuthSigV4:
			want = "building acme request get_thing: the connection has no access key or no region"
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", kind, err, want)
		}
	}
}

func TestSeveralAuthMethods(t *testing.T) {
	t.Parallel()
	p := load(t, "  - {id: token, kind: api_key, in: bearer}", "  - {id: token, kind: api_key, in: bearer}\n  - {id: login, kind: basic, title: Login, help: Type it.}")
	for id, want := range map[string]manifest.AuthKind{"": manifest.AuthAPIKey, "token": manifest.AuthAPIKey, "login": manifest.AuthBasic, "Login": "", "other": ""} {
		m, ok := p.AuthMethod(id)
		if ok != (want != "") || ok && m.Kind != want {
			t.Errorf("%q: got %+v, %v, want %s", id, m, ok, want)
		}
	}
	conn := manifest.Connection{Auth: "login", Credentials: map[string]any{"username": "u:v", "password": "p:w"}}
	if r := request(t, p, conn, map[string]any{"id": "x"}); r.Header.Get("Authorization") != "Basic dTp2OnA6dw==" {
		t.Errorf("got %v", r.Header)
	}
	a, _ := p.Action("get_thing")
	conn.Auth = "other"
	if _, err := a.Request(conn, manifest.Call{Input: map[string]any{"id": "x"}}); err == nil || !strings.HasSuffix(err.Error(), `unknown authentication method "other"`) {
		t.Errorf("got %v", err)
	}
}

func TestBasicExpressions(t *testing.T) {
	t.Parallel()
	p := load(t, "{id: token, kind: api_key, in: bearer}", `{id: b, kind: basic, username: "${ .credentials.key }", password: "${ \"X\" }", credentials: {type: object, properties: {key: {type: string}}}}`)
	r := request(t, p, manifest.Connection{Credentials: map[string]any{"key": "k3y"}}, map[string]any{"id": "x"})
	if r.Header.Get("Authorization") != "Basic azN5Olg=" {
		t.Errorf("got %v", r.Header)
	}
}

func TestJWTAlgorithms(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	now := time.Now().Truncate(time.Second)
	for _, c := range []struct {
		algorithm, key string
		verify         any
	}{{"HS256", "shared-secret", []byte("shared-secret")}, {"ES256", block, &private.PublicKey}, {"ES256", "shared-secret", nil}, {"RS256", block, nil}, {"HS256", "", nil}} {
		m := method(t, apiKeyAuth, `- {id: a, kind: jwt_bearer, credentials: {type: object, properties: {key: {type: string}}},
      jwt: {algorithm: `+c.algorithm+`, key: "${ .credentials.key }", claims: {iss: weft, none: "${ null }", iat: 1}}}`)
		tokens, err := m.SelfIssued(manifest.Connection{Credentials: map[string]any{"key": c.key}}, now, "j1")
		if c.verify == nil {
			var failed *manifest.BuildError
			if !errors.As(err, &failed) || strings.Contains(err.Error(), "shared") || strings.Contains(err.Error(), "BEGIN") {
				t.Errorf("%s with another key: got %v", c.algorithm, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.algorithm, err)
			continue
		}
		claims := jwt.MapClaims{}
		_, err = jwt.ParseWithClaims(tokens.Access, claims, func(*jwt.Token) (any, error) { return c.verify, nil }, jwt.WithValidMethods([]string{c.algorithm}))
		if iat, _ := claims.GetIssuedAt(); err != nil || iat.Unix() == 1 || len(claims) != 4 || !tokens.ExpiresAt.Equal(now.Add(10*time.Minute-30*time.Second)) {
			t.Errorf("%s: claims %v until %s, %v", c.algorithm, claims, tokens.ExpiresAt, err)
		}
	}
}

func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		options             string
		client              manifest.Client
		authorization, body string
	}{
		{"", manifest.Client{ID: "i d", Secret: "s&c"}, "", "client_id=i+d&client_secret=s%26c&grant_type=refresh_token&refresh_token=r"},
		{"", manifest.Client{ID: "id"}, "", "client_id=id&grant_type=refresh_token&refresh_token=r"},
		{"", manifest.Client{}, "", "grant_type=refresh_token&refresh_token=r"},
		{", client_auth: body", manifest.Client{ID: "id", Secret: "s"}, "", "client_id=id&client_secret=s&grant_type=refresh_token&refresh_token=r"},
		{", client_auth: basic", manifest.Client{ID: "i:d", Secret: "s c"}, "Basic aSUzQWQ6cytj", "grant_type=refresh_token&refresh_token=r"},
		{", client_auth: basic", manifest.Client{ID: "id"}, "", "client_id=id&grant_type=refresh_token&refresh_token=r"},
		{", token_format: json", manifest.Client{ID: "id"}, "", `{"client_id":"id","grant_type":"refresh_token","refresh_token":"r"}`},
		{", refresh_params: {refresh_token: other, a: b}", manifest.Client{}, "", "a=b&grant_type=refresh_token&refresh_token=other"},
	} {
		m := method(t, apiKeyAuth, "- {id: o, kind: oauth2, oauth2: {authorize_url: https://a.test, token_url: 'https://a.test:8443/t?x=1'"+c.options+"}}")
		r, err := m.RefreshRequest(nil, c.client, "r")
		if err != nil || string(r.Body) != c.body || r.Header.Get("Authorization") != c.authorization || r.URL != "https://a.test:8443/t?x=1" || len(r.Hosts) != 1 || r.Hosts[0] != "a.test:8443" {
			t.Errorf("%s: got %+v, %v", c.options, r, err)
		}
	}
}

func TestTokenResponseFields(t *testing.T) {
	t.Parallel()
	m := method(t, apiKeyAuth, "- {id: o, kind: oauth2, oauth2: {authorize_url: https://a.test, token_url: https://a.test}}")
	for body, want := range map[string]string{
		`{"access_token":"a","scope":"x y"}`:              "a  x y never",
		`{"access_token":7,"refresh_token":8}`:            "7 8  never",
		`{"access_token":"a","refresh_token":null}`:       "a   never",
		`{"access_token":"a","expires_in":0}`:             "a   never",
		`{"access_token":"a","expires_in":-1}`:            "a   never",
		`{"access_token":"a","expires_in":"soon"}`:        "a   never",
		`{"access_token":"a","expires_in":{"seconds":1}}`: "a   never",
		`{"access_token":"a","expires_in":1.5}`:           "a   1.5s",
		`{"access_token":""}`:                             "error",
		`{"access_token":["a"]}`:                          "error",
		`{"token":"a"}`:                                   "error",
		`["access_token"]`:                                "error",
		`access_token=a`:                                  "a   never",
		`<access_token>a</access_token>`:                  "error",
		``:                                                "error",
	} {
		tokens, err := m.Tokens(manifest.Answer{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body), At: noon})
		life := "never"
		if !tokens.ExpiresAt.IsZero() {
			life = tokens.ExpiresAt.Sub(noon).String()
		}
		got := fmt.Sprintf("%s %s %s %s", tokens.Access, tokens.Refresh, tokens.Scope, life)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", manifest.Tokens{Access: "a1"}, &manifest.Tokens{Refresh: "a1"}, manifest.Tokens{Access: "a1"}); strings.Contains(text, "a1") {
		t.Errorf("formatted tokens contain them: %s", text)
	}
}

func TestCapturedSettings(t *testing.T) {
	t.Parallel()
	p := load(t, apiKeyAuth, `- id: o
    kind: oauth2
    oauth2: {authorize_url: https://a.test, token_url: https://a.test, capture: {shop: "${ .body.shop | ascii_downcase }", team: "${ .body.team }"}}`,
		"auth:", "settings: {type: object, required: [shop, region], properties: {shop: {type: string}, team: {type: string}, region: {type: string}}}\nauth:")
	m, _ := p.AuthMethod("")
	if got := strings.Join(m.Captured(), " "); got != "shop team" {
		t.Errorf("captured settings: %s", got)
	}
	answer := manifest.Answer{Status: 200, Body: []byte(`{"access_token":"a1b2","shop":"ACME"}`)}
	if tokens, err := m.Tokens(answer); err != nil || text(tokens.Settings) != `{"shop":"acme"}` {
		t.Errorf("got %s, %v", text(tokens.Settings), err)
	}
	answer.Body = []byte(`{"access_token":"s3cret-token"}`)
	var failed *manifest.TokenError
	if _, err := m.Tokens(answer); !errors.As(err, &failed) || !strings.Contains(failed.Reason, "captures") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("without the captured field: got %v", err)
	}
	for _, leaking := range []string{`{"access_token":"s3cret-token","shop":"s3cret-token"}`, `{"access_token":"s3cret-token","shop":"a","team":"x S3CRET s3cret-token"}`, `{"access_token":"a1b2","shop":7}`} {
		answer.Body = []byte(leaking)
		if tokens, err := m.Tokens(answer); err == nil {
			t.Errorf("%s: captured %v", leaking, tokens.Settings)
		}
	}
	for settings, want := range map[string]string{`region=eu`: "", ``: "/settings/region is required", `region=eu&team=x&size=1`: "/settings/size is not a known field"} {
		values, _ := url.ParseQuery(settings)
		given := map[string]any{}
		for name := range values {
			given[name] = values.Get(name)
		}
		err := p.ValidateSettings(given, m.Captured())
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("settings %s: got %v, want %q", settings, err, want)
		}
	}
}

func TestUnknownScopes(t *testing.T) {
	t.Parallel()
	p := load(t, "auth:", "scopes: {read: Read, write: Write}\nauth:")
	for _, c := range [][2]string{{"", ""}, {"read", ""}, {"read admin write Read", "admin Read"}} {
		if got := strings.Join(p.UnknownScopes(strings.Fields(c[0])), " "); got != c[1] {
			t.Errorf("%s: got %q, want %q", c[0], got, c[1])
		}
	}
	if got := load(t).UnknownScopes([]string{"anything"}); got != nil {
		t.Errorf("a manifest without scopes: got %v", got)
	}
}
