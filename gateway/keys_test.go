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

// keyring stands in for auth: it knows keys, by text, and counts how often it is asked.
type keyring struct {
	*site
	mu    sync.Mutex
	keys  map[string]apiKey
	asked atomic.Int64
	// ahead moves the clock of everything.
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
			k.asked.Add(1)
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

// unlimited are settings for tests that move the clock: the windows of limits are the server's.
func unlimited() gateway.Config {
	c := gateway.DefaultConfig()
	c.Limits.Enabled = false
	return c
}

func (k *keyring) get(t *testing.T, key string, header ...string) (*http.Response, string) {
	t.Helper()
	return k.do(t, "GET", "/v1/users/me", "", append(header, bearer(key))...)
}

// wantAsked tells how often auth has been asked so far.
func (k *keyring) wantAsked(t *testing.T, want int64) {
	t.Helper()
	if got := k.asked.Load(); got != want {
		t.Errorf("auth was asked %d times, want %d", got, want)
	}
}

func TestAnAPIKeyIsItsUser(t *testing.T) {
	t.Parallel()
	k := newKeyring(t, unlimited())
	if r, body := k.do(t, "GET", "/healthz", "", bearer(myKey)); r.StatusCode != 200 {
		t.Errorf("healthz: %d %s", r.StatusCode, body)
	}
	k.wantAsked(t, 0)
	var calls sync.WaitGroup
	for range 16 {
		calls.Go(func() {
			if r, body := k.get(t, myKey); r.StatusCode != 200 || !strings.Contains(body, k.keys[myKey].user) {
				t.Errorf("%d %s", r.StatusCode, body)
			}
		})
	}
	calls.Wait()
	k.wantAsked(t, 1)
	r, body := k.do(t, "GET", "/v1/consents", "", bearer(myKey))
	if r.StatusCode == 401 || strings.Contains(body, myKey) {
		t.Errorf("another route: %d %s", r.StatusCode, body)
	}
	// Beyond the key's scopes the actor refuses it.
	k.mu.Lock()
	k.keys["weft_narrow"] = apiKey{id: actortest.User(), user: actortest.User(), scopes: "other"}
	k.mu.Unlock()
	r, body = k.get(t, "weft_narrow")
	scenario{status: 403, code: subjects.CodeForbidden, contains: []string{subjects.ScopeUserProfileRead}}.check(t, r, body)
	// Shortly before the token ends, the key is exchanged anew.
	asked := k.asked.Load()
	k.ahead.Store(int64(9*time.Minute + 45*time.Second))
	if r, body := k.get(t, myKey); r.StatusCode != 200 {
		t.Errorf("near the end: %d %s", r.StatusCode, body)
	}
	k.wantAsked(t, asked+1)
}

func TestARefusedAPIKey(t *testing.T) {
	t.Parallel()
	k := newKeyring(t, unlimited())
	refused := scenario{
		status: 401, code: subjects.CodeUnauthenticated, contains: []string{"the API key is not valid"}, absent: []string{"weft_other"},
		reply: []string{`WWW-Authenticate: Bearer realm="weft", error="invalid_token"`},
	}
	for range 3 {
		r, body := k.get(t, "weft_other")
		refused.check(t, r, body)
	}
	k.wantAsked(t, 1)
	k.ahead.Store(int64(6 * time.Second))
	r, body := k.get(t, "weft_other")
	refused.check(t, r, body)
	k.wantAsked(t, 2)
	r, body = k.get(t, "weft_"+strings.Repeat("x", 300))
	refused.check(t, r, body)
	k.wantAsked(t, 2)
	// A key that was good is over once its session is: also while auth still exchanges it.
	if r, body := k.get(t, myKey); r.StatusCode != 200 {
		t.Fatalf("before: %d %s", r.StatusCode, body)
	}
	k.RevokeSession(t, k.keys[myKey].user, k.keys[myKey].id)
	r, body = k.get(t, myKey)
	scenario{status: 401, code: subjects.CodeUnauthenticated, contains: []string{"the session has ended"}}.check(t, r, body)
	r, body = k.get(t, myKey)
	refused.check(t, r, body)
	k.wantAsked(t, 4)
}

func TestAPIKeysWhileAuthIsAway(t *testing.T) {
	t.Parallel()
	open := describe[subjects.Empty, subjects.Empty]("open", "GET /t/open", nil)
	mine := describe[subjects.Empty, subjects.Empty]("mine", "GET /t/mine", func(d *subjects.Descriptor) { d.Access = subjects.User })
	k := newKeyring(t, relaxed(), open, mine)
	atOpen, atMine := k.listen(t, open, subjects.Empty{}), k.listen(t, mine, subjects.Empty{})
	if r, body := k.get(t, myKey); r.StatusCode != 200 {
		t.Fatalf("before: %d %s", r.StatusCode, body)
	}
	if r, body := k.do(t, "GET", "/t/open", "", bearer("weft_other")); r.StatusCode != 200 {
		t.Errorf("what is public, with a key that is none: %d %s", r.StatusCode, body)
	}
	if m := atOpen.take(); m == nil || m.Header.Get("Authorization") != "" {
		t.Errorf("a key reached an actor, or nothing did: %+v", m)
	}
	k.stop()
	if r, body := k.do(t, "GET", "/t/mine", "", bearer(myKey)); r.StatusCode != 200 {
		t.Errorf("a key that is known: %d %s", r.StatusCode, body)
	}
	if m := atMine.take(); m == nil || !strings.HasPrefix(m.Header.Get("Authorization"), "Bearer ey") {
		t.Errorf("no token reached the actor: %+v", m)
	}
	r, body := k.do(t, "GET", "/t/mine", "", bearer("weft_unknown"))
	scenario{status: 503, code: subjects.CodeUnavailable, reply: []string{"Retry-After: 1"}}.check(t, r, body)
}

func TestAPIKeysAreCounted(t *testing.T) {
	t.Parallel()
	c := gateway.DefaultConfig()
	c.Limits = gateway.LimitsConfig{Enabled: true, Global: 10_000, PerUser: 15, PerIP: 10}
	c.TrustedProxies = []string{"127.0.0.0/8"}
	k := newKeyring(t, c)
	from := func(ip string) string { return "X-Forwarded-For: " + ip }
	// Keys made up one after another cost auth no more than the address may ask; twice, in case that a window ends meanwhile.
	refusals := 0
	for i := range 24 {
		r, _ := k.get(t, "weft_"+strings.Repeat("x", i+1), from("198.51.100.1"))
		if r.StatusCode == 429 {
			refusals++
		}
	}
	if asked := k.asked.Load(); asked > 20 || refusals != 24-int(asked) {
		t.Errorf("auth was asked %d times, %d requests were refused", asked, refusals)
	}
	// A good key counts on its user, from any address.
	limited := 0
	for i := range 32 {
		r, body := k.get(t, myKey, from("198.51.101."+string(rune('1'+i%9))))
		switch r.StatusCode {
		case 200:
		case 429:
			limited++
			if !strings.Contains(r.Header.Get("RateLimit-Policy"), `"user";q=15`) {
				t.Errorf("refused by another limit: %v", r.Header)
			}
		default:
			t.Errorf("%d %s", r.StatusCode, body)
		}
	}
	if limited < 2 {
		t.Errorf("%d of 32 requests were refused", limited)
	}
}
