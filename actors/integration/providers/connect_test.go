package providers_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
)

// TestTokenRequests builds the OAuth requests of every authentication method, with the settings of the provider's case.
func TestTokenRequests(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	key := privateKey(t)
	for _, id := range providerIDs(t) {
		c, p := caseOf(t, id), loaded[id]
		if c == nil || p == nil {
			continue // TestCases and TestManifestsLoad report the error.
		}
		for _, m := range p.Auth {
			switch m.Kind {
			case manifest.AuthOAuth2:
				checkAuthorizationFlow(t, p, m, c)
			case manifest.AuthClientCredentials, manifest.AuthJWTBearer:
				checkGrant(t, p, m, c.Connection.Settings, key)
			}
		}
	}
}

// checkAuthorizationFlow checks the requests of an authorization code flow.
func checkAuthorizationFlow(t *testing.T, p *manifest.Provider, m *manifest.AuthMethod, c *providerCase) {
	t.Helper()
	settings := c.Connection.Settings
	name, client := p.ID+" "+m.ID, manifest.Client{ID: "client-id", Secret: "client-secret"}
	address, err := m.AuthorizeURL(manifest.Authorization{Client: client, RedirectURI: "https://weft.test/callback", State: "st4te", Challenge: "ch4llenge", Settings: settings})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Query().Get("state") != "st4te" || u.Query().Get("client_id") != "client-id" || strings.Contains(address, "client-secret") {
		t.Errorf("%s: the authorization URL is %s, %v", name, address, err)
	}
	if m.OAuth2.PKCE != (u.Query().Get("code_challenge") == "ch4llenge") {
		t.Errorf("%s: pkce is %v, the authorization URL %s", name, m.OAuth2.PKCE, address)
	}
	checkDefaultScopes(t, p, m, c)
	if unknown := p.UnknownScopes(m.OAuth2.DefaultScopes); len(unknown) > 0 {
		t.Errorf("%s: the default scopes %v are not declared in scopes", name, unknown)
	}
	code, err := m.CodeRequest(settings, client, "c0de", "https://weft.test/callback", "v3rifier")
	checkTokenRequest(t, name+" code", code, err)
	refresh, err := m.RefreshRequest(settings, client, "r3fresh")
	checkTokenRequest(t, name+" refresh", refresh, err)
	if revoke, ok, err := m.RevokeRequest(settings, client, "t0ken"); ok {
		checkTokenRequest(t, name+" revoke", revoke, err)
	}
}

// checkGrant checks the request or the token of a client credentials or JWT bearer grant.
func checkGrant(t *testing.T, p *manifest.Provider, m *manifest.AuthMethod, settings map[string]any, key string) {
	t.Helper()
	credentials := map[string]any{}
	required, _ := m.Credentials["required"].([]any)
	for _, field := range required {
		credentials[field.(string)] = "12345"
		if field == "private_key" {
			credentials["private_key"] = key
		}
	}
	conn, name := manifest.Connection{Auth: m.ID, Settings: settings, Credentials: credentials}, p.ID+" "+m.ID
	if m.SelfIssues() {
		if tokens, err := m.SelfIssued(conn, time.Now(), "j1"); err != nil || tokens.Access == "" {
			t.Errorf("%s: %v", name, err)
		}
		return
	}
	r, err := m.GrantRequest(conn, time.Now(), "j1")
	checkTokenRequest(t, name, r, err)
}

// checkTokenRequest checks that a token request uses TLS, is confined to its host, and has no secret in its URL.
func checkTokenRequest(t *testing.T, name string, r *egress.Request, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "https" || !slices.Contains(r.Hosts, u.Host) || !r.NoRedirect || r.Method != "POST" || strings.Contains(r.URL, "client-secret") {
		t.Errorf("%s: the token request is %s %s within %v, %v", name, r.Method, r.URL, r.Hosts, err)
	}
}

func privateKey(t *testing.T) string {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)}))
}

// checkDefaultScopes checks that the default scopes permit every action, and that they include a refresh token.
func checkDefaultScopes(t *testing.T, p *manifest.Provider, m *manifest.AuthMethod, c *providerCase) {
	t.Helper()
	if len(m.OAuth2.DefaultScopes) == 0 {
		return // The registration of the application determines the scopes.
	}
	granted := slices.Clone(m.OAuth2.DefaultScopes)
	for _, scope := range m.OAuth2.DefaultScopes {
		granted = append(granted, c.Scopes.Include[scope]...)
	}
	for _, a := range p.Actions {
		for _, scope := range a.Scopes {
			if !slices.Contains(granted, scope) && c.Scopes.NotRequested[scope] == "" {
				t.Errorf("%s %s: the default scopes %v do not include %s, which %s requires (see scopes in testdata/%s.yaml)",
					p.ID, m.ID, m.OAuth2.DefaultScopes, scope, a.ID, p.ID)
			}
		}
	}
	if _, has := p.Scopes["offline_access"]; has && !slices.Contains(granted, "offline_access") {
		t.Errorf("%s %s does not request a refresh token", p.ID, m.ID)
	}
	if strings.Contains(m.OAuth2.TokenURL, "googleapis.com") && (m.OAuth2.AuthorizeParams["access_type"] != "offline" || m.OAuth2.AuthorizeParams["prompt"] != "consent") {
		t.Errorf("%s %s does not request a refresh token", p.ID, m.ID)
	}
}
