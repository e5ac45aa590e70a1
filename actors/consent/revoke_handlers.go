package consent

import (
	"context"
	"errors"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/subjects"
)

// revoke writes the revocation where guards read it, waits for every live guard to acknowledge it, records it in SQL
// and returns. Revoking a revoked consent returns it unchanged.
func (a *Actor) revoke(ctx context.Context, r subjects.RevokeConsentRequest) (subjects.Consent, error) {
	c, err := a.store.consent(ctx, actors.CallerFrom(ctx).UserID, r.ConsentID)
	if err != nil {
		return subjects.Consent{}, err
	}
	switch c.Status {
	case subjects.ConsentRevoked:
		return c.resource(a.Now()), nil
	case subjects.ConsentRefused:
		return subjects.Consent{}, subjects.Errorf(subjects.CodeConflict, "a refusal is no consent: there is nothing to revoke")
	case subjects.ConsentSuperseded:
		return subjects.Consent{}, subjects.Errorf(subjects.CodeConflict, "superseded by %s: revoke that consent", c.SupersededBy)
	}
	err = a.deny(ctx, c)
	if errors.Is(err, errSuperseded) {
		return subjects.Consent{}, subjects.Errorf(subjects.CodeConflict, "superseded by a concurrent grant: revoke the newer consent")
	}
	if err != nil {
		return subjects.Consent{}, err
	}
	c, err = idempotency.Step(ctx, a.DB, "revoke", func(ctx context.Context, tx database.Tx) (consentRow, error) {
		return a.recordRevocation(ctx, tx, c, r.Reason)
	})
	if err != nil {
		return subjects.Consent{}, err
	}
	return c.resource(a.Now()), nil
}

// recordRevocation marks an active consent as revoked and records the change. One that has ended already is returned as
// it is stored.
func (a *Actor) recordRevocation(ctx context.Context, tx database.Tx, c consentRow, reason string) (consentRow, error) {
	c.Status, c.RevokedAt, c.RevokeReason = subjects.ConsentRevoked, a.Now().UnixMicro(), reason
	c, ended, err := a.store.end(ctx, tx, c)
	if err != nil || !ended {
		return c, err
	}
	return c, a.recordChange(ctx, tx, c, subjects.ConsentRevoked, reason)
}
