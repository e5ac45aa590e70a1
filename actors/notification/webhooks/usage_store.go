package webhooks

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/notification/dispatch"
	"github.com/weftmesh/weft/actors/quota"
)

// webhookUsageRow is what was stored for a user's webhooks on a day.
type webhookUsageRow struct {
	bun.BaseModel `bun:"table:webhook_usage"`

	UserID     string `bun:"user_id,pk"`
	Day        int64  `bun:"day,pk"`
	Deliveries int64  `bun:"deliveries"`
	Bytes      int64  `bun:"bytes"`
}

// usageDay returns the day of a time, in days since the Unix epoch.
func usageDay(t time.Time) int64 { return t.Unix() / int64(24*time.Hour/time.Second) }

// addUsage adds to what was stored for a user on a day, and returns the sum. The row lock orders concurrent transactions of the user.
func (webhookStore) addUsage(ctx context.Context, tx bun.Tx, row webhookUsageRow) (webhookUsageRow, error) {
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (user_id, day) DO UPDATE").
		Set("deliveries = ?TableAlias.deliveries + EXCLUDED.deliveries").Set("bytes = ?TableAlias.bytes + EXCLUDED.bytes").
		Returning("deliveries, bytes").Exec(ctx)
	if err != nil {
		return row, fmt.Errorf("counting deliveries to webhooks: %w", err)
	}
	return row, nil
}

// deleteUsage deletes the counts of the days before one.
func (webhookStore) deleteUsage(ctx context.Context, tx bun.Tx, day int64) error {
	if _, err := tx.NewDelete().Model((*webhookUsageRow)(nil)).Where("day < ?", day).Exec(ctx); err != nil {
		return fmt.Errorf("deleting old counts of deliveries: %w", err)
	}
	return nil
}

// webhookUsage counts what read takes of what was stored for a user's webhooks on a day.
func webhookUsage(day func() int64, read func(webhookUsageRow) int64) quota.Counter {
	return func(ctx context.Context, db bun.IDB, userID string) (int64, error) {
		row := webhookUsageRow{UserID: userID, Day: day()}
		if err := db.NewSelect().Model(&row).WherePK().Scan(ctx); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return 0, fmt.Errorf("reading what was stored for webhooks: %w", err)
		}
		return read(row), nil
	}
}

// countPendingDeliveries counts the deliveries to a user's webhooks that wait or are kept.
func countPendingDeliveries(ctx context.Context, db bun.IDB, userID string) (n int64, err error) {
	webhooks := db.NewSelect().Model((*webhookRow)(nil)).Column("id").Where("user_id = ?", userID)
	for _, status := range []string{dispatch.StatusPending, dispatch.StatusKept} {
		count, err := db.NewSelect().TableExpr("webhook_deliveries").Where("endpoint_id IN (?)", webhooks).Where("status = ?", status).Count(ctx)
		if err != nil {
			return 0, fmt.Errorf("counting deliveries to webhooks: %w", err)
		}
		n += count
	}
	return n, nil
}
