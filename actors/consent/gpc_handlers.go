package consent

import (
	"context"
	"errors"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// gpcStatus answers what Global Privacy Control does for the caller.
func (a *Actor) gpcStatus(ctx context.Context, r subjects.GPCStatusRequest) (subjects.GPCStatus, error) {
	caller, region := actors.CallerFrom(ctx), canonicalPlace(r.Region)
	status := subjects.GPCStatus{Signal: caller.GPC, Region: region, Applies: gpcApplies(region), Suppressed: []string{}, Conflicts: []subjects.GPCConflict{}}
	scopes := a.purposes.saleScopes()
	if caller.UserID == "" {
		if status.Signal && status.Applies {
			status.Suppressed = suppressedOf(scopes, nil)
		}
		return status, nil
	}
	if err := a.observeGPC(ctx, region); err != nil {
		return status, err
	}
	directive, err := a.store.directive(ctx, caller.UserID)
	if errors.Is(err, errNoDirective) {
		return status, nil
	}
	if err != nil {
		return status, err
	}
	status.Directive = &subjects.GPCDirective{Since: time.UnixMicro(directive.Since).UTC(), Region: directive.Region}
	rows, err := a.store.optedIn(ctx, caller.UserID, scopes, a.Now())
	if err != nil {
		return status, err
	}
	for _, c := range rows {
		status.Conflicts = append(status.Conflicts, subjects.GPCConflict{Scope: c.Scope, ConsentID: c.ID, GrantedAt: time.UnixMicro(c.GrantedAt).UTC()})
	}
	status.Suppressed = suppressedOf(scopes, status.Conflicts)
	return status, nil
}

// optedOut takes notice of the request's signal, and reports whether it or the directive of the account opts out.
func (a *Actor) optedOut(ctx context.Context, region string) (bool, error) {
	caller := actors.CallerFrom(ctx)
	if err := a.observeGPC(ctx, region); err != nil {
		return false, err
	}
	if caller.GPC && gpcApplies(region) {
		return true, nil
	}
	if caller.UserID == "" {
		return false, nil
	}
	_, err := a.store.directive(ctx, caller.UserID)
	if errors.Is(err, errNoDirective) {
		return false, nil
	}
	return err == nil, err
}

// observeGPC makes the signal of a signed-in user's request the standing directive of the account (11 CCR 7025(c)(1)), and returns once guards
// deny what it suppresses. The absence of the signal changes nothing (4 CCR 904-3, Rule 5.09(B)). It must not be called in a transaction that
// has written.
func (a *Actor) observeGPC(ctx context.Context, region string) error {
	caller := actors.CallerFrom(ctx)
	if !caller.GPC || caller.UserID == "" || !gpcApplies(region) {
		return nil
	}
	seen := gpcSeen{caller.UserID, region}
	if a.directives.Contains(seen) {
		return nil
	}
	row := gpcRow{UserID: caller.UserID, Region: region, Since: a.Now().UnixMicro()}
	added := false
	err := a.DB.RunInTx(a.DB.Detached(ctx), func(ctx context.Context, tx database.Tx) error {
		if _, err := a.ledgerSubject(ctx, tx, row.UserID); err != nil {
			return err
		}
		// Serialises the directive with the user's grants.
		if err := a.store.lockSubject(ctx, tx, row.UserID); err != nil {
			return err
		}
		known, err := a.store.directive(ctx, row.UserID)
		if err == nil && known.Applied && (known.Region != "" || region == "") {
			return nil
		}
		if err != nil && !errors.Is(err, errNoDirective) {
			return err
		}
		added = err != nil
		return a.store.addDirective(ctx, tx, row)
	})
	if err != nil {
		return err
	}
	if err := a.applyDirective(a.DB.Detached(ctx), row.UserID); err != nil {
		return err
	}
	if added {
		a.metrics.gpcDirectives.Inc()
	}
	a.directives.Add(seen, struct{}{})
	return nil
}

// applyDirective suppresses a user's consents to sale and sharing that were given before the directive, in SQL and then where guards read, and
// returns once every live guard denies them.
func (a *Actor) applyDirective(ctx context.Context, userID string) error {
	scopes := a.purposes.saleScopes()
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		rows, err := a.store.unsuppressed(ctx, userID, scopes)
		if err != nil {
			return err
		}
		for _, c := range rows {
			if err := a.recordSuppression(ctx, tx, c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	rows, err := a.store.unsuppressed(ctx, userID, scopes)
	if err != nil {
		return err
	}
	for _, c := range rows {
		if err := a.suppress(ctx, c); err != nil {
			return err
		}
	}
	if err := a.denyUnasked(ctx, userID, scopes); err != nil {
		return err
	}
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return a.store.applyDirective(ctx, tx, userID) })
}

// recordSuppression records that Global Privacy Control suppresses an active consent; it does nothing where that is recorded already.
func (a *Actor) recordSuppression(ctx context.Context, tx database.Tx, c consentRow) error {
	c.SuppressedAt = a.Now().UnixMicro()
	changed, err := a.store.mark(ctx, tx, c, "suppressed_at")
	if err != nil || !changed {
		return err
	}
	return a.recordChange(ctx, tx, c, subjects.ConsentGPC, "")
}

// suppress writes a suppressed consent to the bucket and returns once guards deny it.
func (a *Actor) suppress(ctx context.Context, c consentRow) error {
	if err := a.hold(ctx, c); err != nil {
		return err
	}
	return mesh.RaiseBarrier(ctx, a.Conn, mesh.Barrier{Kind: mesh.BarrierConsent, UserID: c.UserID, Scope: c.Scope})
}

// denyUnasked writes the reason gpc for the scopes that the user never consented to, so that a check says why it denies.
func (a *Actor) denyUnasked(ctx context.Context, userID string, scopes []string) error {
	for _, scope := range scopes {
		_, err := a.states.Create(ctx, kv.EncodeKey(userID, scope), subjects.ConsentState{Status: subjects.ConsentGPC}, 0)
		if err != nil && !errors.Is(err, kv.ErrExists) && !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return nil
}
