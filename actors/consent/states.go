package consent

import (
	"context"
	"errors"
	"fmt"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// errSuperseded is deny's error where the bucket holds a newer consent to the same scope.
var errSuperseded = errors.New("superseded")

// publish writes an active consent to the bucket. Where it replaces an active state, publish returns only after every
// guard has dropped the replaced one, which may expire later than the new one.
func (a *Actor) publish(ctx context.Context, c consentRow) error {
	renews := false
	_, err := a.states.Mutate(ctx, kv.EncodeKey(c.UserID, c.Scope),
		func(old subjects.ConsentState, known bool) (subjects.ConsentState, bool, error) {
			if !replaces(c.Version, old, known) {
				// A retry of a call that failed while it waited for the guards waits for them again.
				renews = old.ConsentID == c.ID && c.Version > 1
				return old, true, nil
			}
			renews = known && old.Status != subjects.ConsentRevoked
			return c.state(), true, nil
		}, 0)
	if err != nil {
		return fmt.Errorf("publishing a consent: %w", err)
	}
	if !renews {
		return nil
	}
	return mesh.RaiseBarrier(ctx, a.Conn, mesh.Barrier{Kind: mesh.BarrierConsentRenewed, UserID: c.UserID, Scope: c.Scope})
}

// deny writes a revocation to the bucket and returns once every live guard has acknowledged it or lost its lease.
func (a *Actor) deny(ctx context.Context, c consentRow) error {
	_, err := a.states.Mutate(ctx, kv.EncodeKey(c.UserID, c.Scope),
		func(old subjects.ConsentState, known bool) (subjects.ConsentState, bool, error) {
			if known && old.Version > c.Version {
				return old, true, errSuperseded
			}
			denied := c.state()
			denied.Status, denied.Continues = subjects.ConsentRevoked, nil
			return denied, true, nil
		}, 0)
	if err != nil {
		return fmt.Errorf("writing a revocation: %w", err)
	}
	return mesh.RaiseBarrier(ctx, a.Conn, mesh.Barrier{Kind: mesh.BarrierConsent, UserID: c.UserID, Scope: c.Scope})
}

// hold writes to the bucket that an active consent needs a renewal or is suppressed. It does nothing where the bucket has another consent to
// the scope, or a revocation.
func (a *Actor) hold(ctx context.Context, c consentRow) error {
	_, err := a.states.Mutate(ctx, kv.EncodeKey(c.UserID, c.Scope),
		func(old subjects.ConsentState, known bool) (subjects.ConsentState, bool, error) {
			if known && (old.Version > c.Version || old.ConsentID == c.ID && old.Status == subjects.ConsentRevoked) {
				return old, true, nil
			}
			return c.state(), true, nil
		}, 0)
	if err != nil {
		return fmt.Errorf("holding a consent: %w", err)
	}
	return nil
}

// deleteStates removes a user's states that deny: guards deny without a state as they do with one of these. An active
// state belongs to a consent that was granted during the erasure and stays for the next round.
func (a *Actor) deleteStates(ctx context.Context, userID string) error {
	keys, err := a.states.Keys(ctx, kv.EncodeKey(userID)+".*")
	if err != nil {
		return fmt.Errorf("listing the states of a user: %w", err)
	}
	for _, key := range keys {
		state, err := a.states.Get(ctx, key)
		if errors.Is(err, kv.ErrNotFound) {
			continue
		}
		if err == nil && state.Value.Status != subjects.ConsentActive {
			err = a.states.DeleteRevision(ctx, key, state.Revision)
		}
		if err != nil && !errors.Is(err, kv.ErrConflict) && !errors.Is(err, kv.ErrNotFound) {
			return fmt.Errorf("deleting a consent's state: %w", err)
		}
	}
	return nil
}
