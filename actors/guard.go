package actors

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Guard checks consent at the moment when something starts on a user's behalf, and takes part in revocations: once revoke_consent has
// returned, nothing starts under the revoked consent. It refuses everything for a blocked account, one that was disabled or deleted, in
// the same way: once the block has returned, nothing starts for the account.
//
// Do first registers what is about to start and then reads the consent's state. A revocation first writes the state and then asks
// every guard, which cancels the registered starts and waits for their end. So either the read sees the revocation or the revocation
// sees the registration, and the state needs no watch. For the same reason a state that was read may be cached until a revocation asks
// or the lease expires (docs/adr/0007).
//
// A process that is paused between its check and its act resumes with a lease that has expired, and the revocation has not waited for
// it. What starts therefore calls Permit right before it acts. Between Permit and the act there is no further check: a process that is
// paused in exactly these few instructions, for longer than its lease, acts when it resumes (docs/adr/0012).
type Guard struct {
	guardInputs

	mu sync.Mutex
	// pending has the starts that a revocation can still hold back, by the key of their consent's state.
	pending map[consentKey]map[*pendingStart]struct{}
	// watching means that a goroutine watches the lease for the pending starts.
	watching bool
	// cached has active states. invalidations counts removals, so that a state read before one is not cached after it.
	cached        map[consentKey]*cachedState
	invalidations uint64
}

// guardInputs is what a guard knows from outside itself.
type guardInputs struct {
	// live reports whether the process's lease is valid.
	live func() bool
	// blocked reports whether an account is blocked.
	blocked func(userID string) bool
	// read reads a state from the leader of the bucket. Its error is kv.ErrNotFound if there is none.
	read func(ctx context.Context, userID, scope string) (subjects.ConsentState, error)
	now  func() time.Time
	// permit refuses what this process may not do for a user; nil permits it. See Restrict.
	permit func(userID string) error
}

// Restrict has the guard refuse with permit's error whatever permit refuses for a user, before it looks at consents. It must be called before
// the guard is used.
func (g *Guard) Restrict(permit func(userID string) error) { g.permit = permit }

func newGuard(inputs guardInputs) *Guard {
	return &Guard{guardInputs: inputs, pending: map[consentKey]map[*pendingStart]struct{}{}, cached: map[consentKey]*cachedState{}}
}

// pendingStart is a start that a revocation can cancel. done is closed when it has started or ended.
type pendingStart struct {
	guard  *Guard
	keys   []consentKey
	ctx    context.Context //nolint:containedctx // Permit reads why it ended
	cancel context.CancelCauseFunc
	// expired is set once the process's lease has expired since the registration, even if it was renewed afterwards.
	expired atomic.Bool
	done    chan struct{}
	once    sync.Once
}

var (
	errRevoked      = errors.New("consent was revoked before the start")
	errBlocked      = errors.New("the account was blocked before the start")
	errLeaseExpired = errors.New("the guard's lease expired before the start")
)

// NewGuard returns the guard of a process's connection.
func NewGuard(
	ctx context.Context, conn *mesh.Conn, membership *mesh.Membership, now func() time.Time,
) (*Guard, error) {
	states, err := kv.Open[subjects.ConsentState](ctx, conn.JS, kv.ConsentState)
	if err != nil {
		return nil, fmt.Errorf("opening the bucket of consent states: %w", err)
	}
	blocked, err := mesh.WatchBlockedAccounts(ctx, membership)
	if err != nil {
		return nil, err
	}
	g := newGuard(guardInputs{
		live: membership.Live, blocked: blocked.Has, now: now,
		read: func(ctx context.Context, userID, scope string) (subjects.ConsentState, error) {
			entry, err := states.Get(ctx, kv.EncodeKey(userID, scope))
			return entry.Value, err
		},
	})
	// Runs after the handler that waits until the block is known.
	membership.Handle(mesh.BarrierAccount, g.accountBlocked)
	membership.Handle(mesh.BarrierConsent, g.consentRevoked)
	membership.Handle(mesh.BarrierConsentRenewed, g.consentRenewed)
	membership.Handle(mesh.BarrierConsents, g.consentsChanged)
	membership.OnRejoin(g.rejoined)
	return g, nil
}

