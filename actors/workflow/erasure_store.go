package workflow

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// wipeUser deletes everything that the actor holds of a user; it tells how many rows of theirs there were.
func wipeUser(ctx context.Context, tx bun.Tx, userID string) (items int64, err error) {
	of := func(model any, column string) *bun.SelectQuery {
		return tx.NewSelect().Model(model).Column(column).Where("user_id = ?", userID)
	}
	for _, q := range []*bun.DeleteQuery{
		tx.NewDelete().Model((*historyRow)(nil)).Where("execution_id IN (?)", of((*executionRow)(nil), "id")),
		tx.NewDelete().Model((*runRow)(nil)).Where("schedule_id IN (?)", of((*scheduleRow)(nil), "id")),
		tx.NewDelete().Model((*versionRow)(nil)).Where("workflow_id IN (?)", of((*workflowRow)(nil), "id")),
	} {
		if _, err := q.Exec(ctx); err != nil {
			return 0, fmt.Errorf("wiping what belongs to a user's rows: %w", err)
		}
	}
	for _, model := range []any{
		(*executionRow)(nil), (*scheduleRow)(nil), (*refusedRow)(nil), (*approvalRow)(nil), (*markRow)(nil), (*secretRow)(nil),
		(*ticketRow)(nil), (*gatheringRow)(nil), (*gatheredRow)(nil),
		(*workflowRow)(nil),
	} {
		done, err := tx.NewDelete().Model(model).Where("user_id = ?", userID).Exec(ctx)
		if err != nil {
			return 0, fmt.Errorf("wiping a user: %w", err)
		}
		n, err := done.RowsAffected()
		if err != nil {
			return 0, fmt.Errorf("wiping a user: %w", err)
		}
		items += n
	}
	return items, nil
}

// openExecutions reads a user's executions of a partition that have not ended.
func openExecutions(ctx context.Context, db bun.IDB, lot int, userID string) (ids []string, err error) {
	err = db.NewSelect().Model((*executionRow)(nil)).Column("id").Where("lot = ?", lot).Where("user_id = ?", userID).
		Where("ended_at = 0").Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("reading a user's executions: %w", err)
	}
	return ids, nil
}

// watchedExecutions reads those of a user's executions that were told to the feed.
func watchedExecutions(ctx context.Context, db bun.IDB, userID string) (ids []string, err error) {
	err = db.NewSelect().Model((*executionRow)(nil)).Column("id").Where("user_id = ?", userID).Where("watched").Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("reading a user's watched executions: %w", err)
	}
	return ids, nil
}

// markWatched notes that an execution which has ended is told to the feed.
func markWatched(ctx context.Context, tx bun.Tx, id string) error {
	_, err := tx.NewUpdate().Model((*executionRow)(nil)).Set("watched = ?", true).Where("id = ?", id).Where("ended_at > 0").Exec(ctx)
	if err != nil {
		return fmt.Errorf("noting that an execution is watched: %w", err)
	}
	return nil
}
