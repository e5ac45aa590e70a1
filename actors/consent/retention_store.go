package consent

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

// outlived returns consents and refusals whose retention is over, those that ended first, at most limit of each kind.
func (s store) outlived(ctx context.Context, now time.Time, c RetentionConfig, limit int) ([]consentRow, error) {
	var found []consentRow
	read := func(kept time.Duration, column string, where func(q *bun.SelectQuery, until int64) *bun.SelectQuery) error {
		if kept == 0 {
			return nil
		}
		var rows []consentRow
		q := where(s.db.NewSelect().Model(&rows), now.Add(-kept).UnixMicro()).Order(column, "id").Limit(int64(limit))
		if err := q.Scan(ctx); err != nil {
			return fmt.Errorf("reading consents whose retention is over: %w", err)
		}
		found = append(found, rows...)
		return nil
	}
	err := read(c.Ended, "revoked_at", func(q *bun.SelectQuery, until int64) *bun.SelectQuery {
		return q.Where("status = ?", subjects.ConsentRevoked).Where("revoked_at < ?", until)
	})
	if err == nil {
		err = read(c.Ended, "expires_at", func(q *bun.SelectQuery, until int64) *bun.SelectQuery {
			return q.Where("expires_at < ?", until).Where("status NOT IN (?, ?)", subjects.ConsentRevoked, subjects.ConsentRefused)
		})
	}
	if err == nil {
		err = read(c.Refused, "granted_at", func(q *bun.SelectQuery, until int64) *bun.SelectQuery {
			return q.Where("status = ?", subjects.ConsentRefused).Where("granted_at < ?", until)
		})
	}
	return found, err
}

// deleteConsents deletes consents that have their status still, with their histories, and returns their ids.
func (store) deleteConsents(ctx context.Context, tx bun.Tx, consents []consentRow) (ids []string, err error) {
	for _, c := range consents {
		result, err := tx.NewDelete().Model((*consentRow)(nil)).Where("id = ?", c.ID).Where("status = ?", c.Status).Exec(ctx)
		if err != nil {
			return nil, fmt.Errorf("deleting a consent: %w", err)
		}
		if n, err := result.RowsAffected(); err != nil {
			return nil, fmt.Errorf("deleting a consent: %w", err)
		} else if n == 1 {
			ids = append(ids, c.ID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	if _, err := tx.NewDelete().Model((*entryRow)(nil)).Where("consent_id IN (?)", bun.List(ids)).Exec(ctx); err != nil {
		return nil, fmt.Errorf("deleting histories: %w", err)
	}
	if _, err := tx.NewDelete().Model((*expiryNoticeRow)(nil)).Where("consent_id IN (?)", bun.List(ids)).Exec(ctx); err != nil {
		return nil, fmt.Errorf("deleting notices of expiry: %w", err)
	}
	return ids, nil
}