// accountBlocked handles mesh.BarrierAccount.
func (g *Guard) accountBlocked(ctx context.Context, s mesh.Barrier) error {
	if !g.blocked(s.UserID) {
		return nil // it was unblocked
	}
	return g.cancelPending(ctx, accountKey(s.UserID), errBlocked)
}

// consentRevoked handles mesh.BarrierConsent.
func (g *Guard) consentRevoked(ctx context.Context, s mesh.Barrier) error {
	g.invalidate(stateKey(s.UserID, s.Scope))
	return g.cancelPending(ctx, stateKey(s.UserID, s.Scope), errRevoked)
}

// consentRenewed handles mesh.BarrierConsentRenewed.
func (g *Guard) consentRenewed(_ context.Context, s mesh.Barrier) error {
	g.invalidate(stateKey(s.UserID, s.Scope))
	return nil
}

// consentsChanged handles mesh.BarrierConsents.
func (g *Guard) consentsChanged(context.Context, mesh.Barrier) error {
	g.invalidateAll()
	return nil
}

// rejoined runs before the process's lease is valid again after it had expired: revocations have not waited for it meanwhile.
func (g *Guard) rejoined(context.Context) error {
	g.invalidateAll()
	g.expireAll()
	return nil
}

// Do runs start if the grant's user consents to scope at present and, if the grant names a consent, that consent is still active.
// start must call Permit right before it acts, and started when the action can no longer be held back, such as after writing a request
// to the wire. Until then a revocation cancels start's context and waits for its end.
//
// The error is CodeConsentRequired with the missing scope, CodeForbidden with ReasonAccountBlocked for a blocked account, CodeUnavailable
// while this process cannot check consent, or start's own.
func (g *Guard) Do(
	ctx context.Context, grant mesh.Grant, scope string, start func(ctx context.Context, started func()) error,
) error {
	keys := []consentKey{accountKey(grant.UserID), stateKey(grant.UserID, scope)}
	if grant.ConsentID != "" && grant.Scope != scope {
		keys = append(keys, stateKey(grant.UserID, grant.Scope))
	}
	ctx, pending := g.register(ctx, keys)
	defer pending.end()
	if err := g.checkBoth(ctx, grant, scope); err != nil {
		return err
	}
	return startError(ctx, scope, start(ctx, pending.release))
}

// DoConsented is Do under whichever consent of the user to scope is active; start gets it as a grant, to record what it acts under. A
// revocation cancels start until it has returned.
func (g *Guard) DoConsented(
	ctx context.Context, userID, scope string, start func(ctx context.Context, grant mesh.Grant) error,
) error {
	ctx, pending := g.register(ctx, []consentKey{accountKey(userID), stateKey(userID, scope)})
	defer pending.end()
	grant, err := g.Check(ctx, userID, scope)
	if err != nil {
		return err
	}
	return startError(ctx, scope, start(ctx, grant))
}

// DoGranted is Do under the grant alone, for what needs no other consent than the one that it names. A revocation cancels start and waits
// until it has returned. held reports whether this process's lease has been valid since the check: if not, revocations have not waited for
// start. The error is CodeForbidden for an incomplete grant.
func (g *Guard) DoGranted(ctx context.Context, grant mesh.Grant, start func(ctx context.Context, held func() bool) error) error {
	ctx, pending := g.register(ctx, []consentKey{accountKey(grant.UserID), stateKey(grant.UserID, grant.Scope)})
	defer pending.end()
	if err := g.CheckGrant(ctx, grant); err != nil {
		return err
	}
	return startError(ctx, grant.Scope, start(ctx, pending.held))
}

// Blocked reports whether nothing may start for an account: it is disabled, or was deleted.
func (g *Guard) Blocked(userID string) bool { return g.blocked(userID) }

