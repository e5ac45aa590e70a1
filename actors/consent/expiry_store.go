package consent

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

// expiryNoticeRow records that a user was notified of a consent's expiry.
type expiryNoticeRow struct {
	bun.BaseModel `bun:"table:consent_expiry_notices"`

	ConsentID string `bun:"consent_id,pk"`
	SentAt    int64  `bun:"sent_at"`
}

// expiring returns active consents that expire after now and not after until, of whose lifetime less than half is left, and of which the users were
// not told: those after one, in the order of their expiry.
func (s store) expiring(ctx context.Context, now, until time.Time, after consentRow, limit int) ([]consentRow, error) {
	var rows []consentRow
	err := s.db.NewSelect().Model(&rows).Where("status = ?", subjects.ConsentActive).
		Where("expires_at > ?", now.UnixMicro()).Where("expires_at <= ?", until.UnixMicro()).
		Where("granted_at <= 2 * ? - expires_at", now.UnixMicro()).
		Where("(expires_at > ? OR expires_at = ? AND id > ?)", after.ExpiresAt, after.ExpiresAt, after.ID).
		Where("NOT EXISTS (?)", s.db.NewSelect().Model((*expiryNoticeRow)(nil)).ColumnExpr("1").Where("consent_id = consent_row.id")).
		Order("expires_at", "id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading consents that expire soon: %w", err)
	}
	return rows, nil
}

func (store) addExpiryNotice(ctx context.Context, tx bun.Tx, consentID string, at time.Time) error {
	row := expiryNoticeRow{ConsentID: consentID, SentAt: at.UnixMicro()}
	if _, err := tx.NewInsert().Model(&row).On("CONFLICT (consent_id) DO NOTHING").Exec(ctx); err != nil {
		return fmt.Errorf("recording a notice of expiry: %w", err)
	}
	return nil
}
