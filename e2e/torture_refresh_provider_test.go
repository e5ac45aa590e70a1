//go:build torture

package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog" //nolint:depguard // the logger of the authorization server
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
	// timedLifetime is the expires_in of tokens that expire by time, in seconds. weft does not use a token in its last ten
	// seconds.
	timedLifetime = 12
)

// vaultManifest is the provider manifest of the vault.
const vaultManifest = `id: vault
name: Vault
category: developer_tools
base_url: URL/api
auth:
  - id: oauth2
    kind: oauth2
    oauth2: {authorize_url: URL/auth, token_url: URL/oauth/token, pkce: true, client_auth: basic,
      default_scopes: [openid, offline_access]}
scopes: {openid: Identity, offline_access: Offline access}
health: {method: GET, path: /me, output: "${ {account: .body.subject} }"}
actions:
  whoami:
    title: Account
    safety: read
    method: GET
    path: /me
    input: {type: object}
`

// vault is a provider with zitadel/oidc's authorization server, which rotates refresh tokens, and an API at /api. It adds what the
// example server lacks: a refresh token that is used twice revokes its token family (RFC 9700, section 4.14.2). Each process of
// weft has its own URL for token requests, by which the vault identifies it.
type vault struct {
	t       *testing.T
	url     string
	slots   []string
	storage *storage.Storage
	op      http.Handler

	mu sync.Mutex
	// accounts has each account by its subject and by every access and refresh token it has ever had.
	accounts map[string]*account
	// onTokenRequest is called before the response to a token request, and returns the incarnation of the process.
	onTokenRequest func(slot int) (incarnation int)
	// mayBeUnsaved reports whether the incarnation was killed so soon after since that it may not have stored the tokens.
	mayBeUnsaved func(slot, incarnation int, since time.Time) bool
	losses       int
}

// account is a user's grant with its token family.
type account struct {
	subject         string
	access, refresh string
	// Tokens of a timed account expire by expires_in, those of others when expired is set.
	timed, expired bool
	issued         time.Time
	// used means that the current access token has been used, and so is stored.
	used    bool
	revoked bool
	// slot and incarnation identify the process that received the current tokens.
	slot, incarnation, rotations int
}

// vaultUsers accepts every user name.
type vaultUsers struct{}

// GetUserByID returns a user with the ID as name.
func (vaultUsers) GetUserByID(id string) *storage.User {
	return &storage.User{ID: id, Username: id, Password: "pw", Email: id + "@example.com", EmailVerified: true}
}

// GetUserByUsername returns a user with the name as ID.
func (u vaultUsers) GetUserByUsername(name string) *storage.User { return u.GetUserByID(name) }

// ExampleClientID is required by the interface and not used.
func (vaultUsers) ExampleClientID() string { return storage.ServiceUserID }

// startVault starts a vault for a number of processes until the test ends.
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

// me is the API: it returns the subject of a valid access token.
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

// token forwards a token request to the authorization server and records its response.
func (v *vault) token(w http.ResponseWriter, r *http.Request, slot int) {
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return // the process was killed
	}
	form, err := url.ParseQuery(string(sent))
	if err != nil {
		v.t.Error(err)
	}
	incarnation := v.onTokenRequest(slot)
	v.mu.Lock()
	defer v.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(sent))
	recorder := httptest.NewRecorder()
	v.op.ServeHTTP(recorder, r)
	answer := map[string]any{}
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
		v.t.Errorf("the vault returned %s", recorder.Body)
	}
	if form.Get("grant_type") == "refresh_token" {
		v.checkRefresh(form.Get("refresh_token"), answer, slot, incarnation)
	} else if err := v.addAccount(answer); err != nil {
		v.t.Error(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(recorder.Code)
	_ = json.NewEncoder(w).Encode(answer)
}

// addAccount records the account of a new token family.
func (v *vault) addAccount(answer map[string]any) error {
	raw, _ := answer["id_token"].(string)
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(raw, claims); err != nil {
		return fmt.Errorf("the vault exchanged a code for %v: %w", answer, err)
	}
	subject, _ := claims.GetSubject()
	a := &account{subject: subject, timed: strings.HasPrefix(subject, "timed")}
	v.accounts[subject] = a
	return v.storeTokens(a, answer)
}

// storeTokens records the current tokens of an account.
func (v *vault) storeTokens(a *account, answer map[string]any) error {
	a.access, _ = answer["access_token"].(string)
	a.refresh, _ = answer["refresh_token"].(string)
	if a.access == "" || a.refresh == "" {
		return errors.New("the vault returned no tokens")
	}
	if a.timed {
		answer["expires_in"] = timedLifetime
	}
	a.issued, a.used, a.expired = time.Now(), false, false
	v.accounts[a.access], v.accounts[a.refresh] = a, a
	return nil
}

// checkRefresh checks a refresh and records it, given the response of the authorization server.
func (v *vault) checkRefresh(presented string, answer map[string]any, slot, incarnation int) {
	a := v.accounts[presented]
	switch {
	case a == nil:
		v.t.Errorf("process %d used an unknown refresh token", slot)
	case a.revoked:
	case presented != a.refresh:
		a.revoked = true
		_ = v.storage.RevokeToken(v.t.Context(), a.refresh, a.subject, vaultClient)
		if a.used || !v.mayBeUnsaved(a.slot, a.incarnation, a.issued) {
			v.t.Errorf("process %d used an old refresh token of %s, which process %d (incarnation %d) exchanged %s ago (access token used: %v)",
				slot, a.subject, a.slot, a.incarnation, time.Since(a.issued), a.used)
		}
		v.losses++
	case answer["access_token"] == nil:
		v.t.Errorf("the vault does not refresh the tokens of %s: %v", a.subject, answer)
	default:
		// weft treats a token as expired in its last ten seconds; expires_in has a resolution of one second.
		if due := a.issued.Add((timedLifetime - 11) * time.Second); a.timed && time.Now().Before(due) || !a.timed && !a.expired {
			v.t.Errorf("process %d refreshed valid tokens of %s", slot, a.subject)
		}
		if err := v.storeTokens(a, answer); err != nil {
			v.t.Error(err)
		}
		a.slot, a.incarnation = slot, incarnation
		a.rotations++
	}
}

// expire makes the access token of an account expire, or waits until it does, and returns the number of rotations so far.
func (v *vault) expire(subject string) (rotations int) {
	v.mu.Lock()
	a := v.accounts[subject]
	a.expired = !a.timed
	expiry := a.issued.Add((timedLifetime - 9) * time.Second)
	rotations = a.rotations
	v.mu.Unlock()
	if a.timed {
		<-time.After(time.Until(expiry)) // the lifetime of the token
	}
	return rotations
}

// state returns the number of rotations of an account's tokens and whether they are revoked.
func (v *vault) state(subject string) (rotations int, revoked bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.accounts[subject].rotations, v.accounts[subject].revoked
}

// authorize acts as a browser at an authorization URL: it signs a user in and returns the code of the redirect.
func (v *vault) authorize(address, subject string) (code string, err error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	browser := &http.Client{
		Jar: jar, Timeout: waitTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	follow := func(response *http.Response, err error) (*url.URL, error) {
		if err != nil {
			return nil, fmt.Errorf("following the authorization flow: %w", err)
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
	redirect, err := follow(browser.Get(next.String()))
	if err != nil {
		return "", err
	}
	return redirect.Query().Get("code"), nil
}
