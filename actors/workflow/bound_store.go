package workflow

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/subjects"
)

// countOf counts the rows of a user that a query selects.
func countOf(ctx context.Context, q *bun.SelectQuery, userID, what string) (int64, error) {
	n, err := q.Where("user_id = ?", userID).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting %s: %w", what, err)
	}
	return n, nil
}

func countWorkflows(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	return countOf(ctx, db.NewSelect().Model((*workflowRow)(nil)).Where("deleted_at = 0"), userID, "workflows")
}

func countSecrets(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	return countOf(ctx, db.NewSelect().Model((*secretRow)(nil)), userID, "secrets")
}

func countSchedules(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	return countOf(ctx, db.NewSelect().Model((*scheduleRow)(nil)), userID, "schedules")
}

func countPendingApprovals(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	return countOf(ctx, db.NewSelect().Model((*approvalRow)(nil)).Where("status = 'pending'"), userID, "approvals")
}

func countRefusedStarts(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	return countOf(ctx, db.NewSelect().Model((*refusedStartRow)(nil)), userID, "refused starts")
}

// countActive counts the executions that have not ended as far as SQL knows, which is a moment behind the log.
func countActive(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	return countOf(ctx, db.NewSelect().Model((*engine.Row)(nil)).Where("ended_at = 0"), userID, "active executions")
}

// sumOf sums a column of the rows of a user.
func sumOf(ctx context.Context, q *bun.SelectQuery, userID, what string) (sum int64, err error) {
	if err := q.ColumnExpr("CAST(coalesce(sum(bytes), 0) AS BIGINT)").Where("user_id = ?", userID).Scan(ctx, &sum); err != nil {
		return 0, fmt.Errorf("counting %s: %w", what, err)
	}
	return sum, nil
}

func definitionBytes(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	return sumOf(ctx, db.NewSelect().Model((*workflowRow)(nil)), userID, "bytes of definitions")
}

func correlationBytes(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	return sumOf(ctx, db.NewSelect().Model((*correlationRow)(nil)), userID, "bytes of correlations")
}

// maxRefusedStartBytes bounds the inputs of the refused starts that are kept for a user.
const maxRefusedStartBytes = 32 << 20

// pruneRefusedStarts deletes all but a user's newest refused starts, with the marks of those that were dismissed.
func pruneRefusedStarts(ctx context.Context, tx bun.Tx, userID string, keep int) error {
	ranked := tx.NewSelect().Model((*refusedStartRow)(nil)).Column("id").
		ColumnExpr("row_number() OVER (ORDER BY created_at DESC, id DESC) AS rank").
		ColumnExpr("sum(bytes) OVER (ORDER BY created_at DESC, id DESC) AS total").Where("user_id = ?", userID)
	surplus := func() *bun.SelectQuery {
		return tx.NewSelect().TableExpr("(?) AS ranked", ranked).Column("id").Where("rank > ? OR total > ?", keep, maxRefusedStartBytes)
	}
	_, err := tx.NewDelete().Model((*failureMarkRow)(nil)).Where("id IN (?)", surplus()).Where("status = ?", subjects.FailureDismissed).Exec(ctx)
	if err == nil {
		_, err = tx.NewDelete().Model((*refusedStartRow)(nil)).Where("id IN (?)", surplus()).Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("deleting old refused starts: %w", err)
	}
	return nil
}
