package integration

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// probeRow is the schedule and the last scheduled probe of a connection. Times are microseconds since the epoch, Duration is
// in microseconds; At is 0 if no probe has been made. Class is the error's class, empty for a success.
type probeRow struct {
	bun.BaseModel `bun:"table:probes"`

	ConnectionID string `bun:"connection_id,pk"`
	UserID       string `bun:"user_id"`
	Provider     string `bun:"provider"`
	At           int64  `bun:"at"`
	DueAt        int64  `bun:"due_at"`
	Duration     int64  `bun:"duration"`
	Class        string `bun:"class"`
}

// scheduleProbes adds up to limit active connections that have no schedule. due returns when each is due.
func scheduleProbes(ctx context.Context, tx bun.Tx, limit int64, due func() int64) error {
	var rows []connectionRow
	err := tx.NewSelect().Model(&rows).Column("id", "user_id", "provider").Where("status = 'active'").Where("scheduled = 0").
		Order("id").Limit(limit).Scan(ctx)
	if err != nil {
		return fmt.Errorf("reading connections to probe: %w", err)
	}
	for _, c := range rows {
		row := probeRow{ConnectionID: c.ID, UserID: c.UserID, Provider: c.Provider, DueAt: due()}
		if _, err := tx.NewInsert().Model(&row).On("CONFLICT (connection_id) DO NOTHING").Exec(ctx); err != nil {
			return fmt.Errorf("scheduling a probe: %w", err)
		}
		if _, err := tx.NewUpdate().Model((*connectionRow)(nil)).Set("scheduled = 1").Where("id = ?", c.ID).Exec(ctx); err != nil {
			return fmt.Errorf("marking a connection as scheduled: %w", err)
		}
	}
	return nil
}

// dueProbes reads the probes that are due, the most overdue first.
func dueProbes(ctx context.Context, db bun.IDB, now, limit int64) ([]probeRow, error) {
	var rows []probeRow
	if err := db.NewSelect().Model(&rows).Where("due_at <= ?", now).Order("due_at").Limit(limit).Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading due probes: %w", err)
	}
	return rows, nil
}

// claimProbe sets when a due probe is due next; false if another process has claimed it.
func claimProbe(ctx context.Context, tx bun.Tx, p probeRow, next int64) (bool, error) {
	result, err := tx.NewUpdate().Model((*probeRow)(nil)).Set("due_at = ?", next).
		Where("connection_id = ?", p.ConnectionID).Where("due_at = ?", p.DueAt).Exec(ctx)
	n, err := affected(result, err, "claiming a probe")
	return n == 1, err
}

// recordProbe stores a probe's result.
func recordProbe(ctx context.Context, tx bun.Tx, p probeRow) error {
	_, err := tx.NewUpdate().Model(&p).Column("at", "duration", "class").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("recording a probe: %w", err)
	}
	return nil
}

// deleteProbe deletes a connection's schedule and last probe.
func deleteProbe(ctx context.Context, tx bun.Tx, connectionID string) error {
	if _, err := tx.NewDelete().Model((*probeRow)(nil)).Where("connection_id = ?", connectionID).Exec(ctx); err != nil {
		return fmt.Errorf("deleting a probe: %w", err)
	}
	return nil
}

// lastProbeTo reads the last probe of a user's connections to a provider; a zero row if there is none.
func lastProbeTo(ctx context.Context, db bun.IDB, userID, provider string) (probeRow, error) {
	var rows []probeRow
	err := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Where("provider = ?", provider).Where("at > 0").
		Order("at DESC").Limit(1).Scan(ctx)
	if err != nil {
		return probeRow{}, fmt.Errorf("reading probes: %w", err)
	}
	if len(rows) == 0 {
		return probeRow{}, nil
	}
	return rows[0], nil
}
