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

// sentRow is a delivery with the user and the category of its notification.
type sentRow struct {
	NotificationID string `bun:"notification_id"`
	Channel        string `bun:"channel"`
	UserID         string `bun:"user_id"`
	Category       string `bun:"category"`
	Template       string `bun:"template"`
}

func (store) sent(tx bun.Tx) *bun.SelectQuery {
	return tx.NewSelect().TableExpr("deliveries AS d").Join("JOIN notifications AS n ON n.id = d.notification_id").
		ColumnExpr("d.notification_id, d.channel, n.user_id, n.category, d.template")
}

// deliveryByProviderID returns the delivery that a provider knows by an id; false if there is none.
func (s store) deliveryByProviderID(ctx context.Context, tx bun.Tx, provider, messageID string) (sentRow, bool, error) {
	if messageID == "" {
		return sentRow{}, false, nil
	}
	return oneSent(ctx, s.sent(tx).Where("d.provider = ?", provider).Where("d.provider_message_id = ?", messageID))
}

// deliveryOf returns the delivery of a notification over a channel; false if there is none.
func (s store) deliveryOf(ctx context.Context, tx bun.Tx, notificationID, channel string) (sentRow, bool, error) {
	return oneSent(ctx, s.sent(tx).Where("d.notification_id = ?", notificationID).Where("d.channel = ?", channel))
}

func oneSent(ctx context.Context, q *bun.SelectQuery) (sentRow, bool, error) {
	var rows []sentRow
	if err := q.Limit(1).Scan(ctx, &rows); err != nil {
		return sentRow{}, false, fmt.Errorf("looking for a delivery: %w", err)
	}
	if len(rows) == 0 {
		return sentRow{}, false, nil
	}
	return rows[0], true, nil
}

// failDelivered fails a delivery that its provider had accepted, and the items of its batch that have no outcome yet. It reports false where the
// delivery has failed already.
func (s store) failDelivered(ctx context.Context, tx bun.Tx, d sentRow, reason string, now time.Time) (bool, error) {
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
