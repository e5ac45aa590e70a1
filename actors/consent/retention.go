package consent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

const (
	// retentionSweep is the interval between two deletions of what is over.
	retentionSweep = time.Hour
	// retentionPage is how many consents are read, and at most deleted, at a time.
	retentionPage = 200
)

// sweeper notifies users before consents expire, and deletes what is over.
type sweeper struct{ *Actor }

// runRetention deletes the consents and refusals whose retention is over, until ctx ends. Any number of processes may run it.
func (a sweeper) runRetention(ctx context.Context) error {
	return wait.Repeat(ctx, retentionSweep, func(ctx context.Context) error {
		if err := a.deleteOld(ctx); err != nil && ctx.Err() == nil {
			a.Log.Warn("deleting consents at the end of their retention; the next sweep retries", zap.Error(err))
		}
		return nil
	})
}

// deleteOld deletes page by page what is due. It ends where a page has deleted nothing, since its rows are another process's then.
func (a sweeper) deleteOld(ctx context.Context) error {
	for {
		rows, err := a.store.outlived(ctx, a.Now(), a.config.Retention, retentionPage)
		if err != nil || len(rows) == 0 {
			return err
		}
		byUser := map[string][]consentRow{}
		for _, c := range rows {
			byUser[c.UserID] = append(byUser[c.UserID], c)
		}
		deleted := 0
		for userID, consents := range byUser {
			n, err := a.deleteConsents(ctx, userID, consents)
			if err != nil {
				return err
			}
			deleted += n
		}
		if deleted == 0 || len(rows) < retentionPage {
			return nil
		}
	}
}

// deleteConsents deletes some consents of one user with their histories, and records in the ledger that their records are gone. What an erasure has
// pseudonymised is in the ledger as erased already.
func (a sweeper) deleteConsents(ctx context.Context, userID string, consents []consentRow) (n int, err error) {
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		// Serialises the deletion with the user's grants, which count versions from the newest row.
		if err := a.store.lockSubject(ctx, tx, userID); err != nil {
			return err
		}
		for _, c := range consents {
			if err := a.deleteStateOf(ctx, c); err != nil {
				return err
			}
		}
		ids, err := a.store.deleteConsents(ctx, tx, consents)
		if err != nil || len(ids) == 0 {
			return err
		}
		subject, err := a.store.subject(ctx, userID)
		switch {
		case err == nil:
			err = a.recordErasure(ctx, tx, userID, subject.ID, ids)
		case errors.Is(err, errNoSubject):
			err = nil
		}
		n = len(ids)
		return err
	})
	if err == nil {
		a.metrics.deleted.Add(float64(n))
	}
	return n, err
}

// deleteStateOf deletes the state of a consent that is over, if it is still the state of its scope: guards deny without a state as they do with it.
// Otherwise the next consent, whose version is counted anew, would not replace it.
func (a sweeper) deleteStateOf(ctx context.Context, c consentRow) error {
	key := kv.EncodeKey(c.UserID, c.Scope)
	state, err := a.states.Get(ctx, key)
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err == nil && state.Value.ConsentID == c.ID && (state.Value.Status != subjects.ConsentActive || !a.Now().Before(time.UnixMicro(c.ExpiresAt))) {
		err = a.states.DeleteRevision(ctx, key, state.Revision)
	}
	if err != nil && !errors.Is(err, kv.ErrConflict) && !errors.Is(err, kv.ErrNotFound) {
		return fmt.Errorf("deleting a consent's state: %w", err)
	}
	return nil
}
