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
	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// profile returns the caller's user id as a profile.
func profile(ctx context.Context, _ subjects.Empty) (subjects.Profile, error) {
	return subjects.Profile{ID: actors.CallerFrom(ctx).UserID, Roles: []string{}}, nil
}

// decide returns the caller's user id as a consent id.
func decide(ctx context.Context, _ subjects.ValidateConsentRequest) (subjects.ConsentDecision, error) {
	return subjects.ConsentDecision{Reason: subjects.ConsentActive, ConsentID: actors.CallerFrom(ctx).UserID}, nil
}

// anonymousOnly rejects a caller that is a user.
func anonymousOnly(ctx context.Context, _ subjects.EmailRequest) (subjects.Accepted, error) {
	if c := actors.CallerFrom(ctx); c.UserID != "" {
		return subjects.Accepted{}, subjects.Errorf(subjects.CodeForbidden, "called by %s", c)
	}
	return subjects.Accepted{Status: "accepted"}, nil
}

func TestCallerIdentity(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	s.actor(t, "auth", actors.Bind(subjects.GetUserProfile, profile), actors.Bind(subjects.RequestPasswordReset, anonymousOnly))
	s.actor(t, "consent", actors.Bind(subjects.ValidateConsent, decide))
	me, other := actortest.User(), actortest.User()
	session := actortest.User()
	token, expired := s.Token(t, me), s.Token(t, me, actortest.WithExpiry(s.Now().Add(-time.Minute)))
	revoked := s.Token(t, me, actortest.WithSession(session))
	s.RevokeSession(t, me, session)
	asMe := []string{`"` + me + `"`}
	invalid := []string{`WWW-Authenticate: Bearer realm="weft", error="invalid_token"`, "Cache-Control: no-store"}
	for _, sc := range []scenario{
		{name: "valid token", method: "GET", path: "/v1/users/me", header: []string{bearer(token)}, status: 200, contains: asMe},
		{name: "scheme in lower case", method: "GET", path: "/v1/users/me", header: []string{"Authorization: bearer " + token}, status: 200, contains: asMe},
		{name: "no token", method: "GET", path: "/v1/users/me", status: 401, code: subjects.CodeUnauthenticated},
		{name: "expired token", method: "GET", path: "/v1/users/me", header: []string{bearer(expired)}, status: 401, code: subjects.CodeUnauthenticated, reply: invalid},
		{name: "revoked session", method: "GET", path: "/v1/users/me", header: []string{bearer(revoked)}, status: 401, code: subjects.CodeUnauthenticated, reply: invalid},
		{name: "forged token", method: "GET", path: "/v1/users/me", header: []string{bearer(token[:len(token)-8] + "AAAAAAAA")}, status: 401, code: subjects.CodeUnauthenticated, reply: invalid},
		{name: "two tokens", method: "GET", path: "/v1/users/me", header: []string{bearer(token), bearer(token)}, status: 401, code: subjects.CodeUnauthenticated},
		{name: "two tokens at a public endpoint", method: "POST", path: "/v1/auth/password/forgot", body: `{"email":"ada@example.com"}`,
			header: []string{bearer(token), bearer(token)}, status: 202},
		{name: "another user in headers", method: "GET", path: "/v1/users/me", status: 200, contains: asMe, absent: []string{other},
			header: []string{bearer(token), "Weft-User-Id: " + other, "X-User-Id: " + other, "X-Forwarded-User: " + other}},
		{name: "another user in the query", method: "GET", path: "/v1/users/me?user_id=" + other, header: []string{bearer(token)}, status: 400, code: subjects.CodeInvalid, field: "user_id"},
		{name: "another user in the body", method: "POST", path: "/v1/consents/validate", status: 200, contains: asMe, absent: []string{other},
			header: []string{bearer(token)}, body: `{"scope":"s","user_id":"` + other + `"}`},
		{name: "no token and an invalid body", method: "POST", path: "/v1/consents/validate", body: `{"x":1}`, status: 401, code: subjects.CodeUnauthenticated},
	} {
		t.Run(sc.name, func(t *testing.T) {
			response, body := s.do(t, sc.method, sc.path, sc.body, sc.header...)
			sc.check(t, response, body)
		})
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	c := relaxed()
	c.CORSOrigins = []string{"https://app.example"}
	s := start(t, c)
	const allow = "Access-Control-Allow-Origin"
	preflight := []string{"Origin: https://app.example", "Access-Control-Request-Method: POST"}
	if r, _ := s.do(t, "OPTIONS", "/v1/auth/login", "", preflight...); r.StatusCode != 204 || r.Header.Get(allow) != "https://app.example" ||
		r.Header.Get("Access-Control-Allow-Methods") != "OPTIONS, POST" || !strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), "Authorization") ||
		r.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("preflight: %d %v", r.StatusCode, r.Header)
	}
	if r, _ := s.do(t, "GET", "/healthz", "", "Origin: https://app.example"); r.Header.Get(allow) != "https://app.example" || r.Header.Get("Vary") != "Origin" {
		t.Errorf("a page of an allowed origin: %v", r.Header)
	}
	if r, _ := s.do(t, "OPTIONS", "/v1/auth/login", "", "Origin: https://evil.example", "Access-Control-Request-Method: POST"); r.Header.Get(allow) != "" ||
		r.Header.Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("a page of another origin: %v", r.Header)
	}
	off := startOn(t, s.Mesh, relaxed())
	if r, _ := off.do(t, "GET", "/healthz", "", "Origin: https://app.example"); r.Header.Get(allow) != "" {
		t.Errorf("without configured origins: %v", r.Header)
	}
}

