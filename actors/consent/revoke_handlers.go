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
		return subjects.Consent{}, coded(err)
	}
	switch c.Status {
	case statusRevoked:
		return c.resource(a.Now()), nil
	case statusSuperseded:
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
		return subjects.Consent{}, coded(err)
	}
	return c.resource(a.Now()), nil
}

// recordRevocation marks an active consent as revoked and records the change. One that has ended already is returned as
// it is stored.
func (a *Actor) recordRevocation(ctx context.Context, tx database.Tx, c consentRow, reason string) (consentRow, error) {
	c.Status, c.RevokedAt, c.RevokeReason = statusRevoked, a.Now().UnixMicro(), reason
	ended, err := a.store.end(ctx, tx, c)
	if err != nil {
		return c, err
	}
	if !ended {
		return a.store.consent(ctx, c.UserID, c.ID)
	}
	return c, a.recordChange(ctx, tx, c, statusRevoked, reason)
}
