package mesh_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func newVerifier(t *testing.T, m *actortest.Mesh) *mesh.Verifier {
	t.Helper()
	membership, err := mesh.Join(t.Context(), m.Connect(t, "integration"), actortest.Telemetry(t).Log)
	if err != nil {
		t.Fatal(err)
	}
	v, err := mesh.NewVerifier(t.Context(), membership, actortest.Issuer, actortest.Audience, m.Now)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestTokenCacheIsBounded fills the cache while one token is in use: that one stays cached, and the oldest others are evicted.
func TestTokenCacheIsBounded(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t)
	v, token := newVerifier(t, m), m.Token(t, actortest.User())
	verify := func() {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	verify()
	if size := v.FillTokenCache(mesh.MaxCachedTokens+10, verify); size != mesh.MaxCachedTokens {
		t.Errorf("%d tokens are cached, want %d", size, mesh.MaxCachedTokens)
	}
	for cached, want := range map[string]bool{token: true, "0": false, "10": false, "11": true, strconv.Itoa(mesh.MaxCachedTokens + 9): true} {
		if got := v.Cached(cached); got != want {
			t.Errorf("token %.8s: cached is %t, want %t", cached, got, want)
		}
	}
}

func TestExpiredTokensLeaveTheCache(t *testing.T) {
	t.Parallel()
	var clock actortest.Clock
	m := actortest.Start(t, actortest.WithClock(clock.Now))
	v, token := newVerifier(t, m), m.Token(t, actortest.User())
	claims, err := v.Verify(t.Context(), token)
	if err != nil || !v.Cached(token) {
		t.Fatalf("error %v, cached: %t", err, v.Cached(token))
	}
	clock.Advance(time.Until(time.Unix(claims.ExpiresAt, 0)))
	if _, err := v.Verify(t.Context(), token); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
		t.Errorf("an expired token: %v", err)
	}
	if v.Cached(token) {
		t.Error("the expired token is still cached")
	}
}
