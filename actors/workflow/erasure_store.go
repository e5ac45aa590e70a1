package workflow

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/workflow/engine"
)

// deleteUserRows deletes all rows of a user. It returns how many of them bear the user's id; those that belong to such a row,
// such as versions and histories, are not counted.
func deleteUserRows(ctx context.Context, tx bun.Tx, userID string) (items int64, err error) {
	of := func(model any, column string) *bun.SelectQuery {
		return tx.NewSelect().Model(model).Column(column).Where("user_id = ?", userID)
	}
	for _, q := range []*bun.DeleteQuery{
		tx.NewDelete().Model((*engine.HistoryRow)(nil)).Where("execution_id IN (?)", of((*engine.Row)(nil), "id")),
		tx.NewDelete().Model((*runRow)(nil)).Where("schedule_id IN (?)", of((*scheduleRow)(nil), "id")),
		tx.NewDelete().Model((*versionRow)(nil)).Where("workflow_id IN (?)", of((*workflowRow)(nil), "id")),
	} {
		if _, err := q.Exec(ctx); err != nil {
			return 0, fmt.Errorf("deleting what belongs to a user's rows: %w", err)
		}
	}
	for _, model := range []any{
		(*engine.Row)(nil), (*scheduleRow)(nil), (*refusedStartRow)(nil), (*approvalRow)(nil), (*failureMarkRow)(nil), (*secretRow)(nil),
		(*engine.LimitRow)(nil), (*correlationRow)(nil), (*correlatedEventRow)(nil), (*workflowRow)(nil),
		(*cancelledTreeRow)(nil),
	} {
		done, err := tx.NewDelete().Model(model).Where("user_id = ?", userID).Exec(ctx)
		if err != nil {
			return 0, fmt.Errorf("deleting a user's rows: %w", err)
		}
		n, err := done.RowsAffected()
		if err != nil {
			return 0, fmt.Errorf("deleting a user's rows: %w", err)
		}
		items += n
	}
	return items, nil
}
