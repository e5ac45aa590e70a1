package notification

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// deliveryRow is one channel of a notification.
type deliveryRow struct {
	bun.BaseModel `bun:"table:deliveries"`

	NotificationID string `bun:"notification_id,pk"`
	Channel        string `bun:"channel,pk"`
	Status         string `bun:"status"`
	Attempts       int    `bun:"attempts"`
	Error          string `bun:"error"`
	UpdatedAt      int64  `bun:"updated_at"`
}

// deliveries returns the channels of notifications by the notification's id.
func (s store) deliveries(ctx context.Context, ids []string) (map[string][]deliveryRow, error) {
	byID := map[string][]deliveryRow{}
	if len(ids) == 0 {
		return byID, nil
	}
	var rows []deliveryRow
	err := s.db.NewSelect().Model(&rows).Where("notification_id IN (?)", bun.List(ids)).Order("notification_id", "channel").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", err)
	}
	for _, d := range rows {
		byID[d.NotificationID] = append(byID[d.NotificationID], d)
	}
	return byID, nil
}

// recordDelivery stores the outcome of an attempt.
func (store) recordDelivery(ctx context.Context, tx bun.Tx, d deliveryRow) error {
	_, err := tx.NewUpdate().Model(&d).Column("status", "attempts", "error", "updated_at").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("recording a delivery: %w", err)
	}
	return nil
}

// failDeliveries marks a notification as started and its pending channels as failed.
func (s store) failDeliveries(ctx context.Context, tx bun.Tx, id, reason string, now time.Time) error {
	if _, err := s.markStarted(ctx, tx, id); err != nil {
		return err
	}
	_, err := tx.NewUpdate().Model((*deliveryRow)(nil)).Set("status = ?", statusFailed).Set("error = ?", reason).
		Set("updated_at = ?", now.UnixMicro()).Where("notification_id = ?", id).Where("status = ?", statusPending).Exec(ctx)
	if err != nil {
		return fmt.Errorf("failing deliveries: %w", err)
	}
	return nil
}
