package consent

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

// ofUser returns all requests of a user.
func (privacyStore) ofUser(ctx context.Context, tx bun.Tx, userID string) ([]privacyRow, error) {
	var rows []privacyRow
	if err := tx.NewSelect().Model(&rows).Where("user_id = ?", userID).Order("id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading a user's privacy requests: %w", err)
	}
	return rows, nil
}

// openErasures returns the requests that an erasure answers.
func (privacyStore) openErasures(ctx context.Context, tx bun.Tx, erasureID string) ([]privacyRow, error) {
	var rows []privacyRow
	err := tx.NewSelect().Model(&rows).Where("erasure_id = ?", erasureID).Where("erasure_id <> ''").Where("status = ?", subjects.PrivacyInProgress).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the requests of an erasure: %w", err)
	}
	return rows, nil
}

// staleErasures deletes requests for erasure that auth has neither started nor refused: their process was killed.
func (s privacyStore) staleErasures(ctx context.Context, before time.Time) error {
	return s.db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewDelete().Model((*privacyRow)(nil)).Where("kind = ?", subjects.PrivacyErasure).Where("status = ?", subjects.PrivacyInProgress).
			Where("erasure_id = ''").Where("requested_at < ?", before.UnixMicro()).Exec(ctx)
		if err != nil {
			return fmt.Errorf("deleting requests for erasure: %w", err)
		}
		return nil
	})
}

// overdue counts the requests in progress that are due before a time.
func (s privacyStore) overdue(ctx context.Context, at time.Time) (int64, error) {
	n, err := s.db.NewSelect().Model((*privacyRow)(nil)).Where("status = ?", subjects.PrivacyInProgress).Where("due_at < ?", at.UnixMicro()).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting overdue privacy requests: %w", err)
	}
	return n, nil
}

// rectifications returns a user's requests for rectification in progress.
func (privacyStore) rectifications(ctx context.Context, tx bun.Tx, userID string) ([]privacyRow, error) {
	var rows []privacyRow
	err := tx.NewSelect().Model(&rows).Where("user_id = ?", userID).Where("kind = ?", subjects.PrivacyRectification).
		Where("status = ?", subjects.PrivacyInProgress).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading requests for rectification: %w", err)
	}
	return rows, nil
}

// unlinked reports whether there is a request for erasure, made since a time, of which it is not known which erasure answers it.
func (privacyStore) unlinked(ctx context.Context, tx bun.Tx, since time.Time) (bool, error) {
	found, err := tx.NewSelect().Model((*privacyRow)(nil)).Where("kind = ?", subjects.PrivacyErasure).
		Where("status = ?", subjects.PrivacyInProgress).Where("erasure_id = ''").Where("requested_at > ?", since.UnixMicro()).Exists(ctx)
	if err != nil {
		return false, fmt.Errorf("looking for requests for erasure: %w", err)
	}
	return found, nil
}
