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
// and not in force; reconcile publishes it at the next start.
func (a *Actor) grant(ctx context.Context, r subjects.GrantConsentRequest) (subjects.GrantedConsent, error) {
	now := a.Now()
	record, err := a.recordOf(ctx, r)
	if err != nil {
		return subjects.GrantedConsent{}, err
	}
	expiresAt, err := expiryOf(r.ExpiresAt, now, a.config)
	if err != nil {
		return subjects.GrantedConsent{}, err
	}
	c := consentRow{
		ID: a.NewID(), UserID: actors.CallerFrom(ctx).UserID, Scope: r.Scope, Purpose: r.Purpose,
		Jurisdiction: r.Jurisdiction, Status: subjects.ConsentActive, GrantedAt: now.UnixMicro(), ExpiresAt: expiresAt.UnixMicro(),
		Continues: []string{}, recordColumns: record,
	}
	c, err = idempotency.Step(ctx, a.DB, "record", func(ctx context.Context, tx database.Tx) (consentRow, error) {
		return a.recordGrant(ctx, tx, c)
	})
	if err != nil {
		return subjects.GrantedConsent{}, err
	}
	if err := a.publish(ctx, c); err != nil {
		return subjects.GrantedConsent{}, err
	}
	signed, err := a.signedReceipt(ctx, c)
	return subjects.GrantedConsent{Consent: c.resource(now), Receipt: signed}, err
}

// recordGrant inserts the consent as the next version of its scope and supersedes the active one, both with their
// entries in history and ledger.
func (a *Actor) recordGrant(ctx context.Context, tx database.Tx, c consentRow) (consentRow, error) {
	if _, err := a.ledgerSubject(ctx, tx, c.UserID); err != nil {
		return c, err
	}
	// Serialises the user's grants, so that no two take the same version.
	if err := a.store.lockSubject(ctx, tx, c.UserID); err != nil {
		return c, err
	}
	if err := a.bounds.Reserve(ctx, tx, a.bounds.grants, c.UserID, 1); err != nil {
		return c, err
	}
	old, err := a.store.latest(ctx, c.UserID, c.Scope)
	switch {
	case errors.Is(err, errNoConsent):
		c.Version = 1
	case err != nil:
		return c, err
	default:
		c.Version = old.Version + 1
		if old.statusAt(a.Now()) == subjects.ConsentActive {
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

// supersede ends a consent in favour of another; it does nothing where the consent has ended already.
func (a *Actor) supersede(ctx context.Context, tx database.Tx, old consentRow, by string) error {
	old.Status, old.SupersededBy = subjects.ConsentSuperseded, by
	ended, err := a.store.end(ctx, tx, old)
	if err != nil || !ended {
		return err
	}
	return a.recordChange(ctx, tx, old, subjects.ConsentSuperseded, "")
}