func TestGatewaysShareLimits(t *testing.T) {
	t.Parallel()
	c := gateway.DefaultConfig()
	c.Limits = gateway.LimitsConfig{Enabled: true, Global: 10_000, PerUser: 100, PerIP: 10_000}
	m := actortest.Start(t)
	sites := []*site{startOn(t, m, c), startOn(t, m, c)}
	sites[0].actor(t, "auth", actors.Bind(subjects.GetUserProfile, profile))
	token := m.Token(t, actortest.User())
	began := time.Now()
	var admitted, rejected atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 40 {
				response, body := sites[i%2].do(t, "GET", "/v1/users/me", "", bearer(token))
				switch response.StatusCode {
				case 200:
					admitted.Add(1)
				case 429:
					rejected.Add(1)
					if response.Header.Get("Retry-After") == "" || !strings.Contains(response.Header.Get("RateLimit"), `"user";r=0;t=`) {
						t.Errorf("a rejection without Retry-After or RateLimit: %v", response.Header)
					}
				default:
					t.Errorf("status %d: %s", response.StatusCode, body)
				}
			}
		})
	}
	wg.Wait()
	// The requests fall into two windows if a minute ended meanwhile.
	windows := int64(time.Now().Truncate(time.Minute).Sub(began.Truncate(time.Minute))/time.Minute) + 1
	if n := admitted.Load(); n > 100*windows || n < 90 || n+rejected.Load() != 320 {
		t.Errorf("admitted %d of %d in %d windows", n, 320, windows)
	}
	other := m.Token(t, actortest.User())
	response, _ := sites[1].do(t, "GET", "/v1/users/me", "", bearer(other))
	if response.StatusCode != 200 || response.Header.Get("RateLimit-Policy") != `"user";q=100;w=60` {
		t.Errorf("another user: %d %v", response.StatusCode, response.Header)
	}
}

