package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// browser is a client that keeps cookies, as those of one origin.
type browser struct {
	s       *site
	mu      sync.Mutex
	cookies map[string]string
}

func (b *browser) do(t testing.TB, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	b.mu.Lock()
	var list []string
	for name, value := range b.cookies {
		list = append(list, name+"="+value)
	}
	b.mu.Unlock()
	if len(list) > 0 {
		header = append([]string{"Cookie: " + strings.Join(list, "; ")}, header...)
	}
	response, text := b.s.do(t, method, path, body, header...)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range response.Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return response, text
}

// csrf is the header that a page of the session sends.
func (b *browser) csrf() string { return "Weft-CSRF: " + b.cookies["weft_csrf"] }

const ownPage = "Sec-Fetch-Site: same-origin"

// sessions are the sign-in endpoints of a user. Each refresh replaces the refresh token; "ended" is refused.
type sessions struct {
	s         *site
	user      string
	refreshes atomic.Int32
	received  atomic.Pointer[subjects.RefreshTokenRequest]
	ended     atomic.Bool
}

func (f *sessions) session(t testing.TB, refresh string) subjects.Session {
	return subjects.Session{
		AccessToken: f.s.Token(t, f.user), RefreshToken: refresh, TokenType: "Bearer", ExpiresIn: 900, DeviceToken: "device",
		User: subjects.Profile{ID: f.user, Roles: []string{}},
	}
}

func signedIn(t *testing.T) (*browser, *sessions) {
	t.Helper()
	s := start(t, relaxed())
	f := &sessions{s: s, user: actortest.User()}
	s.actor(t, "auth", actors.Bind(subjects.GetUserProfile, profile),
		actors.Bind(subjects.UpdateUserProfile, func(ctx context.Context, _ subjects.UpdateUserProfileRequest) (subjects.Profile, error) {
			return profile(ctx, subjects.Empty{})
		}),
		actors.Bind(subjects.Login, func(context.Context, subjects.LoginRequest) (subjects.Session, error) {
			return f.session(t, "wrt_1"), nil
		}),
		actors.Bind(subjects.Logout, func(context.Context, subjects.LogoutRequest) (subjects.Empty, error) { return subjects.Empty{}, nil }),
		actors.Bind(subjects.RefreshToken, func(_ context.Context, r subjects.RefreshTokenRequest) (subjects.Session, error) {
			f.received.Store(&r)
			if f.ended.Load() {
				return subjects.Session{}, subjects.Errorf(subjects.CodeUnauthenticated, "invalid or expired refresh token")
			}
			f.refreshes.Add(1)
			return f.session(t, "wrt_2"), nil
		}))
	b := &browser{s: s, cookies: map[string]string{}}
	response, body := b.do(t, "POST", "/v1/auth/login", `{"email":"ada@example.com","password":"x"}`, "Weft-Session: cookie", ownPage)
	if response.StatusCode != 200 || strings.Contains(body, "_token\":\"ey") || strings.Contains(body, "refresh_token") || strings.Contains(body, "wrt_1") {
		t.Fatalf("signing in: %s %s", response.Status, body)
	}
	for _, c := range response.Cookies() {
		if c.SameSite != http.SameSiteStrictMode || c.HttpOnly != (c.Name != "weft_csrf") || c.Path != "/" || c.Domain != "" {
			t.Errorf("the cookie is %s", c)
		}
	}
	if len(b.cookies) != 3 {
		t.Fatalf("the cookies are %v", b.cookies)
	}
	return b, f
}