// Permit is the last check before an act that a Guard has let start, in the context that its start was given. It refuses if the start
// was held back, or if this process's lease has expired since the consent was checked. Outside a start it permits everything.
func Permit(ctx context.Context) error {
	p, ok := ctx.Value(startKey{}).(*pendingStart)
	if !ok {
		return nil
	}
	if !p.held() {
		return errLeaseExpired
	}
	return context.Cause(p.ctx)
}

// held reports whether the process's lease has been valid since the start was registered.
func (p *pendingStart) held() bool {
	if !p.guard.live() {
		p.expire()
	}
	return !p.expired.Load()
}

// expire holds the start back because the process's lease has expired.
func (p *pendingStart) expire() {
	p.expired.Store(true)
	p.cancel(errLeaseExpired)
}

type startKey struct{}

// checkBoth checks the grant's consent, if it names one, and the user's consent to scope.
func (g *Guard) checkBoth(ctx context.Context, grant mesh.Grant, scope string) error {
	if grant.ConsentID != "" {
		if err := g.CheckGrant(ctx, grant); err != nil || grant.Scope == scope {
			return err
		}
	}
	_, err := g.Check(ctx, grant.UserID, scope)
	return err
}

// startError returns the error of a start: the revocation or the expired lease that canceled ctx, or err.
func startError(ctx context.Context, scope string, err error) error {
	switch cause := context.Cause(ctx); {
	case err == nil:
		return nil
	case errors.Is(cause, errRevoked):
		return consentRequired(scope, "revoked")
	case errors.Is(cause, errBlocked):
		return accountBlocked()
	case errors.Is(cause, errLeaseExpired):
		return cannotCheck(errLeaseExpired)
	}
	return err
}

// register adds a pending start to the keys. The returned context ends if the start must be held back.
func (g *Guard) register(ctx context.Context, keys []consentKey) (context.Context, *pendingStart) {
	p := &pendingStart{guard: g, keys: keys, done: make(chan struct{})}
	ctx, p.cancel = context.WithCancelCause(context.WithValue(ctx, startKey{}, p))
	p.ctx = ctx
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, key := range keys {
		if g.pending[key] == nil {
			g.pending[key] = map[*pendingStart]struct{}{}
		}
		g.pending[key][p] = struct{}{}
	}
	if !g.watching {
		g.watching = true
		go g.watchLease() //nolint:gosec // serves all pending starts, and so outlives this one's context
	}
	return ctx, p
}

// release removes the start: revocations no longer cancel it or wait for it.
func (p *pendingStart) release() {
	p.once.Do(func() {
		g := p.guard
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, key := range p.keys {
			delete(g.pending[key], p)
			if len(g.pending[key]) == 0 {
				delete(g.pending, key)
			}
		}
		close(p.done)
	})
}

// end releases the start and its context.
func (p *pendingStart) end() {
	p.release()
	p.cancel(nil)
}

// cancelPending cancels the pending starts of a key and waits for their end.
func (g *Guard) cancelPending(ctx context.Context, key consentKey, cause error) error {
	g.mu.Lock()
	starts := slices.Collect(maps.Keys(g.pending[key]))
	g.mu.Unlock()
	for _, p := range starts {
		p.cancel(cause)
	}
	for _, p := range starts {
		select {
		case <-p.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// expireAll holds all pending starts back.
func (g *Guard) expireAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, starts := range g.pending {
		for p := range starts {
			p.expire()
		}
	}
}

// watchLease cancels pending starts when the process's lease expires, because revocations do not wait for this process afterwards. It
// checks 20 times per lease, and the lease counts as expired a fifth before its end. It returns when no start is pending.
func (g *Guard) watchLease() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	_ = wait.Every(ctx, mesh.LeaseLength/20, func() {
		if !g.live() {
			g.expireAll()
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if len(g.pending) == 0 {
			g.watching = false
			stop()
		}
	})
}
