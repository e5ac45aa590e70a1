package consent

import (
	"context"
	"errors"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/subjects"
)

// grant records a consent in SQL and then publishes it to guards. After a crash between the two the consent is recorded
// and not in force; reconcile publishes it at the next start. A refusal is recorded alone.
func (a *Actor) grant(ctx context.Context, r subjects.GrantConsentRequest) (subjects.GrantedConsent, error) {
	none := subjects.GrantedConsent{}
	now := a.Now()
	record, place, err := a.recordOf(ctx, r)
	if err != nil {
		return none, err
	}
	expiresAt, err := expiryOf(r.ExpiresAt, now, a.config)
	if err != nil {
		return none, err
	}
	if err := a.observeGPC(ctx, place); err != nil {
		return none, err
	}
	c := consentRow{
		UserID: actors.CallerFrom(ctx).UserID, Scope: r.Scope, Purpose: r.Purpose,
		Jurisdiction: place, Status: subjects.ConsentActive, ExpiresAt: expiresAt.UnixMicro(),
		Continues: []string{}, recordColumns: record,
	}
	if r.Decision == subjects.DecisionRefused {
		c.Status, c.GPCConflict = subjects.ConsentRefused, false
	}
	c, err = idempotency.Step(ctx, a.DB, "record", func(ctx context.Context, tx database.Tx) (consentRow, error) {
		return a.record(ctx, tx, c)
	})
	if err != nil {
		return none, err
	}
	if c.Status == subjects.ConsentActive {
		if c, err = a.renewIfOutdated(ctx, c); err != nil {
			return none, err
		}
		if err := a.publish(ctx, c); err != nil {
			return none, err
		}
	}
	signed, err := receiptIssuer{a}.signedReceipt(ctx, c)
	return subjects.GrantedConsent{Consent: c.resource(now), Receipt: signed}, err
}

// record inserts a consent or a refusal as the next version of its scope, with its entry in history and ledger.
func (a *Actor) record(ctx context.Context, tx database.Tx, c consentRow) (consentRow, error) {
	if _, err := a.ledgerSubject(ctx, tx, c.UserID); err != nil {
		return c, err
	}
	// Serialises the user's grants, so that no two take the same version.
	if err := a.store.lockSubject(ctx, tx, c.UserID); err != nil {
		return c, err
	}
	// Ids and times are in the order of versions.
	c.ID, c.GrantedAt = a.NewID(), a.Now().UnixMicro()
	if err := a.bounds.Reserve(ctx, tx, a.bounds.grants, c.UserID, 1); err != nil {
		return c, err
	}
	old, err := a.store.latest(ctx, c.UserID, c.Scope)
	if err != nil && !errors.Is(err, errNoConsent) {
		return c, err
	}
	c.Version = old.Version + 1
	if old, err = a.store.activeOf(ctx, c.UserID, c.Scope); err != nil && !errors.Is(err, errNoConsent) {
		return c, err
	}
	if c.Status == subjects.ConsentRefused {
		return a.recordRefusal(ctx, tx, c, old)
	}
	return a.recordGrant(ctx, tx, c, old)
}

// recordGrant inserts a consent and supersedes the active one, which has no id where there is none.
func (a *Actor) recordGrant(ctx context.Context, tx database.Tx, c, old consentRow) (consentRow, error) {
	if err := a.checkNotice(ctx, c); err != nil {
		return c, err
	}
	var err error
	if c.GPCConflict, err = a.gpcConflict(ctx, c); err != nil {
		return c, err
	}
	if old.ID != "" {
		switch old.statusAt(a.Now()) {
		case subjects.ConsentActive, subjects.ConsentRenewalRequired:
			c.Continues = continuesAfter(old.ID, old.Continues)
		}
		if err := a.supersede(ctx, tx, old, c.ID); err != nil {
			return c, err
		}
	}
	if err := a.store.insert(ctx, tx, &c); err != nil {
		return c, err
	}
	return c, a.recordChange(ctx, tx, c, changeGranted, "")
}

// recordRefusal inserts a refusal. It ends no consent: while one is in force it fails, so that nobody takes it for a revocation.
func (a *Actor) recordRefusal(ctx context.Context, tx database.Tx, c, old consentRow) (consentRow, error) {
	if old.ID != "" && old.statusAt(a.Now()) == subjects.ConsentActive {
		return c, &subjects.Error{
			Code: subjects.CodeConflict, Reason: subjects.ReasonConsentActive, Scope: c.Scope,
			Detail: "the consent " + old.ID + " is in force, and a refusal would not end it: revoke it",
		}
	}
	if err := a.store.insert(ctx, tx, &c); err != nil {
		return c, err
	}
	return c, a.recordChange(ctx, tx, c, subjects.ConsentRefused, "")
}

// gpcConflict reports whether a consent contradicts the directive of its account. It may do so only where the notice that it answers said so
// (11 CCR 7025(c)(3)). The account's subject is locked.
func (a *Actor) gpcConflict(ctx context.Context, c consentRow) (bool, error) {
	if p, _ := a.purposes.of(c.Scope); p.SaleOrShare == "" {
		return false, nil
	}
	_, err := a.store.directive(ctx, c.UserID)
	if errors.Is(err, errNoDirective) {
		return c.GPCConflict, nil // the token of a signal that was seen before the sign-in
	}
	if err != nil {
		return false, err
	}
	if !c.GPCConflict {
		return false, &subjects.Error{
			Code: subjects.CodeConflict, Reason: subjects.ReasonGPCConflict, Scope: c.Scope,
			Detail: "the user's Global Privacy Control opts out of this scope: serve the notice, which says so, and send its notice_token",
		}
	}
	return true, nil
}

// supersede ends a consent in favour of another; it does nothing where the consent has ended already.
func (a *Actor) supersede(ctx context.Context, tx database.Tx, old consentRow, by string) error {
	old.Status, old.SupersededBy = subjects.ConsentSuperseded, by
	old, ended, err := a.store.end(ctx, tx, old)
	if err != nil || !ended {
		return err
	}
	return a.recordChange(ctx, tx, old, subjects.ConsentSuperseded, "")
}