func TestLimitsByUserAndAddress(t *testing.T) {
	t.Parallel()
	c := gateway.DefaultConfig()
	c.Limits = gateway.LimitsConfig{Enabled: true, Global: 10_000, PerUser: 10_000, PerIP: 20}
	c.TrustedProxies = []string{"127.0.0.0/8"}
	s := start(t, c)
	s.actor(t, "auth", actors.Bind(subjects.GetUserProfile, profile), actors.Bind(subjects.Login,
		func(context.Context, subjects.LoginRequest) (subjects.Session, error) {
			return subjects.Session{}, subjects.Errorf(subjects.CodeUnauthenticated, "no")
		}))
	from := func(ip string) string { return "X-Forwarded-For: " + ip }
	exhaust := func(most int, want int, send func() int) {
		t.Helper()
		// Up to two windows, in case one ends meanwhile.
		for range 2*most + 1 {
			if send() == 429 {
				return
			}
		}
		t.Errorf("none of %d requests was rejected", 2*most+1)
	}
	exhaust(20, 401, func() int {
		r, _ := s.do(t, "GET", "/v1/users/me", "", from("198.51.100.1"), "Authorization: Bearer nonsense")
		return r.StatusCode
	})
	if r, body := s.do(t, "GET", "/v1/users/me", "", from("198.51.100.2")); r.StatusCode != 401 {
		t.Errorf("another address: %d %s", r.StatusCode, body)
	}
	if r, body := s.do(t, "GET", "/v1/users/me", "", from("198.51.100.1"), bearer(s.Token(t, actortest.User()))); r.StatusCode != 200 {
		t.Errorf("a user at the limited address: %d %s", r.StatusCode, body)
	}
	const login = `{"email":"a@b.c","password":"x"}`
	exhaust(10, 401, func() int {
		r, _ := s.do(t, "POST", "/v1/auth/login", login, from("198.51.100.3"))
		return r.StatusCode
	})
	r, body := s.do(t, "POST", "/v1/auth/login", login, from("198.51.100.3"))
	if r.StatusCode == 429 && !strings.Contains(r.Header.Get("RateLimit-Policy"), `"login";q=10;w=60`) {
		t.Errorf("rejected by another limit than the endpoint's own: %s %v", body, r.Header)
	}
	off := c
	off.Limits.Enabled = false
	free := startOn(t, s.Mesh, off)
	for range 25 {
		if r, body := free.do(t, "POST", "/v1/auth/login", login, from("198.51.100.3")); r.StatusCode != 401 || r.Header.Get("RateLimit") != "" {
			t.Fatalf("with limits disabled: %d %s", r.StatusCode, body)
		}
	}
}

func TestUnavailableLimits(t *testing.T) {
	t.Parallel()
	s := start(t, gateway.DefaultConfig())
	s.actor(t, "auth", actors.Bind(subjects.GetUserProfile, profile))
	token := s.Token(t, actortest.User())
	if r, body := s.do(t, "GET", "/v1/users/me", "", bearer(token)); r.StatusCode != 200 {
		t.Fatalf("before: %d %s", r.StatusCode, body)
	}
	setup := s.Conn(t, mesh.UserMigrate)
	// The setup user may not delete the bucket. Sealing its stream makes writes fail.
	stream, err := setup.JS.Stream(t.Context(), kv.GatewayLimits.Stream())
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.Sealed = true
	if _, err := setup.JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	fresh := s.Token(t, actortest.User())
	for name, send := range map[string]func() (*http.Response, string){
		"a user": func() (*http.Response, string) { return s.do(t, "GET", "/v1/users/me", "", bearer(fresh)) },
		"login": func() (*http.Response, string) {
			return s.do(t, "POST", "/v1/auth/login", `{"email":"a@b.c","password":"x"}`)
		},
	} {
		r, body := send()
		sc := scenario{status: 503, code: subjects.CodeUnavailable, reply: []string{"Retry-After: 1"}}
		t.Run(name, func(t *testing.T) { sc.check(t, r, body) })
	}
	if r, _ := s.do(t, "GET", "/healthz", ""); r.StatusCode != 200 {
		t.Errorf("healthz: %d", r.StatusCode)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t)
	conn := m.Connect(t, mesh.UserGateway)
	c := relaxed()
	c.Listen = "127.0.0.1:0"
	g, err := gateway.New(gateway.Deps{Conn: conn, Verifier: verifier(t, m, conn), Telemetry: actortest.Telemetry(t), Now: m.Now}, c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	addr, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- g.Run(ctx, func(a string) { addr <- a }) }()
	s := &site{Mesh: m, url: "http://" + <-addr}
	if r, _ := s.do(t, "GET", "/healthz", ""); r.StatusCode != 200 {
		t.Errorf("healthz: %d", r.StatusCode)
	}
	// Headers over the limit are rejected by net/http.
	if r, _ := s.do(t, "GET", "/healthz", "", "X-Long: "+strings.Repeat("x", 64<<10)); r.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("long headers: %d", r.StatusCode)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("stopping: %v", err)
	}
}

