package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Guard is the door that everything done on a user's behalf goes through. It checks consent at the
// moment of starting, and takes part in revocations: once revoke_consent has returned, nothing starts.
//
// The order makes it hold without a watch. Do registers what is about to start and then reads the
// state; a revocation writes the state and then asks every guard, which cancels and awaits what has
// registered and not started. So either the read sees the revocation or the revocation sees the
// registration. For the same reason what was read may be kept, until a revocation asks or the lease lapses
// (docs/adr/0007).
type Guard struct {
	presence *mesh.Membership
	states   *kv.Bucket[subjects.ConsentState]
	now      func() time.Time
	mu       sync.Mutex
	pending  map[string]map[*pendingStart]struct{}
	// watched: the lease is looked at for what is pending.
	watched bool
	// known are active states as they were read, changes counts what was forgotten of them: what was read before is not
	// kept after.
	known   map[string]knownState
	changes uint64
}

// knownState is an active state, and when it was read.
type knownState struct {
	subjects.ConsentState
	at time.Time
}

const (
	// maxKnown bounds the states that a guard keeps; some 300 bytes each.
	maxKnown = 10_000
	// keepKnown is how long one is kept at the most. A consent actor that dies while it renews a consent leaves guards with
	// the old one, which the user has given too, for so long.
	keepKnown = time.Minute
)

type pendingStart struct {
	cancel context.CancelCauseFunc
	over   chan struct{}
	once   sync.Once
}

var (
	errRevoked = errors.New("consent was revoked before the start")
	errLapsed  = errors.New("the guard's lease has lapsed before the start")
)

// NewGuard opens the guard of one process's connection.
func NewGuard(
	ctx context.Context, conn *mesh.Conn, p *mesh.Membership, now func() time.Time,
) (*Guard, error) {
	states, err := kv.Open[subjects.ConsentState](ctx, conn.JS, kv.ConsentState)
	if err != nil {
		return nil, fmt.Errorf("opening the bucket of consent states: %w", err)
	}
	g := &Guard{presence: p, states: states, now: now, pending: map[string]map[*pendingStart]struct{}{}, known: map[string]knownState{}}
	p.Handle(mesh.BarrierConsent, func(ctx context.Context, s mesh.Barrier) error {
		g.forget(stateKey(s.UserID, s.Scope))
		return g.stop(ctx, s.UserID, s.Scope)
	})
	p.Handle(mesh.BarrierConsentRenewed, func(_ context.Context, s mesh.Barrier) error {
		g.forget(stateKey(s.UserID, s.Scope))
		return nil
	})
	p.OnRejoin(func(context.Context) error {
		g.forgetAll()
		return nil
	})
	return g, nil
}

// Do runs start if the grant's user consents to scope now, and, where the grant names a consent, if that
// one still holds too. start calls started at the moment from which the act can no longer be held
// back (a request written to the wire); until then a revocation cancels its context and waits for it.
//
// The error is CodeConsentRequired with the missing scope, CodeUnavailable while this process cannot
// know, or start's own.
func (g *Guard) Do(
	ctx context.Context, grant mesh.Grant, scope string, start func(ctx context.Context, started func()) error,
) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := &pendingStart{cancel: cancel, over: make(chan struct{})}
	keys := []string{stateKey(grant.UserID, scope)}
	if grant.ConsentID != "" && grant.Scope != scope {
		keys = append(keys, stateKey(grant.UserID, grant.Scope))
	}
	g.register(p, keys)
	defer g.release(p, keys)
	if err := g.consents(ctx, grant, scope); err != nil {
		return err
	}
	return barred(ctx, scope, start(ctx, func() { g.release(p, keys) }))
}

// barred is the error of a start that was held back, or start's own.
func barred(ctx context.Context, scope string, err error) error {
	switch cause := context.Cause(ctx); {
	case err == nil:
		return nil
	case errors.Is(cause, errRevoked):
		return missing(scope, "revoked")
	case errors.Is(cause, errLapsed):
		return unknown(errLapsed)
	}
	return err
}

// DoConsented is Do for a user who consents to scope now, under whatever consent that is: start gets it. It is for what
// begins, and records what it acts under from then on.
func (g *Guard) DoConsented(
	ctx context.Context, userID, scope string, start func(ctx context.Context, grant mesh.Grant) error,
) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := &pendingStart{cancel: cancel, over: make(chan struct{})}
	keys := []string{stateKey(userID, scope)}
	g.register(p, keys)
	defer g.release(p, keys)
	grant, err := g.Check(ctx, userID, scope)
	if err != nil {
		return err
	}
	return barred(ctx, scope, start(ctx, grant))
}

// consents answers whether both the grant, where it names a consent, and the scope hold.
func (g *Guard) consents(ctx context.Context, grant mesh.Grant, scope string) error {
	if grant.ConsentID != "" {
		if err := g.CheckGrant(ctx, grant); err != nil || grant.Scope == scope {
			return err
		}
	}
	_, err := g.Check(ctx, grant.UserID, scope)
	return err
}

