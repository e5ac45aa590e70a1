package integration

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/webhook"
	"github.com/weftmesh/weft/kv"
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

// MaxKeySets bounds the cache of HookKeys.
const MaxKeySets = maxKeySets

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

// Limits are the limits of calls, over a bucket.
type Limits struct{ *limits }

// NewLimits returns limits that share the mesh's bucket.
func NewLimits(pacer *kv.Pacer, log *zap.Logger) Limits {
	return Limits{&limits{pacer: pacer, log: log}}
}

func limitedCall(action *manifest.Action, connectionID string) callSpec {
	return callSpec{provider: action.Provider(), action: action, connectionID: connectionID}
}

// Learn applies a response to a call of a connection, and returns the error that it means.
func (l Limits) Learn(ctx context.Context, action *manifest.Action, connectionID string, answer manifest.Answer) *manifest.CallError {
	o := &outcome{status: answer.Status, answer: answer}
	o.output, o.failed = action.Interpret(manifest.Connection{}, nil, answer)
	l.learn(ctx, limitedCall(action, connectionID), "host", o)
	return o.failed
}

// Wait returns how long a call of a connection must wait; 0 if it may start.
func (l Limits) Wait(ctx context.Context, action *manifest.Action, connectionID string) (time.Duration, error) {
	var exhausted *limitExhaustedError
	err := l.take(ctx, limitedCall(action, connectionID), "host")
	if errors.As(err, &exhausted) {
		return exhausted.wait, nil
	}
	return 0, err
}
