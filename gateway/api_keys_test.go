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
	"github.com/weftmesh/weft/subjects"
)

// keyring is an auth actor with a set of API keys. It counts the exchanges.
type keyring struct {
	*site
	mu        sync.Mutex
	keys      map[string]apiKey
	exchanges atomic.Int64
	// ahead is how far the clock of mesh and gateway is ahead, in nanoseconds.
	ahead *atomic.Int64
	stop  func()
}

type apiKey struct{ id, user, scopes string }

const myKey = "weft_mine"

func newKeyring(t *testing.T, c gateway.Config, extra ...*subjects.Descriptor) *keyring {
	t.Helper()
	k := &keyring{ahead: &atomic.Int64{}, keys: map[string]apiKey{
		myKey: {id: actortest.User(), user: actortest.User(), scopes: subjects.ScopeUserProfileRead},
	}}
	now := func() time.Time { return time.Now().Add(time.Duration(k.ahead.Load())) }
	k.site = startOn(t, actortest.Start(t, actortest.WithClock(now)), c, extra...)
	k.stop = k.actor(t, "auth", actors.Bind(subjects.GetUserProfile, profile), actors.Bind(subjects.ExchangeAPIKey,
		func(_ context.Context, req subjects.ExchangeAPIKeyRequest) (subjects.KeyToken, error) {
			k.exchanges.Add(1)
			k.mu.Lock()
			key, ok := k.keys[req.Key]
			k.mu.Unlock()
			if !ok {
				return subjects.KeyToken{}, subjects.Errorf(subjects.CodeUnauthenticated, "the API key is not valid")
			}
			token := k.Token(t, key.user, actortest.WithAPIKey(key.id, key.scopes), actortest.WithSession(key.id))
			return subjects.KeyToken{AccessToken: token, TokenType: "Bearer", ExpiresIn: 600, KeyID: key.id, UserID: key.user}, nil
		}))
	return k
}

// unlimited returns settings without rate limits, for tests that move the clock: the limits' windows follow the server's.
func unlimited() gateway.Config {
	c := gateway.DefaultConfig()
	c.Limits.Enabled = false
	return c
}

func (k *keyring) get(t *testing.T, key string, header ...string) (*http.Response, string) {
	t.Helper()
	return k.do(t, "GET", "/v1/users/me", "", append(header, bearer(key))...)
}

// wantExchanges checks how many exchanges auth has received.
func (k *keyring) wantExchanges(t *testing.T, want int64) {
	t.Helper()
	if got := k.exchanges.Load(); got != want {
		t.Errorf("auth received %d exchanges, want %d", got, want)
	}
}

func TestAPIKeyIdentifiesItsUser(t *testing.T) {
	t.Parallel()
	k := newKeyring(t, unlimited())
	if r, body := k.do(t, "GET", "/healthz", "", bearer(myKey)); r.StatusCode != 200 {
		t.Errorf("healthz: %d %s", r.StatusCode, body)
	}
	k.wantExchanges(t, 0)
	var calls sync.WaitGroup
	for range 16 {
		calls.Go(func() {
			if r, body := k.get(t, myKey); r.StatusCode != 200 || !strings.Contains(body, k.keys[myKey].user) {
				t.Errorf("%d %s", r.StatusCode, body)
			}
		})
	}
	calls.Wait()
	k.wantExchanges(t, 1)
	r, body := k.do(t, "GET", "/v1/consents", "", bearer(myKey))
	if r.StatusCode == 401 || strings.Contains(body, myKey) {
		t.Errorf("another route: %d %s", r.StatusCode, body)
	}
	// The actor rejects a key that lacks the scope.
	k.mu.Lock()
	k.keys["weft_narrow"] = apiKey{id: actortest.User(), user: actortest.User(), scopes: "other"}
	k.mu.Unlock()
	r, body = k.get(t, "weft_narrow")
	scenario{status: 403, code: subjects.CodeForbidden, contains: []string{subjects.ScopeUserProfileRead}}.check(t, r, body)
	// Shortly before the token expires, the key is exchanged again.
	exchanges := k.exchanges.Load()
	k.ahead.Store(int64(9*time.Minute + 45*time.Second))
	if r, body := k.get(t, myKey); r.StatusCode != 200 {
		t.Errorf("shortly before expiry: %d %s", r.StatusCode, body)
	}
	k.wantExchanges(t, exchanges+1)
}

