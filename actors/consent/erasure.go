package consent

import (
	"context"
	"errors"
	"fmt"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// forget revokes what a user had consented to, as revoke_consent does, and then takes from the record whose it was: the
// consents stay under the ledger's own id for the user, without a word of theirs, and the key goes with which the ledger
// could say more. The ledger itself stays as it is, entry by entry.
func (a *Actor) forget(ctx context.Context, who subjects.AccountDeletion) (int64, error) {
	consents, err := activeOf(ctx, a.DB.DB, who.UserID)
	if err != nil {
		return 0, err
	}
	for _, c := range consents {
		if err := a.deny(ctx, c); err != nil {
			return 0, err
		}
	}
	var items int64
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		for _, c := range consents {
			if _, err := a.recordRevocation(ctx, tx, c, ""); err != nil {
				return err
			}
		}
		row, err := subjectRowOf(ctx, tx, who.UserID)
		if err != nil {
			return err
		}
		if row == nil {
			row = &subjectRow{ID: a.NewID()}
		}
		if items, err = renameSubject(ctx, tx, who.UserID, row.ID); err != nil {
			return err
		}
		return dropSubject(ctx, tx, who.UserID)
	})
	if err != nil {
		return 0, err
	}
	return items, a.dropStates(ctx, who.UserID)
}

// dropStates removes what guards read of a user: no state denies as a revoked one does.
func (a *Actor) dropStates(ctx context.Context, userID string) error {
	for _, scope := range subjects.Scopes() {
		key := kv.EncodeKey(userID, scope)
		state, err := a.states.Get(ctx, key)
		if errors.Is(err, kv.ErrNotFound) {
			continue
		}
		if err == nil && state.Value.Status == revoked {
			// One that is active has come since: the second round of the erasure finds it.
			err = a.states.DeleteRevision(ctx, key, state.Revision)
		}
		if err != nil && !errors.Is(err, kv.ErrConflict) && !errors.Is(err, kv.ErrNotFound) {
			return fmt.Errorf("dropping a consent's state: %w", err)
		}
	}
	return nil
}
