package integration

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/webhook"
)

// NewWith is New with a registry that has the given providers only.
func NewWith(d actors.Deps, c Config, providers map[string]*manifest.Provider) (*Actor, error) {
	a, err := New(d, c)
	if err != nil {
		return nil, err
	}
	only := snapshot{providers: map[string]loader{}}
	for id, p := range providers {
		only.providers[id] = loaded(p)
	}
	a.registry.current.Store(&only)
	return a, nil
}

// MaxKeySets bounds the cache of HookKeys, MaxHeld that of Holds.
const (
	MaxKeySets = maxKeySets
	MaxHeld    = maxHeld
)

// HookKeys is the cache of providers' key sets.
type HookKeys struct{ *hookKeys }

// NewHookKeys returns an empty cache.
func NewHookKeys(client *egress.Client, now func() time.Time) HookKeys {
	return HookKeys{newHookKeys(client, now)}
}

// Find returns the key set to verify a delivery with.
func (k HookKeys) Find(ctx context.Context, s *webhook.Scheme, r webhook.Request) (webhook.KeySet, error) {
	return k.find(ctx, s, r)
}

// Len returns the number of cached key sets.
func (k HookKeys) Len() int { return k.sets.Len() }

// Holds are the pauses that providers without declared limits have asked for.
type Holds struct{ *limits }

// NewHolds returns limits without a bucket.
func NewHolds(now func() time.Time) (Holds, error) {
	l, err := newLimits(nil, nil, now, zap.NewNop())
	return Holds{l}, err
}

func holdSpec(connectionID string) callSpec {
	return callSpec{provider: &manifest.Provider{ID: "p"}, action: &manifest.Action{}, connectionID: connectionID}
}

// Learn applies a response that asks for a pause of a connection's calls.
func (h Holds) Learn(connectionID string, pause time.Duration) {
	h.learn(context.Background(), holdSpec(connectionID), "", &outcome{
		status: 429, failed: &manifest.CallError{Class: manifest.ClassLimited, RetryAfter: pause},
	})
}

// Held reports whether a connection's calls are refused.
func (h Holds) Held(connectionID string) bool {
	return h.take(context.Background(), holdSpec(connectionID), "") != nil
}

// Len returns the number of connections in memory.
func (h Holds) Len() int { return h.heldUntil.Len() }
