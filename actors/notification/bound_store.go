package notification

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// countScheduled counts a user's notifications that wait for their send_at.
func countScheduled(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	n, err := db.NewSelect().Model((*notificationRow)(nil)).Where("user_id = ?", userID).Where("NOT started").Where("NOT cancelled").Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting scheduled notifications: %w", err)
	}
	return n, nil
}

// countKept counts a user's notifications.
func countKept(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	n, err := db.NewSelect().Model((*notificationRow)(nil)).Where("user_id = ?", userID).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting notifications: %w", err)
	}
	return n, nil
}

// keptBytes sums the sizes of a user's notifications.
func keptBytes(ctx context.Context, db bun.IDB, userID string) (sum int64, err error) {
	err = db.NewSelect().Model((*notificationRow)(nil)).ColumnExpr("CAST(coalesce(sum(bytes), 0) AS BIGINT)").Where("user_id = ?", userID).Scan(ctx, &sum)
	if err != nil {
		return 0, fmt.Errorf("counting bytes of notifications: %w", err)
	}
	return sum, nil
}

// deleteSurplus deletes a user's notifications, and their deliveries, beyond the newest of a number and a sum of sizes. Those that are
// scheduled, have a delivery that still waits or have taken a place in the recipient's rate since a moment remain. It deletes up to
// surplusBatch and returns how many.
func (store) deleteSurplus(ctx context.Context, tx bun.Tx, userID string, count, bytes int64, since time.Time) (deleted int, err error) {
	ranked := tx.NewSelect().Model((*notificationRow)(nil)).Column("id").
		ColumnExpr("row_number() OVER (ORDER BY id DESC) AS rank").ColumnExpr("sum(bytes) OVER (ORDER BY id DESC) AS total").
		Where("user_id = ?", userID)
	var ids []string
	err = tx.NewSelect().TableExpr("(?) AS ranked", ranked).Column("ranked.id").Join("JOIN notifications AS n ON n.id = ranked.id").
		Where("rank > ? OR total > ?", count, bytes).Where("n.started OR n.cancelled").
		Where("NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.notification_id = n.id AND "+
			"(d.status IN ('pending', 'deferred', 'batched') OR d.slot_at > ?))", since.UnixMicro()).
		Limit(surplusBatch).Scan(ctx, &ids)
	if err != nil || len(ids) == 0 {
		return 0, wrapped(err, "looking for surplus notifications")
	}
	if _, err := tx.NewDelete().Model((*deliveryRow)(nil)).Where("notification_id IN (?)", bun.List(ids)).Exec(ctx); err != nil {
		return 0, fmt.Errorf("deleting surplus deliveries: %w", err)
	}
	_, err = tx.NewDelete().Model((*notificationRow)(nil)).Where("id IN (?)", bun.List(ids)).Exec(ctx)
	return len(ids), wrapped(err, "deleting surplus notifications")
}

// surplusBatch bounds the notifications that one transaction deletes.
const surplusBatch = 500

// wrapped adds what was being done to an error.
func wrapped(err error, doing string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
