package notification

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// deleteUsers deletes all notifications to some users, their batches, settings and counts, their devices and phone numbers, and what is stored
// of them for mail. It returns how many rows there were, without batches, settings and counts. Deliveries are deleted first: what a transaction
// that changes one has added meanwhile, such as a batch or counts, is then there to be deleted, and no later one adds anything.
func (s store) deleteUsers(ctx context.Context, tx bun.Tx, userIDs []string) (int64, error) {
	items, err := s.deleteWhere(ctx, tx, "user_id IN (?)", bun.List(userIDs))
	if err != nil {
		return 0, err
	}
	for _, model := range []any{(*batchRow)(nil), (*settingsRow)(nil), (*countRow)(nil)} {
		if _, err := tx.NewDelete().Model(model).Where("user_id IN (?)", bun.List(userIDs)).Exec(ctx); err != nil {
			return 0, fmt.Errorf("deleting batches, settings and counts: %w", err)
		}
	}
	addresses, err := s.deleteAddresses(ctx, tx, userIDs)
	if err != nil {
		return 0, err
	}
	ofMail, err := s.deleteMailOf(ctx, tx, userIDs)
	return items + addresses + ofMail, err
}

// deleteAccountMail deletes account mail from before a moment, and its counts under its user id, which is the one-time id that its dedupe key
// names.
func (s store) deleteAccountMail(ctx context.Context, tx bun.Tx, before time.Time) error {
	const old = "created_at < ? AND dedupe_key = 'auth.' || user_id"
	users := tx.NewSelect().Model((*notificationRow)(nil)).Column("user_id").Where(old, before.UnixMicro())
	if _, err := tx.NewDelete().Model((*countRow)(nil)).Where("user_id IN (?)", users).Exec(ctx); err != nil {
		return fmt.Errorf("deleting the counts of account mail: %w", err)
	}
	_, err := s.deleteWhere(ctx, tx, old, before.UnixMicro())
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
