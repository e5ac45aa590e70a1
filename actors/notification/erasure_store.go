package notification

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// wipeUsers deletes all notifications to some receivers; it tells how many there were.
func wipeUsers(ctx context.Context, tx bun.Tx, ids []string) (int64, error) {
	return wipe(ctx, tx, "user_id IN (?)", bun.List(ids))
}

// dropLetters deletes the letters from before a moment: a letter's receiver is itself, as its dedupe key says.
func dropLetters(ctx context.Context, tx bun.Tx, before time.Time) error {
	_, err := wipe(ctx, tx, "created_at < ? AND dedupe_key = 'auth.' || user_id", before.UnixMicro())
	return err
}

func wipe(ctx context.Context, tx bun.Tx, where string, args ...any) (int64, error) {
	some := tx.NewSelect().Model((*notificationRow)(nil)).Column("id").Where(where, args...)
	if _, err := tx.NewDelete().Model((*deliveryRow)(nil)).Where("notification_id IN (?)", some).Exec(ctx); err != nil {
		return 0, fmt.Errorf("deleting deliveries: %w", err)
	}
	done, err := tx.NewDelete().Model((*notificationRow)(nil)).Where(where, args...).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("deleting notifications: %w", err)
	}
	return done.RowsAffected()
}
