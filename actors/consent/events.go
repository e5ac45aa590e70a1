package consent

import (
	"context"
	"errors"
	"fmt"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// reconcileBatch is the number of consents that reconcile reads at a time.
const reconcileBatch = 500

// reconcile runs once at the start and repairs what a crash left between SQL and the bucket: it publishes recorded
// consents and records published revocations.
func (a *Actor) reconcile(ctx context.Context) error {
	for after := ""; ; {
		rows, err := a.store.activeAfter(ctx, after, reconcileBatch)
		if err != nil {
			return err
		}
		if rows, err = a.suppressDirected(ctx, rows); err != nil {
			return err
		}
		for _, c := range rows {
			if err := a.reconcileOne(ctx, c); err != nil {
				return err
			}
		}
		if len(rows) < reconcileBatch {
			return a.applyDirectives(ctx)
		}
		after = rows[len(rows)-1].ID
	}
}

func (a *Actor) reconcileOne(ctx context.Context, c consentRow) error {
	entry, err := a.states.Get(ctx, kv.EncodeKey(c.UserID, c.Scope))
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return a.publish(ctx, c)
	case err != nil:
		return fmt.Errorf("reading a consent's state: %w", err)
	case entry.Value.ConsentID == c.ID && entry.Value.Status == subjects.ConsentRevoked:
		// Once it is recorded, a repeated revoke_consent returns at once: the guards must have acknowledged it.
		if err := a.deny(ctx, c); errors.Is(err, errSuperseded) {
			return nil
		} else if err != nil {
			return err
		}
		return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			_, err := a.recordRevocation(ctx, tx, c, "")
			return err
		})
	case entry.Value.Version < c.Version:
		return a.publish(ctx, c)
	case entry.Value.ConsentID == c.ID && entry.Value.Status != c.state().Status && c.state().Status != subjects.ConsentActive:
		return a.suppress(ctx, c)
	}
	return nil
}

// suppressDirected suppresses those consents that a directive covers and that were not suppressed when it was recorded, because their purpose
// became one of sale or sharing since. It returns the consents as they are then.
func (a *Actor) suppressDirected(ctx context.Context, rows []consentRow) ([]consentRow, error) {
	var users []string
	covered := func(c consentRow) bool {
		p, _ := a.purposes.of(c.Scope)
		return p.SaleOrShare != "" && !c.GPCConflict && c.SuppressedAt == 0
	}
	for _, c := range rows {
		if covered(c) {
			users = append(users, c.UserID)
		}
	}
	directed, err := a.store.directed(ctx, users)
	if err != nil {
		return nil, err
	}
	for i, c := range rows {
		if !covered(c) || !directed[c.UserID] {
			continue
		}
		if err := a.applyDirective(ctx, c.UserID); err != nil {
			return nil, err
		}
		if rows[i], err = a.store.consent(ctx, c.UserID, c.ID); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// applyDirectives completes the directives that a crash has left unapplied.
func (a *Actor) applyDirectives(ctx context.Context) error {
	for after := ""; ; {
		users, err := a.store.unappliedDirectives(ctx, after, reconcileBatch)
		if err != nil {
			return err
		}
		for _, userID := range users {
			if err := a.applyDirective(ctx, userID); err != nil {
				return err
			}
			after = userID
		}
		if len(users) < reconcileBatch {
			return nil
		}
	}
}

// errGrantDuringErasure makes the deletion's event come again, so that the consent is erased that was granted meanwhile.
var errGrantDuringErasure = &subjects.Error{Code: subjects.CodeUnavailable, Detail: "a consent was granted during the erasure"}

// erase revokes a deleted user's consents as revoke_consent does and pseudonymises their records: the rows keep the
// ledger's id for the user and lose every text, and the key is deleted that decrypts the user's ledger entries. The
// ledger itself is not changed. It returns the number of consents.
func (a *Actor) erase(ctx context.Context, deletion subjects.AccountDeletion) (int64, error) {
	consents, err := a.store.active(ctx, deletion.UserID)
	if err != nil {
		return 0, err
	}
	denied := map[string]bool{}
	for _, c := range consents {
		err := a.deny(ctx, c)
		if errors.Is(err, errSuperseded) {
			return 0, errGrantDuringErasure
		}
		if err != nil {
			return 0, err
		}
		denied[c.ID] = true
	}
	var items int64
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		var err error
		items, err = a.pseudonymise(ctx, tx, deletion, denied)
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, seen := range a.directives.Keys() {
		if seen.userID == deletion.UserID {
			a.directives.Remove(seen)
		}
	}
	return items, a.deleteStates(ctx, deletion.UserID)
}

// pseudonymise records the revocation of a user's consents, which guards deny already, and pseudonymises all of them. It
// fails where one is active that guards do not deny yet.
func (a *Actor) pseudonymise(ctx context.Context, tx database.Tx, deletion subjects.AccountDeletion, denied map[string]bool) (int64, error) {
	userID := deletion.UserID
	if err := a.store.lockSubject(ctx, tx, userID); err != nil {
		return 0, err
	}
	consents, err := a.store.active(ctx, userID)
	if err != nil {
		return 0, err
	}
	for _, c := range consents {
		if !denied[c.ID] {
			return 0, errGrantDuringErasure
		}
		if _, err := a.recordRevocation(ctx, tx, c, ""); err != nil {
			return 0, err
		}
	}
	subject, err := a.store.subject(ctx, userID)
	if errors.Is(err, errNoSubject) {
		subject, err = subjectRow{ID: a.NewID()}, nil
	}
	if err != nil {
		return 0, err
	}
	if err := a.store.deleteDirective(ctx, tx, userID); err != nil {
		return 0, err
	}
	ids, err := a.store.pseudonymise(ctx, tx, userID, subject.ID)
	if err != nil {
		return 0, err
	}
	if err := a.privacy.forget(ctx, tx, deletion, subject.ID); err != nil {
		return 0, err
	}
	if err := a.recordErasure(ctx, tx, userID, subject.ID, ids); err != nil {
		return 0, err
	}
	return int64(len(ids)), a.store.deleteSubject(ctx, tx, userID)
}
