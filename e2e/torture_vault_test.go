//go:build torture

package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog" //nolint:depguard // the provider's own logger
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

const (
	vaultClient = "weft"
	vaultSecret = "vault-client-secret"
	vaultReturn = "http://127.0.0.1:8080/v1/integrations/callback"
	// timedLife is what expires_in says of tokens that end by the clock; weft does not use a token in its last ten seconds.
	timedLife = 12
)

// vaultManifest is the manifest of the vault's API.
const vaultManifest = `id: vault
name: Vault
category: developer_tools
base_url: URL/api
auth:
  - id: oauth2
    kind: oauth2
    oauth2: {authorize_url: URL/auth, token_url: URL/oauth/token, pkce: true, client_auth: basic,
      default_scopes: [openid, offline_access]}
scopes: {openid: Who one is, offline_access: Keep the access}
health: {method: GET, path: /me, output: "${ {account: .body.subject} }"}
actions:
  whoami:
    title: Who am I
    safety: read
    method: GET
    path: /me
    input: {type: object}
`

// vault is a vendor: zitadel/oidc's authorization server, which rotates refresh tokens, and before it what the example leaves
// out: a refresh token that comes a second time takes back its whole family (RFC 9700 §4.14.2). Behind /api is what its
// access tokens are for. Each process has an address of its own for its token requests, so that it is known who asks.
type vault struct {
	t       *testing.T
	url     string
	slots   []string
	storage *storage.Storage
	op      http.Handler

	mu sync.Mutex
	// accounts are by subject, and by every access and refresh token that ever was theirs.
	accounts map[string]*account
	// asked is told of a token request before it is answered, and says which incarnation of its process makes it.
	asked func(slot int) (incarnation int)
	// excused says whether that incarnation was killed, and so soon after that time that it may not have stored what it got.
	excused func(slot, incarnation int, since time.Time) bool
	losses  int
}

// account is one grant of a user's: a family of tokens.
type account struct {
	subject         string
	access, refresh string
	// timed: the tokens end by expires_in; else they are refused once expired is set.
	timed, expired bool
	issued         time.Time
	// used: the newest access token has been presented, so that it is stored.
	used    bool
	revoked bool
	// slot and incarnation are of the process that got the newest tokens.
	slot, incarnation, rotations int
}

// vaultUsers are whoever signs in.
type vaultUsers struct{}

func (vaultUsers) GetUserByID(id string) *storage.User {
	return &storage.User{ID: id, Username: id, Password: "pw", Email: id + "@example.com", EmailVerified: true}
}
func (u vaultUsers) GetUserByUsername(name string) *storage.User { return u.GetUserByID(name) }
func (vaultUsers) ExampleClientID() string                       { return storage.ServiceUserID }

func startVault(t *testing.T, processes int) *vault {
	t.Helper()
	v := &vault{t: t, accounts: map[string]*account{}}
	serve := func(slot int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { v.serve(w, r, slot) }))
		t.Cleanup(server.Close)
		return server.URL
	}
	v.url = serve(-1)
	for slot := range processes {
		v.slots = append(v.slots, serve(slot))
	}
	v.storage = storage.NewStorageWithClients(vaultUsers{}, map[string]*storage.Client{
		vaultClient: storage.WebClient(vaultClient, vaultSecret, vaultReturn),
	})
	v.op = exampleop.SetupServer(v.url, v.storage, slog.New(slog.DiscardHandler), false)
	return v
}

func (v *vault) serve(w http.ResponseWriter, r *http.Request, slot int) {
	switch r.URL.Path {
	case "/api/me":
		v.me(w, r)
	case "/oauth/token":
		v.token(w, r, slot)
	default:
		v.op.ServeHTTP(w, r)
	}
}

func (v *vault) me(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	a := v.accounts[token]
	if a == nil || a.access != token || a.expired || a.revoked {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_token"}`)
		return
	}
	a.used = true
	_ = json.NewEncoder(w).Encode(map[string]string{"subject": a.subject})
}