// watch cancels the starts that are still pending when the process's lease lapses: from then on revocations do not wait for
// them any more. The lease's last fifth is the time that this takes. It ends once nothing is pending.
func (g *Guard) watch() {
	tick := time.NewTicker(mesh.LeaseLength / 20)
	defer tick.Stop()
	for range tick.C {
		lapsed := !g.presence.Live()
		g.mu.Lock()
		if g.watched = len(g.pending) > 0; !g.watched {
			g.mu.Unlock()
			return
		}
		if lapsed {
			for _, starts := range g.pending {
				for p := range starts {
					p.cancel(errLapsed)
				}
			}
		}
		g.mu.Unlock()
	}
}

// Check answers whether the user consents to scope now, and under which consent.
func (g *Guard) Check(ctx context.Context, userID, scope string) (mesh.Grant, error) {
	state, err := g.state(ctx, userID, scope)
	if err != nil {
		return mesh.Grant{}, err
	}
	return mesh.Grant{UserID: userID, Scope: scope, ConsentID: state.ConsentID}, nil
}

// CheckGrant answers whether the very consent that a service acts under still holds, itself or renewed
// without a revocation between.
func (g *Guard) CheckGrant(ctx context.Context, grant mesh.Grant) error {
	if grant.UserID == "" || grant.Scope == "" || grant.ConsentID == "" {
		return subjects.Errorf(subjects.CodeForbidden, "the message names no grant")
	}
	state, err := g.state(ctx, grant.UserID, grant.Scope)
	if err != nil {
		return err
	}
	if !covers(state, grant.ConsentID) { // it may be of a renewal that this process has not heard of yet
		g.forget(stateKey(grant.UserID, grant.Scope))
		if state, err = g.state(ctx, grant.UserID, grant.Scope); err != nil {
			return err
		}
	}
	if !covers(state, grant.ConsentID) {
		return missing(grant.Scope, "revoked")
	}
	return nil
}

// covers tells that a state is a consent's or continues it.
func covers(state subjects.ConsentState, consentID string) bool {
	return state.ConsentID == consentID || slices.Contains(state.Continues, consentID)
}

// state returns the active state of a consent or CodeConsentRequired.
func (g *Guard) state(ctx context.Context, userID, scope string) (subjects.ConsentState, error) {
	key := stateKey(userID, scope)
	g.mu.Lock()
	known, ok := g.known[key]
	changes := g.changes
	g.mu.Unlock()
	if !g.presence.Live() {
		return subjects.ConsentState{}, unknown(errLapsed)
	}
	if ok && !g.expired(known.ConsentState) && g.now().Sub(known.at) < keepKnown {
		return known.ConsentState, nil
	}
	entry, err := g.states.Get(ctx, key)
	if errors.Is(err, kv.ErrNotFound) {
		return subjects.ConsentState{}, missing(scope, "missing")
	}
	if err != nil {
		if ctx.Err() != nil && errors.Is(context.Cause(ctx), errRevoked) {
			return subjects.ConsentState{}, missing(scope, "revoked")
		}
		return subjects.ConsentState{}, unknown(err)
	}
	state := entry.Value
	if state.Status != "active" {
		return state, missing(scope, "revoked")
	}
	if g.expired(state) {
		return state, missing(scope, "expired")
	}
	g.remember(key, state, changes)
	return state, nil
}

func (g *Guard) expired(state subjects.ConsentState) bool {
	return state.ExpiresAt != nil && !g.now().Before(*state.ExpiresAt)
}

// remember keeps a state, unless something was forgotten since its reading began.
func (g *Guard) remember(key string, state subjects.ConsentState, changes uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changes != changes {
		return
	}
	if len(g.known) >= maxKnown {
		clear(g.known)
	}
	g.known[key] = knownState{ConsentState: state, at: g.now()}
}

func (g *Guard) forget(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.changes++
	delete(g.known, key)
}

func (g *Guard) forgetAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.changes++
	clear(g.known)
}

func unknown(cause error) error {
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Detail: "consent cannot be checked right now", RetryAfter: RetrySoon, Cause: cause,
	}
}

func missing(scope, reason string) error {
	return &subjects.Error{
		Code: subjects.CodeConsentRequired, Scope: scope,
		Detail: fmt.Sprintf("the user's consent to %s is %s", scope, reason),
	}
}

func stateKey(userID, scope string) string { return kv.EncodeKey(userID, scope) }

func (g *Guard) register(p *pendingStart, keys []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, key := range keys {
		if g.pending[key] == nil {
			g.pending[key] = map[*pendingStart]struct{}{}
		}
		g.pending[key][p] = struct{}{}
	}
	if !g.watched {
		g.watched = true
		go g.watch()
	}
}

// release ends the time in which a revocation may hold the start back.
func (g *Guard) release(p *pendingStart, keys []string) {
	p.once.Do(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, key := range keys {
			delete(g.pending[key], p)
			if len(g.pending[key]) == 0 {
				delete(g.pending, key)
			}
		}
		close(p.over)
	})
}

// stop cancels what has registered and not started under a user's scope, and waits for it to be over.
func (g *Guard) stop(ctx context.Context, userID, scope string) error {
	g.mu.Lock()
	waiting := make([]*pendingStart, 0, len(g.pending[stateKey(userID, scope)]))
	for p := range g.pending[stateKey(userID, scope)] {
		waiting = append(waiting, p)
	}
	g.mu.Unlock()
	for _, p := range waiting {
		p.cancel(errRevoked)
	}
	for _, p := range waiting {
		select {
		case <-p.over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// retrySoon is what a caller is told to wait when something is away for a moment.
const RetrySoon = time.Second