func TestInvalidAPIKey(t *testing.T) {
	t.Parallel()
	k := newKeyring(t, unlimited())
	rejected := scenario{
		status: 401, code: subjects.CodeUnauthenticated, contains: []string{"the API key is not valid"}, absent: []string{"weft_other"},
		reply: []string{`WWW-Authenticate: Bearer realm="weft", error="invalid_token"`},
	}
	for range 3 {
		r, body := k.get(t, "weft_other")
		rejected.check(t, r, body)
	}
	k.wantExchanges(t, 1)
	k.ahead.Store(int64(6 * time.Second))
	r, body := k.get(t, "weft_other")
	rejected.check(t, r, body)
	k.wantExchanges(t, 2)
	r, body = k.get(t, "weft_"+strings.Repeat("x", 300))
	rejected.check(t, r, body)
	k.wantExchanges(t, 2)
	// A key is rejected once its session is revoked, even if auth would still exchange it.
	if r, body := k.get(t, myKey); r.StatusCode != 200 {
		t.Fatalf("before: %d %s", r.StatusCode, body)
	}
	k.RevokeSession(t, k.keys[myKey].user, k.keys[myKey].id)
	r, body = k.get(t, myKey)
	scenario{status: 401, code: subjects.CodeUnauthenticated, contains: []string{"the session has ended"}}.check(t, r, body)
	r, body = k.get(t, myKey)
	rejected.check(t, r, body)
	k.wantExchanges(t, 4)
}

func TestAPIKeysWhileAuthIsDown(t *testing.T) {
	t.Parallel()
	public := describe[subjects.Empty, subjects.Empty]("public", "GET /t/public", nil)
	private := describe[subjects.Empty, subjects.Empty]("private", "GET /t/private", func(d *subjects.Descriptor) { d.Access = subjects.Scope(subjects.ScopeUserProfileRead) })
	k := newKeyring(t, relaxed(), public, private)
	publicInbox, privateInbox := k.listen(t, public, subjects.Empty{}), k.listen(t, private, subjects.Empty{})
	if r, body := k.get(t, myKey); r.StatusCode != 200 {
		t.Fatalf("before: %d %s", r.StatusCode, body)
	}
	if r, body := k.do(t, "GET", "/t/public", "", bearer("weft_other")); r.StatusCode != 200 {
		t.Errorf("a public endpoint with an invalid key: %d %s", r.StatusCode, body)
	}
	if m := publicInbox.take(); m == nil || m.Header.Get("Authorization") != "" {
		t.Errorf("the actor received no message, or the key: %+v", m)
	}
	k.stop()
	if r, body := k.do(t, "GET", "/t/private", "", bearer(myKey)); r.StatusCode != 200 {
		t.Errorf("a cached key: %d %s", r.StatusCode, body)
	}
	if m := privateInbox.take(); m == nil || !strings.HasPrefix(m.Header.Get("Authorization"), "Bearer ey") {
		t.Errorf("the actor received no token: %+v", m)
	}
	r, body := k.do(t, "GET", "/t/private", "", bearer("weft_unknown"))
	scenario{status: 503, code: subjects.CodeUnavailable, reply: []string{"Retry-After: 1"}}.check(t, r, body)
}

func TestAPIKeyLimits(t *testing.T) {
	t.Parallel()
	c := gateway.DefaultConfig()
	c.Limits = gateway.LimitsConfig{Enabled: true, Global: 10_000, PerUser: 15, PerIP: 10}
	c.TrustedProxies = []string{"127.0.0.0/8"}
	k := newKeyring(t, c)
	from := func(ip string) string { return "X-Forwarded-For: " + ip }
	// Exchanges of invalid keys are bounded by the limit of the address; by twice that if a window ends meanwhile.
	rejections := 0
	for i := range 24 {
		r, _ := k.get(t, "weft_"+strings.Repeat("x", i+1), from("198.51.100.1"))
		if r.StatusCode == 429 {
			rejections++
		}
	}
	if exchanges := k.exchanges.Load(); exchanges > 20 || rejections != 24-int(exchanges) {
		t.Errorf("auth received %d exchanges, %d requests were rejected", exchanges, rejections)
	}
	// A valid key counts against its user's limit from any address.
	limited := 0
	for i := range 32 {
		r, body := k.get(t, myKey, from("198.51.101."+string(rune('1'+i%9))))
		switch r.StatusCode {
		case 200:
		case 429:
			limited++
			if !strings.Contains(r.Header.Get("RateLimit-Policy"), `"user";q=15`) {
				t.Errorf("rejected by another limit: %v", r.Header)
			}
		default:
			t.Errorf("%d %s", r.StatusCode, body)
		}
	}
	if limited < 2 {
		t.Errorf("%d of 32 requests were rejected", limited)
	}
}