// token has the authorization server answer, and keeps account.
func (v *vault) token(w http.ResponseWriter, r *http.Request, slot int) {
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return // its process is gone
	}
	form, err := url.ParseQuery(string(sent))
	if err != nil {
		v.t.Error(err)
	}
	incarnation := v.asked(slot)
	v.mu.Lock()
	defer v.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(sent))
	recorder := httptest.NewRecorder()
	v.op.ServeHTTP(recorder, r)
	answer := map[string]any{}
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
		v.t.Errorf("the vault answered %s", recorder.Body)
	}
	if form.Get("grant_type") == "refresh_token" {
		v.refreshed(form.Get("refresh_token"), answer, slot, incarnation)
	} else if err := v.opened(answer); err != nil {
		v.t.Error(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(recorder.Code)
	_ = json.NewEncoder(w).Encode(answer)
}

// opened notes a new family.
func (v *vault) opened(answer map[string]any) error {
	raw, _ := answer["id_token"].(string)
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(raw, claims); err != nil {
		return fmt.Errorf("the vault answered a code with %v: %w", answer, err)
	}
	subject, _ := claims.GetSubject()
	a := &account{subject: subject, timed: strings.HasPrefix(subject, "timed")}
	v.accounts[subject] = a
	return v.gave(a, answer)
}

// gave notes an account's newest tokens.
func (v *vault) gave(a *account, answer map[string]any) error {
	a.access, _ = answer["access_token"].(string)
	a.refresh, _ = answer["refresh_token"].(string)
	if a.access == "" || a.refresh == "" {
		return errors.New("the vault gave no tokens")
	}
	if a.timed {
		answer["expires_in"] = timedLife
	}
	a.issued, a.used, a.expired = time.Now(), false, false
	v.accounts[a.access], v.accounts[a.refresh] = a, a
	return nil
}

// refreshed judges a refresh by what the authorization server has answered.
func (v *vault) refreshed(presented string, answer map[string]any, slot, incarnation int) {
	a := v.accounts[presented]
	switch {
	case a == nil:
		v.t.Errorf("process %d presents a refresh token that never was", slot)
	case a.revoked:
	case presented != a.refresh:
		a.revoked = true
		_ = v.storage.RevokeToken(v.t.Context(), a.refresh, a.subject, vaultClient)
		if a.used || !v.excused(a.slot, a.incarnation, a.issued) {
			v.t.Errorf("process %d presents a spent refresh token of %s, which process %d (its start %d) had exchanged %s ago (its access token was used: %v)",
				slot, a.subject, a.slot, a.incarnation, time.Since(a.issued), a.used)
		}
		v.losses++
	case answer["access_token"] == nil:
		v.t.Errorf("the vault does not refresh %s: %v", a.subject, answer)
	default:
		// In its last ten seconds a token counts as ended; expires_in is in whole seconds.
		if due := a.issued.Add((timedLife - 11) * time.Second); a.timed && time.Now().Before(due) || !a.timed && !a.expired {
			v.t.Errorf("process %d refreshes the good tokens of %s", slot, a.subject)
		}
		if err := v.gave(a, answer); err != nil {
			v.t.Error(err)
		}
		a.slot, a.incarnation = slot, incarnation
		a.rotations++
	}
}

// expire ends an account's access token, and tells how often its tokens were exchanged so far.
func (v *vault) expire(subject string) (rotations int) {
	v.mu.Lock()
	a := v.accounts[subject]
	a.expired = !a.timed
	ends := a.issued.Add((timedLife - 9) * time.Second)
	rotations = a.rotations
	v.mu.Unlock()
	if a.timed {
		<-time.After(time.Until(ends)) // the token's own clock
	}
	return rotations
}

// look is how often an account's tokens were exchanged, and whether they were taken back.
func (v *vault) look(subject string) (rotations int, revoked bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.accounts[subject].rotations, v.accounts[subject].revoked
}

// visit is a browser at the vault: the user signs in, and it is sent back with a code.
func (v *vault) visit(address, subject string) (code string, err error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	browser := &http.Client{
		Jar: jar, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	follow := func(response *http.Response, err error) (*url.URL, error) {
		if err != nil {
			return nil, fmt.Errorf("visiting the vault: %w", err)
		}
		defer func() { _ = response.Body.Close() }()
		return response.Location()
	}
	login, err := follow(browser.Get(address))
	if err != nil {
		return "", err
	}
	next, err := follow(browser.PostForm(v.url+"/login/username", url.Values{
		"id": {login.Query().Get("authRequestID")}, "username": {subject}, "password": {"pw"},
	}))
	if err != nil {
		return "", err
	}
	back, err := follow(browser.Get(next.String()))
	if err != nil {
		return "", err
	}
	return back.Query().Get("code"), nil
}