// A session in cookies is accepted from pages of the gateway's origin only, and may change something only with its CSRF token.
func TestCookieSessionsAreOfOneOrigin(t *testing.T) {
	t.Parallel()
	b, f := signedIn(t)
	own := "Origin: " + b.s.url
	other := &browser{s: b.s, cookies: map[string]string{}}
	other.do(t, "POST", "/v1/auth/login", `{"email":"ada@example.com","password":"x"}`, "Weft-Session: cookie", ownPage)
	for name, c := range map[string]struct {
		method string
		header []string
		status int
	}{
		"read by the own page":                 {"GET", []string{ownPage}, 200},
		"read without fetch metadata":          {"GET", nil, 200},
		"read from the address bar":            {"GET", []string{"Sec-Fetch-Site: none"}, 200},
		"read by a sibling domain":             {"GET", []string{"Sec-Fetch-Site: same-site"}, 403},
		"read by another site":                 {"GET", []string{"Sec-Fetch-Site: cross-site"}, 403},
		"read by another origin":               {"GET", []string{"Origin: https://evil.example"}, 403},
		"change by the own page":               {"PATCH", []string{ownPage, b.csrf()}, 200},
		"change with the own origin":           {"PATCH", []string{own, b.csrf()}, 200},
		"change without a CSRF token":          {"PATCH", []string{ownPage}, 403},
		"change with a wrong CSRF token":       {"PATCH", []string{ownPage, b.csrf() + "x"}, 403},
		"change with another session's token":  {"PATCH", []string{ownPage, other.csrf()}, 403},
		"change of unknown origin":             {"PATCH", []string{b.csrf()}, 403},
		"change by another site":               {"PATCH", []string{"Sec-Fetch-Site: cross-site", own, b.csrf()}, 403},
		"change from the address bar":          {"PATCH", []string{"Sec-Fetch-Site: none", b.csrf()}, 403},
		"change by the null origin":            {"PATCH", []string{"Origin: null", b.csrf()}, 403},
		"change over TLS's origin":             {"PATCH", []string{strings.Replace(own, "http:", "https:", 1), b.csrf()}, 403},
		"bearer token, cookies of another use": {"PATCH", []string{bearer(b.s.Token(t, f.user))}, 200},
		"invalid bearer token beside cookies":  {"PATCH", []string{bearer("x"), ownPage, b.csrf()}, 401},
	} {
		body := ""
		if c.method == "PATCH" {
			body = `{"first_name":"Ada"}`
		}
		if response, text := b.do(t, c.method, "/v1/users/me", body, c.header...); response.StatusCode != c.status {
			t.Errorf("%s: %s %s", name, response.Status, text)
		}
	}
	// Planted cookies beside the session's make it no session.
	planted := "Cookie: weft_session=a.b; weft_session=" + b.cookies["weft_session"]
	if response, _ := b.s.do(t, "GET", "/v1/users/me", "", planted, ownPage); response.StatusCode != 401 {
		t.Errorf("two session cookies: %s", response.Status)
	}
}

// No page of another origin signs a browser in: it could use an account of its own.
func TestCookieSignInIsOfOneOrigin(t *testing.T) {
	t.Parallel()
	b, _ := signedIn(t)
	for header, status := range map[string]int{"Sec-Fetch-Site: cross-site": 403, "Origin: https://evil.example": 403, "X-None: x": 403, "Weft-Session: maybe": 400} {
		response, body := b.s.do(t, "POST", "/v1/auth/login", `{"email":"ada@example.com","password":"x"}`, "Weft-Session: cookie", header)
		if response.StatusCode != status || len(response.Cookies()) > 0 {
			t.Errorf("%s: %s %s", header, response.Status, body)
		}
	}
	response, body := b.s.do(t, "POST", "/v1/auth/login", `{"email":"ada@example.com","password":"x"}`)
	if response.StatusCode != 200 || len(response.Cookies()) > 0 || !strings.Contains(body, `"refresh_token":"wrt_1"`) {
		t.Errorf("without cookies: %s %s", response.Status, body)
	}
	// A preflight does not admit the headers, whatever the CORS settings are.
	c := relaxed()
	c.CORSOrigins = []string{"*"}
	s := start(t, c)
	response, _ = s.do(t, "OPTIONS", "/v1/auth/login", "", "Origin: https://evil.example", "Access-Control-Request-Method: POST",
		"Access-Control-Request-Headers: weft-session,weft-csrf")
	if allowed := strings.ToLower(response.Header.Get("Access-Control-Allow-Headers")); allowed == "" || strings.Contains(allowed, "weft-session") ||
		strings.Contains(allowed, "weft-csrf") || response.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("a preflight allows %s", allowed)
	}
}

