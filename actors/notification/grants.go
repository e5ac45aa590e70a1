package notification

import (
	"context"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// grant is the consent under which a notification was sent; without a consent if the user has sent it.
func (n notificationRow) grant() mesh.Grant {
	return mesh.Grant{UserID: n.UserID, Scope: n.GrantScope, ConsentID: n.GrantConsent}
}

// permitted runs act, which accepts, starts or delivers a notification, under the consent under which it was sent, if it was under one, and under the
// user's consent to marketing where the notification is that. A batch's message needs the consents of all its items. A revocation of any waits until
// act has returned. The consents are checked each time, and so also of what was queued or waited for a retry.
func (pl *pipeline) permitted(ctx context.Context, n notificationRow, act func(context.Context) error) error {
	grants := []mesh.Grant{n.grant()}
	if n.IsBatch {
		var err error
		if grants, err = pl.store.grantsOfItems(ctx, n.UserID, n.ID); err != nil {
			return err
		}
	}
	for _, grant := range grants {
		if inner := act; grant.ConsentID != "" {
			act = func(ctx context.Context) error {
				return pl.Guard.DoGranted(ctx, grant, func(ctx context.Context, _ func() bool) error { return inner(ctx) })
			}
		}
	}
	if n.Category != categoryMarketing {
		return act(ctx)
	}
	return pl.Guard.DoConsented(ctx, n.UserID, subjects.ScopeNotificationsMarketing, func(ctx context.Context, _ mesh.Grant) error {
		return act(ctx)
	})
}

// dropUnpermitted suppresses the items of a due batch whose consent is gone, and reports whether there were some.
func (pl *pipeline) dropUnpermitted(ctx context.Context, b batchRow) (dropped bool, err error) {
	rows, err := pl.store.grantedItems(ctx, b.ID)
	if err != nil {
		return false, err
	}
	for _, n := range rows {
		if err := pl.Guard.CheckGrant(ctx, n.grant()); subjects.CodeOf(err) != subjects.CodeConsentRequired {
			continue // what else fails is seen when the batch is sent
		}
		if err := pl.dropItem(ctx, b, n); err != nil {
			return dropped, err
		}
		dropped = true
	}
	return dropped, nil
}

// dropItem suppresses one item of a batch.
func (pl *pipeline) dropItem(ctx context.Context, b batchRow, n notificationRow) error {
	return pl.changed(ctx, func(ctx context.Context, tx database.Tx) error {
		if open, err := pl.store.dropItem(ctx, tx, b.ID); err != nil || !open {
			return err
		}
		byID, err := pl.store.deliveries(ctx, []string{n.ID})
		if err != nil {
			return err
		}
		for _, d := range byID[n.ID] {
			if d.Channel != b.Channel || d.BatchID != b.ID {
				continue
			}
			done := d.apply(suppress(reasonConsent), pl.Now())
			done.SlotAt = 0
			if err := pl.settle(ctx, tx, n, d, done); err != nil {
				return err
			}
		}
		return nil
	})
}
