package integration

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/quota"
)

// hookUsageRow is what the hooks of a user have received on a day, and in its last minute with deliveries.
type hookUsageRow struct {
	bun.BaseModel `bun:"table:hook_usage"`

	UserID      string `bun:"user_id,pk"`
	Day         int64  `bun:"day,pk"`
	Deliveries  int64  `bun:"deliveries"`
	Bytes       int64  `bun:"bytes"`
	Minute      int64  `bun:"minute"`
	MinuteBytes int64  `bun:"minute_bytes"`
}

// with returns the row with a delivery more.
func (r hookUsageRow) with(bytes int64, now time.Time) hookUsageRow {
	if minute := minuteOf(now); r.Minute != minute {
		r.Minute, r.MinuteBytes = minute, 0
	}
	r.Deliveries, r.Bytes, r.MinuteBytes = r.Deliveries+1, r.Bytes+bytes, r.MinuteBytes+bytes
	return r
}

// addHookUsage adds to what the hooks of a user have received on a day, and returns the sum. The row lock orders concurrent
// deliveries to a user.
func addHookUsage(ctx context.Context, tx bun.Tx, row hookUsageRow) (hookUsageRow, error) {
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (user_id, day) DO UPDATE").
		Set("deliveries = ?TableAlias.deliveries + EXCLUDED.deliveries").Set("bytes = ?TableAlias.bytes + EXCLUDED.bytes").
		Set("minute_bytes = CASE WHEN ?TableAlias.minute = EXCLUDED.minute THEN ?TableAlias.minute_bytes ELSE 0 END + EXCLUDED.minute_bytes").
		Set("minute = EXCLUDED.minute").
		Returning("deliveries, bytes, minute_bytes").Exec(ctx)
	if err != nil {
		return row, fmt.Errorf("counting a delivery: %w", err)
	}
	return row, nil
}

// hookUsage reads what the hooks of a user have received on a day.
func hookUsage(ctx context.Context, db bun.IDB, userID string, day int64) (hookUsageRow, error) {
	row := hookUsageRow{UserID: userID, Day: day}
	if err := db.NewSelect().Model(&row).WherePK().Scan(ctx); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return row, fmt.Errorf("reading the deliveries of a user: %w", err)
	}
	return row, nil
}

// usageOn counts what read takes of what the hooks of a user have received on a day.
func usageOn(day func() int64, read func(hookUsageRow) int64) quota.Counter {
	return func(ctx context.Context, db bun.IDB, userID string) (int64, error) {
		row, err := hookUsage(ctx, db, userID, day())
		return read(row), err
	}
}

// deleteHookUsage deletes the counts of the days before one.
func deleteHookUsage(ctx context.Context, tx bun.Tx, day int64) error {
	if _, err := tx.NewDelete().Model((*hookUsageRow)(nil)).Where("day < ?", day).Exec(ctx); err != nil {
		return fmt.Errorf("deleting old counts of deliveries: %w", err)
	}
	return nil
}

// userUsage returns what the objects of a user count, in bytes.
func userUsage(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	row := usageRow{UserID: userID}
	if err := db.NewSelect().Model(&row).WherePK().Scan(ctx); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("reading a user's usage: %w", err)
	}
	return row.Bytes, nil
}
