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

// Every way to connect that a manifest offers can be begun, gone through and taken back, with the settings that its case has.
func TestEveryWayToConnect(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	key := privateKey(t)
	for _, id := range providerIDs(t) {
		c, p := caseOf(t, id), loaded[id]
		if c == nil || p == nil {
			continue // TestCases and TestEveryManifestLoads say why.
		}
		for _, m := range p.Auth {
			switch m.Kind {
			case manifest.AuthOAuth2:
				beginsAndRefreshes(t, p, m, c.Connection.Settings)
			case manifest.AuthClientCredentials, manifest.AuthJWTBearer:
				grants(t, p, m, c.Connection.Settings, key)
			}
		}
	}
}

func beginsAndRefreshes(t *testing.T, p *manifest.Provider, m *manifest.AuthMethod, settings map[string]any) {
	t.Helper()
	name, client := p.ID+" "+m.ID, manifest.Client{ID: "client-id", Secret: "client-secret"}
	address, err := m.AuthorizeURL(manifest.Authorization{Client: client, RedirectURI: "https://weft.test/callback", State: "st4te", Challenge: "ch4llenge", Settings: settings})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Query().Get("state") != "st4te" || u.Query().Get("client_id") != "client-id" || strings.Contains(address, "client-secret") {
		t.Errorf("%s: the address is %s, %v", name, address, err)
	}
	if m.OAuth2.PKCE != (u.Query().Get("code_challenge") == "ch4llenge") {
		t.Errorf("%s: PKCE is %v, the address %s", name, m.OAuth2.PKCE, address)
	}
	asksForEnough(t, p, m)
	if unknown := p.UnknownScopes(m.OAuth2.DefaultScopes); len(unknown) > 0 {
		t.Errorf("%s asks for %v, which the manifest does not explain", name, unknown)
	}
	code, err := m.CodeRequest(settings, client, "c0de", "https://weft.test/callback", "v3rifier")
	toVendor(t, name+" code", code, err)
	refresh, err := m.RefreshRequest(settings, client, "r3fresh")
	toVendor(t, name+" refresh", refresh, err)
	if revoke, ok, err := m.RevokeRequest(settings, client, "t0ken"); ok {
		toVendor(t, name+" revoke", revoke, err)
	}
}

func grants(t *testing.T, p *manifest.Provider, m *manifest.AuthMethod, settings map[string]any, key string) {
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
	toVendor(t, name, r, err)
}

// toVendor checks that a token request goes over TLS, to the host that it names and no other, and that its address holds no
// secret.
func toVendor(t *testing.T, name string, r *egress.Request, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "https" || !slices.Contains(r.Hosts, u.Host) || !r.NoRedirect || r.Method != "POST" || strings.Contains(r.URL, "client-secret") {
		t.Errorf("%s: asks %s %s within %v, %v", name, r.Method, r.URL, r.Hosts, err)
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

// wider are scopes that hold others.
var wider = map[string][]string{
	"https://www.googleapis.com/auth/gmail.modify":      {"https://www.googleapis.com/auth/gmail.send", "https://www.googleapis.com/auth/gmail.readonly"},
	"https://www.googleapis.com/auth/drive":             {"https://www.googleapis.com/auth/drive.file", "https://www.googleapis.com/auth/drive.readonly"},
	"https://www.googleapis.com/auth/spreadsheets":      {"https://www.googleapis.com/auth/spreadsheets.readonly"},
	"https://www.googleapis.com/auth/youtube.force-ssl": {"https://www.googleapis.com/auth/youtube", "https://www.googleapis.com/auth/youtube.readonly"},
	"Files.ReadWrite":   {"Files.Read"},
	"Mail.ReadWrite":    {"Mail.Read"},
	"api":               {"read_api"},
	"repository:write":  {"repository"},
	"pullrequest:write": {"pullrequest"},
	"read":              {"tickets:read", "users:read"},
	"write":             {"tickets:write", "users:write"},
}

// asksForEnough checks that what is asked for, when the user names no scopes, is what the actions need, and that the access
// lasts while nobody is there.
func asksForEnough(t *testing.T, p *manifest.Provider, m *manifest.AuthMethod) {
	t.Helper()
	if len(m.OAuth2.DefaultScopes) == 0 {
		return // What the vendor's app was given is asked for.
	}
	granted := slices.Clone(m.OAuth2.DefaultScopes)
	for _, scope := range m.OAuth2.DefaultScopes {
		granted = append(granted, wider[scope]...)
	}
	for _, a := range p.Actions {
		for _, scope := range a.Scopes {
			if scope == "r_organization_social" {
				continue // LinkedIn gives it to organisations' pages alone, and refuses a sign-in that asks without.
			}
			if !slices.Contains(granted, scope) {
				t.Errorf("%s %s asks for %v, and %s needs %s", p.ID, m.ID, m.OAuth2.DefaultScopes, a.ID, scope)
			}
		}
	}
	if _, has := p.Scopes["offline_access"]; has && !slices.Contains(granted, "offline_access") {
		t.Errorf("%s %s does not ask for a refresh token", p.ID, m.ID)
	}
	if strings.Contains(m.OAuth2.TokenURL, "googleapis.com") && (m.OAuth2.AuthorizeParams["access_type"] != "offline" || m.OAuth2.AuthorizeParams["prompt"] != "consent") {
		t.Errorf("%s %s does not ask for a refresh token", p.ID, m.ID)
	}
}
