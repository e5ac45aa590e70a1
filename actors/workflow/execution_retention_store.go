package workflow

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
)

// oldExecution is an execution whose retention has passed, with the number of its events.
type oldExecution struct {
	ID     string `bun:"id"`
	Events int    `bun:"events"`
}

// oldExecutions returns executions that ended before a time, the oldest first. A child is kept for as long as its parent runs.
func oldExecutions(ctx context.Context, db bun.IDB, before time.Time, limit int) (old []oldExecution, err error) {
	err = db.NewSelect().TableExpr("executions AS e").Column("e.id", "e.events").Where("e.ended_at > 0").Where("e.ended_at < ?", before.UnixMicro()).
		Where("e.parent_id = '' OR NOT EXISTS (SELECT 1 FROM executions AS p WHERE p.id = e.parent_id AND p.ended_at = 0)").
		OrderExpr("e.ended_at").Limit(int64(limit)).Scan(ctx, &old)
	if err != nil {
		return nil, fmt.Errorf("looking for old executions: %w", err)
	}
	return old, nil
}

// deleteExecutions deletes executions with their histories, approval requests and marks.
func deleteExecutions(ctx context.Context, tx database.Tx, ids []string) error {
	for _, of := range []struct {
		model  any
		column string
	}{
		{(*engine.HistoryRow)(nil), "execution_id"}, {(*approvalRow)(nil), "execution_id"}, {(*failureMarkRow)(nil), "id"}, {(*engine.Row)(nil), "id"},
	} {
		if _, err := tx.NewDelete().Model(of.model).Where("? IN (?)", bun.Ident(of.column), bun.List(ids)).Exec(ctx); err != nil {
			return fmt.Errorf("deleting old executions: %w", err)
		}
	}
	return nil
}
