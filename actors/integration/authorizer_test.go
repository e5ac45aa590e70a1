package integration_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/mesh"
)

// authorizer is a vendor of the test's own with an authorization server beside its API. Its refresh tokens are good once:
// one that comes twice takes back the whole family (RFC 9700 §4.14.2).
type authorizer struct {
	*httptest.Server
	mu sync.Mutex
	// codes and families are by code and by refresh token; access tokens name their family.
	codes    map[string]url.Values
	families map[string]string
	access   map[string]string
	spent    map[string]bool
	revoked  map[string]bool
	// lifetime is what expires_in says; answers overrides the next token answers.
	lifetime int
	answers  []http.HandlerFunc
	serial   int
	// mint says what the next token of a kind is; api may answer in the place of the API.
	mint func(kind string) string
	api  func(w http.ResponseWriter, r *http.Request) (answered bool)
	// grants count token requests by grant type, seen keeps their forms.
	grants map[string]int
	seen   []url.Values
}

func newAuthorizer(t testing.TB) *authorizer {
	t.Helper()
	v := &authorizer{
		codes: map[string]url.Values{}, families: map[string]string{}, access: map[string]string{}, spent: map[string]bool{},
		revoked: map[string]bool{}, grants: map[string]int{}, lifetime: 3600,
	}
	v.mint = func(kind string) string { return fmt.Sprintf("%s-token-%d", kind, v.serial) }
	v.Server = httptest.NewServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.Close)
	return v
}

func (v *authorizer) serve(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/token":
		v.token(w, r)
	case "/revoke":
		v.revoked[v.families[r.FormValue("token")]] = true
	default:
		if v.api != nil && v.api(w, r) {
			return
		}
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		family, known := v.access[token]
		if !known || v.revoked[family] {
			refuse(w, http.StatusUnauthorized, "invalid_token")
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"account": family, "path": r.URL.Path})
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": "says the test"})
}

func (v *authorizer) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	grant := r.PostForm.Get("grant_type")
	v.grants[grant]++
	v.seen = append(v.seen, r.PostForm)
	if len(v.answers) > 0 {
		answer := v.answers[0]
		v.answers = v.answers[1:]
		answer(w, r)
		return
	}
	family := ""
	switch grant {
	case "authorization_code":
		asked, known := v.codes[r.PostForm.Get("code")]
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		delete(v.codes, r.PostForm.Get("code"))
		if !known || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) ||
			asked.Get("redirect_uri") != r.PostForm.Get("redirect_uri") || r.PostForm.Get("client_secret") != "the-client's-secret" {
			refuse(w, http.StatusBadRequest, "invalid_grant")
			return
		}
		family = fmt.Sprintf("family-%d", len(v.families))
	case "refresh_token":
		old := r.PostForm.Get("refresh_token")
		var known bool
		if family, known = v.families[old]; !known || v.spent[old] || v.revoked[family] {
			v.revoked[family] = true
			refuse(w, http.StatusBadRequest, "invalid_grant")
			return
		}
		v.spent[old] = true
	case "client_credentials":
		if r.PostForm.Get("client_secret") != "the-client's-secret" {
			refuse(w, http.StatusBadRequest, "invalid_grant")
			return
		}
		family = "the client"
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		claims := jwt.MapClaims{}
		if _, err := jwt.ParseWithClaims(r.PostForm.Get("assertion"), claims, func(*jwt.Token) (any, error) { return []byte("the-key-of-the-robot"), nil }); err != nil {
			refuse(w, http.StatusBadRequest, "invalid_grant")
			return
		}
		family, _ = claims["iss"].(string)
	}
	v.give(w, family, !strings.HasPrefix(grant, "client") && !strings.HasPrefix(grant, "urn"))
}

// give answers with new tokens of a family.
func (v *authorizer) give(w http.ResponseWriter, family string, refreshes bool) {
	v.serial++
	answer := map[string]any{"access_token": v.mint("access"), "token_type": "Bearer", "tenant": "t-" + family}
	v.access[answer["access_token"].(string)] = family
	if v.lifetime > 0 {
		answer["expires_in"] = v.lifetime
	}
	if refreshes {
		refresh := v.mint("refresh")
		answer["refresh_token"], v.families[refresh] = refresh, family
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// approve is the user who says yes in their browser: what the provider sends it back with.
func (v *authorizer) approve(t testing.TB, address string) (code, state string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || u.Path != "/authorize" {
		t.Fatalf("sent to %s: %v", address, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	code = fmt.Sprintf("code-%d-of-some-length", len(v.seen)+len(v.codes))
	v.codes[code] = u.Query()
	return code, u.Query().Get("state")
}

// expire has the access tokens that are out be refused.
func (v *authorizer) expire() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.access)
}

// expireFamily has those of one family be refused.
func (v *authorizer) expireFamily(family string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.DeleteFunc(v.access, func(_, of string) bool { return of == family })
}

// will overrides the next token answers.
func (v *authorizer) will(answers ...http.HandlerFunc) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answers = answers
}

func (v *authorizer) count(grant string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.grants[grant]
}

// acme is the manifest of the authorizer's API.
const acme = `id: acme
name: Acme
category: developer_tools
base_url: URL
settings: {type: object, additionalProperties: false, properties: {tenant: {type: string}}}
auth:
  - id: oauth2
    kind: oauth2
    oauth2: {authorize_url: URL/authorize, token_url: URL/token, revoke_url: URL/revoke, pkce: true, default_scopes: [read],
      capture: {tenant: "${ .body.tenant }"}}
  - id: robot
    kind: client_credentials
    oauth2: {token_url: URL/token}
  - id: signer
    kind: jwt_bearer
    credentials: {type: object, required: [name, key], properties: {name: {type: string, writeOnly: false}, key: {type: string}}}
    jwt: {token_url: URL/token, algorithm: HS256, key: "${ .credentials.key }", claims: {iss: "${ .credentials.name }"}}
scopes: {read: Read, write: Write}
health: {method: GET, path: /me, output: "${ {account: .body.account} }"}
actions:
  get:
    title: Get
    safety: write_once
    method: GET
    path: /things/{id}
    input: {type: object, required: [id], properties: {id: {type: string}}}
`

// withAcme adds the authorizer's API as the fifty-first provider, with the operator's client.
func withAcme(t testing.TB, v *authorizer) option {
	t.Helper()
	dir := t.TempDir()
	putManifest(t, dir, "acme", strings.ReplaceAll(acme, "URL", v.URL))
	return with(func(c *integration.Config) {
		c.ProvidersDir = dir
		c.Providers["acme"] = integration.ProviderConfig{ClientID: "the-client", ClientSecret: mesh.Secret("the-client's-secret")}
	})
}

// putManifest drops a file the way that an editor does: complete from one moment to the next.
func putManifest(t testing.TB, dir, id, text string) {
	t.Helper()
	tmp := filepath.Join(dir, "."+id+".tmp")
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, id+".yaml")); err != nil {
		t.Fatal(err)
	}
}