// The gateway refreshes a session when its access token has ended. Tabs that do so at the same time share it, and keep the CSRF token.
func TestCookieSessionsAreRefreshed(t *testing.T) {
	t.Parallel()
	b, f := signedIn(t)
	csrf := b.csrf()
	delete(b.cookies, "weft_session") // its Max-Age has passed
	var tabs sync.WaitGroup
	for range 8 {
		tabs.Go(func() {
			if response, body := b.do(t, "PATCH", "/v1/users/me", `{"first_name":"Ada"}`, ownPage, csrf); response.StatusCode != 200 {
				t.Errorf("a tab: %s %s", response.Status, body)
			}
		})
	}
	tabs.Wait()
	if r := f.received.Load(); r == nil || r.DeviceToken != "device" || b.csrf() != csrf || !strings.HasSuffix(b.cookies["weft_refresh"], ".device.wrt_2") {
		t.Errorf("auth received %+v, and the cookies are %v", r, b.cookies)
	}
	nonce, _, _ := strings.Cut(b.cookies["weft_session"], ".")
	b.cookies["weft_session"] = nonce + "." + f.s.Token(t, f.user, actortest.WithExpiry(f.s.Now().Add(-time.Minute)))
	before := f.refreshes.Load()
	if response, body := b.do(t, "GET", "/v1/users/me", "", ownPage); response.StatusCode != 200 || f.refreshes.Load() != before+1 {
		t.Errorf("with an expired token: %s %s", response.Status, body)
	}
	// A page may ask for it, such as when a second factor has been set up.
	response, body := b.do(t, "POST", "/v1/auth/token/refresh", "", ownPage, csrf)
	if response.StatusCode != 200 || f.refreshes.Load() != before+2 || strings.Contains(body, "refresh_token") || strings.Contains(body, "access_token") {
		t.Errorf("refreshing: %s %s", response.Status, body)
	}
	if response, _ := b.do(t, "POST", "/v1/auth/token/refresh", "", ownPage); response.StatusCode != 403 || f.refreshes.Load() != before+2 {
		t.Errorf("refreshing without a CSRF token: %s", response.Status)
	}
	f.ended.Store(true)
	delete(b.cookies, "weft_session")
	if response, body := b.do(t, "GET", "/v1/users/me", "", ownPage); response.StatusCode != 401 || len(b.cookies) != 0 {
		t.Errorf("an ended session: %s %s, cookies %v", response.Status, body, b.cookies)
	}
}

func TestLogoutRemovesTheCookies(t *testing.T) {
	t.Parallel()
	b, _ := signedIn(t)
	if response, _ := b.do(t, "POST", "/v1/auth/logout", "", ownPage); response.StatusCode != 403 || len(b.cookies) != 3 {
		t.Errorf("without a CSRF token: %s", response.Status)
	}
	if response, body := b.do(t, "POST", "/v1/auth/logout", "", ownPage, b.csrf()); response.StatusCode >= 300 || len(b.cookies) != 0 {
		t.Errorf("%s %s, cookies %v", response.Status, body, b.cookies)
	}
}

// Over TLS the cookies have the prefix that keeps other hosts from setting them.
func TestCookieSessionsOverTLS(t *testing.T) {
	t.Parallel()
	c := relaxed()
	c.TrustedProxies = []string{"127.0.0.0/8"}
	s := start(t, c)
	f := &sessions{s: s, user: actortest.User()}
	s.actor(t, "auth", actors.Bind(subjects.Login, func(context.Context, subjects.LoginRequest) (subjects.Session, error) {
		return f.session(t, "wrt_1"), nil
	}))
	response, body := s.do(t, "POST", "/v1/auth/login", `{"email":"ada@example.com","password":"x"}`, "Weft-Session: cookie", ownPage, "X-Forwarded-Proto: https")
	if response.StatusCode != 200 || len(response.Cookies()) != 3 {
		t.Fatalf("%s %s", response.Status, body)
	}
	for _, c := range response.Cookies() {
		if !strings.HasPrefix(c.Name, "__Host-weft_") || !c.Secure {
			t.Errorf("the cookie is %s", c)
		}
	}
}
