package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// maxCachedStates bounds the states that a guard caches, of about 300 bytes each.
	maxCachedStates = 10_000
	// stateTTL bounds how long a state is cached. If the consent actor dies while it renews a consent, guards may use the previous
	// one, which the user gave too, for that long.
	stateTTL = time.Minute
)

// cachedState is an active state with the time at which it was read.
type cachedState struct {
	subjects.ConsentState
	at time.Time
}

// Check checks that the user consents to scope at present, and returns the consent as a grant.
func (g *Guard) Check(ctx context.Context, userID, scope string) (mesh.Grant, error) {
	state, err := g.state(ctx, userID, scope)
	if err != nil {
		return mesh.Grant{}, err
	}
	return mesh.Grant{UserID: userID, Scope: scope, ConsentID: state.ConsentID}, nil
}

// CheckGrant checks that the consent under which a service acts is still active, by itself or by a renewal without a revocation in
// between. The error is CodeForbidden for an incomplete grant.
func (g *Guard) CheckGrant(ctx context.Context, grant mesh.Grant) error {
	if grant.UserID == "" || grant.Scope == "" || grant.ConsentID == "" {
		return subjects.Errorf(subjects.CodeForbidden, "the message has no grant")
	}
	state, err := g.state(ctx, grant.UserID, grant.Scope)
	if err != nil {
		return err
	}
	if !covers(state, grant.ConsentID) { // the grant may be of a renewal that is newer than the cached state
		g.invalidate(stateKey(grant.UserID, grant.Scope))
		if state, err = g.state(ctx, grant.UserID, grant.Scope); err != nil {
			return err
		}
	}
	if !covers(state, grant.ConsentID) {
		return consentRequired(grant.Scope, "revoked")
	}
	return nil
}

// covers reports whether a state belongs to the consent or to a renewal of it.
func covers(state *subjects.ConsentState, consentID string) bool {
	return state.ConsentID == consentID || slices.Contains(state.Continues, consentID)
}

// state returns the active state of a user's consent to scope. The error is CodeConsentRequired if there is none, and CodeForbidden with
// ReasonAccountBlocked for a blocked account.
func (g *Guard) state(ctx context.Context, userID, scope string) (*subjects.ConsentState, error) {
	key := stateKey(userID, scope)
	g.mu.Lock()
	cached, ok := g.cached[key]
	invalidations := g.invalidations
	g.mu.Unlock()
	if !g.live() {
		return nil, cannotCheck(errLeaseExpired)
	}
	if g.permit != nil {
		if err := g.permit(userID); err != nil {
			return nil, err
		}
	}
	if g.blocked(userID) {
		return nil, accountBlocked()
	}
	if now := g.now(); ok && !expired(&cached.ConsentState, now) && now.Sub(cached.at) < stateTTL {
		return &cached.ConsentState, nil
	}
	state, err := g.read(ctx, userID, scope)
	if errors.Is(err, kv.ErrNotFound) {
		return nil, consentRequired(scope, "missing")
	}
	if err != nil {
		switch cause := context.Cause(ctx); {
		case errors.Is(cause, errRevoked):
			return nil, consentRequired(scope, "revoked")
		case errors.Is(cause, errBlocked):
			return nil, accountBlocked()
		}
		return nil, cannotCheck(err)
	}
	if state.Status != subjects.ConsentActive {
		return nil, consentRequired(scope, state.Status)
	}
	if expired(&state, g.now()) {
		return nil, consentRequired(scope, "expired")
	}
	g.cache(key, state, invalidations)
	return &state, nil
}

func expired(state *subjects.ConsentState, now time.Time) bool {
	return state.ExpiresAt != nil && !now.Before(*state.ExpiresAt)
}

// cache keeps a state, unless any state was invalidated after its reading began. A full cache is emptied.
func (g *Guard) cache(key consentKey, state subjects.ConsentState, invalidations uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.invalidations != invalidations {
		return
	}
	if len(g.cached) >= maxCachedStates {
		clear(g.cached)
	}
	g.cached[key] = &cachedState{ConsentState: state, at: g.now()}
}

func (g *Guard) invalidate(key consentKey) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.invalidations++
	delete(g.cached, key)
}

func (g *Guard) invalidateAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.invalidations++
	clear(g.cached)
}

func cannotCheck(cause error) error {
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Detail: "consent cannot be checked at present", RetryAfter: subjects.RetrySoon, Cause: cause,
	}
}

// consentRequired is the error for a consent in a state that allows nothing.
func consentRequired(scope, state string) error {
	e := &subjects.Error{Code: subjects.CodeConsentRequired, Scope: scope}
	switch state {
	case subjects.ConsentRenewalRequired:
		e.Reason, e.Detail = subjects.ReasonRenewalRequired, "the user's consent to "+scope+" needs a renewal: its notice has changed"
	case subjects.ConsentGPC:
		e.Reason, e.Detail = subjects.ReasonGPC, "the user's Global Privacy Control opts out of "+scope
	default:
		e.Detail = fmt.Sprintf("the user's consent to %s is %s", scope, state)
	}
	return e
}

func accountBlocked() error {
	return &subjects.Error{
		Code: subjects.CodeForbidden, Reason: subjects.ReasonAccountBlocked, Detail: "the account is disabled or deleted",
	}
}

// consentKey is a user's consent to a scope. Without a scope it is the user's account.
type consentKey struct{ userID, scope string }

func stateKey(userID, scope string) consentKey { return consentKey{userID, scope} }

// accountKey is the key of all starts for an account. No scope is empty, and so it is no stateKey.
func accountKey(userID string) consentKey { return consentKey{userID: userID} }
