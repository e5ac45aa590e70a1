package integration

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// probeRow is the newest probe of a connection on the schedule. Times and Duration are microseconds, At 0 where none has run.
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

// planProbes puts active connections that have no place on the schedule there, at most so many; due says when each is due.
func planProbes(ctx context.Context, tx bun.Tx, most int64, due func() int64) error {
	var rows []connectionRow
	planned := tx.NewSelect().Model((*probeRow)(nil)).Column("connection_id")
	err := tx.NewSelect().Model(&rows).Column("id", "user_id", "provider").Where("status = ?", active).Where("id NOT IN (?)", planned).
		Order("id").Limit(most).Scan(ctx)
	if err != nil {
		return fmt.Errorf("reading connections to probe: %w", err)
	}
	for _, c := range rows {
		row := probeRow{ConnectionID: c.ID, UserID: c.UserID, Provider: c.Provider, DueAt: due()}
		if _, err := tx.NewInsert().Model(&row).On("CONFLICT (connection_id) DO NOTHING").Exec(ctx); err != nil {
			return fmt.Errorf("planning a probe: %w", err)
		}
	}
	return nil
}

// dueProbes are those that are due, the longest first.
func dueProbes(ctx context.Context, db bun.IDB, now, most int64) ([]probeRow, error) {
	var rows []probeRow
	if err := db.NewSelect().Model(&rows).Where("due_at <= ?", now).Order("due_at").Limit(most).Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading what is to be probed: %w", err)
	}
	return rows, nil
}

// claimProbe moves a probe on to its next time; false where another process was faster.
func claimProbe(ctx context.Context, tx bun.Tx, p probeRow, next int64) (bool, error) {
	result, err := tx.NewUpdate().Model((*probeRow)(nil)).Set("due_at = ?", next).
		Where("connection_id = ?", p.ConnectionID).Where("due_at = ?", p.DueAt).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("claiming a probe: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

func recordProbe(ctx context.Context, tx bun.Tx, p probeRow) error {
	_, err := tx.NewUpdate().Model(&p).Column("at", "duration", "class").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("recording a probe: %w", err)
	}
	return nil
}

// dropProbe takes a connection off the schedule.
func dropProbe(ctx context.Context, tx bun.Tx, connectionID string) error {
	if _, err := tx.NewDelete().Model((*probeRow)(nil)).Where("connection_id = ?", connectionID).Exec(ctx); err != nil {
		return fmt.Errorf("forgetting a probe: %w", err)
	}
	return nil
}

// newestProbeTo is the newest probe of a user's connections to a provider; one that never ran where there is none.
func newestProbeTo(ctx context.Context, db bun.IDB, userID, provider string) (probeRow, error) {
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
