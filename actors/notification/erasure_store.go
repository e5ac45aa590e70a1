package notification

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// deleteUsers deletes all notifications to some users, their batches and settings, their devices and phone numbers, and what is stored of them
// for mail. It returns how many rows there were, without batches and settings.
func (s store) deleteUsers(ctx context.Context, tx bun.Tx, userIDs []string) (int64, error) {
	for _, model := range []any{(*batchRow)(nil), (*settingsRow)(nil), (*countRow)(nil)} {
		if _, err := tx.NewDelete().Model(model).Where("user_id IN (?)", bun.List(userIDs)).Exec(ctx); err != nil {
			return 0, fmt.Errorf("deleting batches, settings and counts: %w", err)
		}
	}
	items, err := s.deleteWhere(ctx, tx, "user_id IN (?)", bun.List(userIDs))
	if err != nil {
		return 0, err
	}
	addresses, err := s.deleteAddresses(ctx, tx, userIDs)
	if err != nil {
		return 0, err
	}
	ofMail, err := s.deleteMailOf(ctx, tx, userIDs)
	return items + addresses + ofMail, err
}

// deleteAccountMail deletes account mail from before a moment. Its user id is the one-time id that its dedupe key names.
func (s store) deleteAccountMail(ctx context.Context, tx bun.Tx, before time.Time) error {
	_, err := s.deleteWhere(ctx, tx, "created_at < ? AND dedupe_key = 'auth.' || user_id", before.UnixMicro())
	return err
}

// deleteWhere deletes the notifications that match a condition, and their deliveries.
func (store) deleteWhere(ctx context.Context, tx bun.Tx, where string, args ...any) (int64, error) {
	ids := tx.NewSelect().Model((*notificationRow)(nil)).Column("id").Where(where, args...)
	if _, err := tx.NewDelete().Model((*deliveryRow)(nil)).Where("notification_id IN (?)", ids).Exec(ctx); err != nil {
		return 0, fmt.Errorf("deleting deliveries: %w", err)
	}
	result, err := tx.NewDelete().Model((*notificationRow)(nil)).Where(where, args...).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("deleting notifications: %w", err)
	}
	return result.RowsAffected()
}
