package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// stubGitHub serves GitHub's OAuth and user API for one user, and returns its URL.
func stubGitHub(t testing.TB) string {
	t.Helper()
	respond := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(v)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login/oauth/access_token", respond(map[string]any{"access_token": "gho_canary", "token_type": "bearer"}))
	mux.HandleFunc("GET /api/v3/user", respond(map[string]any{"id": 4711, "login": "ada"}))
	mux.HandleFunc("GET /api/v3/user/emails", respond([]map[string]any{{"email": "ada@example.com", "primary": true, "verified": true}}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// TestOAuthSignIn signs in with a provider that environment variables configure, once as a browser, whose state is bound to a
// cookie, and once as an app, whose state is bound to a header.
func TestOAuthSignIn(t *testing.T) {
	t.Parallel()
	github := stubGitHub(t)
	weft := startWeft(t, t.TempDir(),
		"WEFT_AUTH_OAUTH_PROVIDERS_GITHUB_ISSUER="+github, "WEFT_AUTH_OAUTH_PROVIDERS_GITHUB_CLIENT_ID=weft",
		"WEFT_AUTH_OAUTH_PROVIDERS_GITHUB_CLIENT_SECRET=secret",
		"WEFT_AUTH_OAUTH_PROVIDERS_GITHUB_REDIRECT_URIS=http://127.0.0.1/callback,com.example.app:/callback",
		"WEFT_EGRESS_ALLOW=127.0.0.0/8", "WEFT_EGRESS_ALLOW_HTTP=true")
	browser, other := newClient(weft.ready.HTTP), newClient(weft.ready.HTTP)
	for _, c := range []*client{browser, other} {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		c.http.Jar = jar
		c.must(t, http.StatusOK, http.MethodGet, "/v1/auth/oauth/github", nil)
	}
	asked := url.Values{"redirect_uri": {"com.example.app:/callback"}}
	start := browser.must(t, http.StatusOK, http.MethodGet, "/v1/auth/oauth/github?"+asked.Encode(), nil)
	if cookie := start.header.Get("Set-Cookie"); !strings.HasPrefix(cookie, "weft_oauth=") || !strings.Contains(cookie, "HttpOnly; SameSite=Lax") {
		t.Errorf("the cookie is %q", cookie)
	}
	callback := "/v1/auth/oauth/github/callback?" + url.Values{
		"code": {"c"}, "state": {start.text(".state")}, "iss": {github + "/login/oauth"},
	}.Encode()
	other.must(t, http.StatusBadRequest, http.MethodGet, callback, nil)
	newClient(weft.ready.HTTP).must(t, http.StatusBadRequest, http.MethodGet, callback, nil)
	session := browser.must(t, http.StatusOK, http.MethodGet, callback, nil)
	if email := session.text(".user.email"); email != "ada@example.com" {
		t.Errorf("signed in as %s", session)
	}
	browser.must(t, http.StatusBadRequest, http.MethodGet, callback, nil)

	app := newClient(weft.ready.HTTP)
	start = app.must(t, http.StatusOK, http.MethodGet, "/v1/auth/oauth/github", nil)
	callback = "/v1/auth/oauth/github/callback?" + url.Values{"code": {"c"}, "state": {start.text(".state")}}.Encode()
	app.must(t, http.StatusOK, http.MethodGet, callback, nil, "X-OAuth-Binding: "+start.text(".binding"))
	// The callback request has no access token, because the flow remembers the session that it was started in.
	browser.token = session.text(".access_token")
	start = browser.must(t, http.StatusOK, http.MethodGet, "/v1/auth/oauth/github", nil)
	browser.token = ""
	callback = "/v1/auth/oauth/github/callback?" + url.Values{"code": {"c"}, "state": {start.text(".state")}}.Encode()
	next := browser.must(t, http.StatusOK, http.MethodGet, callback, nil)
	browser.token = session.text(".access_token")
	browser.must(t, http.StatusUnauthorized, http.MethodGet, "/v1/users/me", nil)
	browser.token = next.text(".access_token")
	if list := browser.must(t, http.StatusOK, http.MethodGet, "/v1/users/me/identities", nil); list.text(".items[0].provider") != "github" {
		t.Errorf("the identities are %s", list)
	}
}
