package integration_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/integration/webhook"
)

// keyServer counts the requests for key sets. Each set has the P-256 key k1 of RFC 7517, appendix A.1.
type keyServer struct {
	url     string
	fetched atomic.Int64
	keys    integration.HookKeys
	clock   actortest.Clock
}

func newKeyServer(t *testing.T) *keyServer {
	t.Helper()
	s := &keyServer{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.fetched.Add(1)
		fmt.Fprint(w, `{"keys": [{"kid": "k1", "kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
			"y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`)
	}))
	t.Cleanup(server.Close)
	client, err := egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	s.url, s.keys = server.URL, integration.NewHookKeys(client, s.clock.Now)
	return s
}

// find looks up the key set of a provider for a delivery whose token names a key.
func (s *keyServer) find(t *testing.T, provider int, kid string) {
	t.Helper()
	scheme := webhook.Compile(webhook.Spec{Signature: webhook.SignatureSpec{Kind: webhook.JWT, In: []string{"bearer"}}},
		func(string, string, ...any) {})
	scheme.JWKS = fmt.Sprintf("%s/%d", s.url, provider)
	token := jwt.New(jwt.SigningMethodHS256)
	token.Header["kid"] = kid
	signed, err := token.SignedString([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := s.keys.Find(t.Context(), scheme, webhook.Request{Header: http.Header{"Authorization": {"Bearer " + signed}}})
	if err != nil || set["k1"] == nil {
		t.Fatalf("key set %v, error %v", set, err)
	}
}

func TestKeySetsAreCached(t *testing.T) {
	t.Parallel()
	s := newKeyServer(t)
	for _, step := range []struct {
		after time.Duration
		kid   string
		want  int64
	}{
		{0, "k1", 1},
		{time.Hour - time.Minute, "k1", 1},
		{time.Minute, "k1", 2}, // an hour after the first
		{30 * time.Second, "unknown", 2},
		{30 * time.Second, "unknown", 3},
		{0, "unknown", 3},
	} {
		s.clock.Advance(step.after)
		s.find(t, 0, step.kid)
		if got := s.fetched.Load(); got != step.want {
			t.Errorf("%v later with key %s: %d requests, want %d", step.after, step.kid, got, step.want)
		}
	}
}

func TestKeySetsAreBounded(t *testing.T) {
	t.Parallel()
	s := newKeyServer(t)
	for provider := range integration.MaxKeySets + 1 {
		s.find(t, provider, "k1")
		s.find(t, 0, "k1")
	}
	if n := s.keys.Len(); n != integration.MaxKeySets {
		t.Errorf("%d key sets are cached, want %d", n, integration.MaxKeySets)
	}
	if n := s.fetched.Load(); n != integration.MaxKeySets+1 {
		t.Errorf("%d requests, want %d: the set in use was evicted", n, integration.MaxKeySets+1)
	}
}