func TestInvalidSettingsAreNamed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*gateway.Config){
		"gateway.limits.per_ip":   func(c *gateway.Config) { c.Limits.PerIP = 0 },
		"gateway.trusted_proxies": func(c *gateway.Config) { c.TrustedProxies = []string{"10.0.0.0/99"} },
		"gateway.cors_origins":    func(c *gateway.Config) { c.CORSOrigins = []string{"app.example"} },
		"gateway.tls_key":         func(c *gateway.Config) { c.TLSCert = "cert.pem" },
	} {
		c := gateway.DefaultConfig()
		change(&c)
		if _, err := gateway.New(gateway.Deps{}, c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAccessComesBeforeTheRequest: who may not call an endpoint gets 401 or 403, whatever is wrong with the request.
func TestAccessComesBeforeTheRequest(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	user := actortest.User()
	key := bearer(s.Token(t, user, actortest.WithAPIKey(actortest.User(), subjects.ScopeUserProfileRead)))
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		status             int
	}{
		"anonymous, broken body":        {"POST", "/v1/workflows", "{", nil, 401},
		"anonymous, wrong media type":   {"POST", "/v1/notifications", "x", []string{"Content-Type: text/csv"}, 401},
		"anonymous, broken timeout":     {"GET", "/v1/workflows", "", []string{"Request-Timeout: soon"}, 401},
		"anonymous, unknown parameter":  {"GET", "/v1/workflows?x=1", "", nil, 401},
		"key without scope, broken":     {"POST", "/v1/workflows", "{", []string{key}, 403},
		"key without scope, missing":    {"POST", "/v1/notifications", "{}", []string{key}, 403},
		"key without scope, path":       {"GET", "/v1/workflows/x", "", []string{key}, 403},
		"key without scope, timeout":    {"GET", "/v1/workflows", "", []string{key, "Request-Timeout: soon"}, 403},
		"key without scope, accept":     {"GET", "/v1/workflows", "", []string{key, "Accept: text/csv"}, 403},
		"key without scope, idempotent": {"POST", "/v1/workflows", "{}", []string{key, "Idempotency-Key: " + strings.Repeat("k", 1000)}, 403},
		"user without role, broken":     {"PATCH", "/v1/admin/users/x", "{", []string{bearer(s.Token(t, user))}, 403},
		"user, broken body":             {"POST", "/v1/workflows", "{", []string{bearer(s.Token(t, user))}, 400},
	} {
		r, body := s.do(t, c.method, c.path, c.body, append([]string{"Content-Type: application/json"}, c.header...)...)
		if r.StatusCode != c.status {
			t.Errorf("%s: %d %s, want %d", name, r.StatusCode, body, c.status)
		}
	}
}

// TestAggregatesByKeys: a key that may get no part of the overview is forbidden, one that may get some gets these, and the parts and
// their scopes are in the contract.
func TestAggregatesByKeys(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	key := func(scopes string) string {
		return bearer(s.Token(t, actortest.User(), actortest.WithAPIKey(actortest.User(), scopes)))
	}
	for _, c := range []struct {
		path, scopes string
		status       int
	}{
		{"/v1/overview", subjects.ScopeNotificationsSend, 403}, {"/v1/overview", "", 403}, {"/v1/overview", subjects.ScopeWorkflowsRead, 200},
		{"/v1/executions/" + executionID + "/full", subjects.ScopeIntegrationsRead, 403},
	} {
		if r, body := s.do(t, "GET", c.path, "", key(c.scopes)); r.StatusCode != c.status {
			t.Errorf("%s with %q: %d %s, want %d", c.path, c.scopes, r.StatusCode, body, c.status)
		}
	}
	if r, body := s.do(t, "GET", "/v1/overview", ""); r.StatusCode != 401 {
		t.Errorf("anonymous: %d %s", r.StatusCode, body)
	}
	r, body := s.do(t, "GET", "/openapi.json", "")
	if r.StatusCode != 200 || !strings.Contains(body, "`profile` user.profile.read, `connections` integrations.read, `executions` workflows.read, `consents` none suffices") {
		t.Errorf("the contract does not name the parts and their scopes: %d", r.StatusCode)
	}
}
