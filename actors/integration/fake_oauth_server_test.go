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

// oauthServer is a fake provider: an API and its authorization server. Its refresh tokens are valid once; the reuse of one
// revokes its whole family (RFC 9700 section 4.14.2).
type oauthServer struct {
	*httptest.Server
	mu sync.Mutex
	// codes are the authorization requests by code, families the families by refresh token, access those by access token.
	codes    map[string]url.Values
	families map[string]string
	access   map[string]string
	spent    map[string]bool
	revoked  map[string]bool
	// lifetime is the expires_in of token responses; answers are handlers for the next token requests.
	lifetime int
	answers  []http.HandlerFunc
	serial   int
	// mint makes the next token of a kind; api may answer API requests.
	mint func(kind string) string
	api  func(w http.ResponseWriter, r *http.Request) (answered bool)
	// grants counts token requests by grant type; seen are their forms.
	grants map[string]int
	seen   []url.Values
}

func newOAuthServer(t testing.TB) *oauthServer {
	t.Helper()
	v := &oauthServer{
		codes: map[string]url.Values{}, families: map[string]string{}, access: map[string]string{}, spent: map[string]bool{},
		revoked: map[string]bool{}, grants: map[string]int{}, lifetime: 3600,
	}
	v.mint = func(kind string) string { return fmt.Sprintf("%s-token-%d", kind, v.serial) }
	v.Server = httptest.NewServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.Close)
	return v
}

func (v *oauthServer) serve(w http.ResponseWriter, r *http.Request) {
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

// refuse writes an OAuth error response.
func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": "refused by the test"})
}

func (v *oauthServer) token(w http.ResponseWriter, r *http.Request) {
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
	v.issue(w, family, !strings.HasPrefix(grant, "client") && !strings.HasPrefix(grant, "urn"))
}

// issue responds with new tokens of a family.
func (v *oauthServer) issue(w http.ResponseWriter, family string, refreshes bool) {
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

// approve acts as the user who approves an authorization request, and returns the parameters of the redirect.
func (v *oauthServer) approve(t testing.TB, address string) (code, state string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || u.Path != "/authorize" {
		t.Fatalf("the authorization URL is %s: %v", address, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	code = fmt.Sprintf("code-%d-of-some-length", len(v.seen)+len(v.codes))
	v.codes[code] = u.Query()
	return code, u.Query().Get("state")
}

// expire invalidates all access tokens.
func (v *oauthServer) expire() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.access)
}

// expireFamily invalidates the access tokens of a family.
func (v *oauthServer) expireFamily(family string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.DeleteFunc(v.access, func(_, of string) bool { return of == family })
}

// answerNext sets the handlers of the next token requests.
func (v *oauthServer) answerNext(answers ...http.HandlerFunc) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answers = answers
}

func (v *oauthServer) count(grant string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.grants[grant]
}

// acme is the manifest of the oauthServer's API.
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

// withAcme adds the oauthServer's API to the providers, with an OAuth client of the operator's.
func withAcme(t testing.TB, v *oauthServer) option {
	t.Helper()
	dir := t.TempDir()
	putManifest(t, dir, "acme", strings.ReplaceAll(acme, "URL", v.URL))
	return withConfig(func(c *integration.Config) {
		c.ProvidersDir = dir
		c.Providers["acme"] = integration.ProviderConfig{ClientID: "the-client", ClientSecret: mesh.Secret("the-client's-secret")}
	})
}

// putManifest writes a manifest atomically, as an editor does.
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
