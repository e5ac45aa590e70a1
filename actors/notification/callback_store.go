package notification

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// reportRow records a report that has taken effect.
type reportRow struct {
	bun.BaseModel `bun:"table:provider_reports"`

	Provider   string `bun:"provider,pk"`
	ReportID   string `bun:"report_id,pk"`
	ReceivedAt int64  `bun:"received_at"`
}

// recordReport records a report and tells whether it is new.
func (store) recordReport(ctx context.Context, tx bun.Tx, row reportRow) (bool, error) {
	result, err := tx.NewInsert().Model(&row).On("CONFLICT (provider, report_id) DO NOTHING").Returning("NULL").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("recording a report: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// deleteReports deletes up to surplusBatch records of reports from before a moment, and returns how many.
func (store) deleteReports(ctx context.Context, tx bun.Tx, before time.Time) (int64, error) {
	old := tx.NewSelect().Model((*reportRow)(nil)).Column("provider", "report_id").Where("received_at < ?", before.UnixMicro()).Limit(surplusBatch)
	result, err := tx.NewDelete().Model((*reportRow)(nil)).Where("(provider, report_id) IN (?)", old).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("deleting old reports: %w", err)
	}
	return result.RowsAffected()
}

// deliveryByProviderID returns the delivery that a provider knows by an id; false if there is none.
func (store) deliveryByProviderID(ctx context.Context, tx bun.Tx, provider, messageID string) (deliveryRow, bool, error) {
	return oneDelivery(ctx, tx, "provider = ? AND provider_message_id = ? AND provider_message_id <> ''", provider, messageID)
}

// deliveryOf returns the delivery of a notification over a channel; false if there is none.
func (store) deliveryOf(ctx context.Context, tx bun.Tx, notificationID, channel string) (deliveryRow, bool, error) {
	return oneDelivery(ctx, tx, "notification_id = ? AND channel = ?", notificationID, channel)
}

func oneDelivery(ctx context.Context, tx bun.Tx, where string, args ...any) (deliveryRow, bool, error) {
	var rows []deliveryRow
	if err := tx.NewSelect().Model(&rows).Where(where, args...).Limit(1).Scan(ctx); err != nil || len(rows) == 0 {
		return deliveryRow{}, false, wrapped(err, "looking for a delivery")
	}
	return rows[0], true, nil
}

// failDelivered fails a delivery that its provider had accepted, and the items of its batch that have no outcome yet. It reports false where the
// delivery has failed already.
func (s store) failDelivered(ctx context.Context, tx bun.Tx, d deliveryRow, reason string, now time.Time) (bool, error) {
	result, err := tx.NewUpdate().Model((*deliveryRow)(nil)).Set("status = ?", statusFailed).Set("error = ?", reason).Set("next_attempt_at = 0").
		Set("updated_at = ?", now.UnixMicro()).Where("notification_id = ?", d.NotificationID).Where("channel = ?", d.Channel).
		Where("status <> ?", statusFailed).Exec(ctx)
	if err != nil {
		return false, wrapped(err, "failing a delivery")
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	return true, s.settleItems(ctx, tx, deliveryRow{NotificationID: d.NotificationID, Status: statusFailed, Error: reason, UpdatedAt: now.UnixMicro()})
}
