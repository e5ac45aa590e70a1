package workflow

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/workflow/engine"
)

// cancelledTreeRow is an execution that was cancelled with its descendants.
type cancelledTreeRow struct {
	bun.BaseModel `bun:"table:cancelled_trees"`

	ExecutionID string `bun:"execution_id,pk"`
	UserID      string `bun:"user_id"`
	// Root is the execution that has led to the execution and all of its descendants; the execution itself where no other has.
	Root string `bun:"root"`
	// Passes counts the passes made, NextAt is when the next one is due.
	Passes int   `bun:"passes"`
	NextAt int64 `bun:"next_at"`
}

func putCancelledTree(ctx context.Context, tx bun.Tx, row cancelledTreeRow) error {
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (execution_id) DO UPDATE").Set("passes = EXCLUDED.passes").
		Set("next_at = EXCLUDED.next_at").Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("recording a cancelled tree: %w", err)
	}
	return nil
}

func deleteCancelledTree(ctx context.Context, tx bun.Tx, id string) error {
	if _, err := tx.NewDelete().Model((*cancelledTreeRow)(nil)).Where("execution_id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("deleting a cancelled tree: %w", err)
	}
	return nil
}

// dueTrees reads cancelled trees of which a pass is due.
func dueTrees(ctx context.Context, db bun.IDB, now time.Time, limit int) (rows []cancelledTreeRow, err error) {
	err = db.NewSelect().Model(&rows).Where("next_at <= ?", now.UnixMicro()).Order("next_at").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading cancelled trees: %w", err)
	}
	return rows, nil
}

// anyTreeCancelled reports whether one of some executions was cancelled with its descendants.
func anyTreeCancelled(ctx context.Context, db bun.IDB, ids []string) (bool, error) {
	found, err := db.NewSelect().Model((*cancelledTreeRow)(nil)).Where("execution_id IN (?)", bun.List(ids)).Exists(ctx)
	if err != nil {
		return false, fmt.Errorf("looking for a cancelled tree: %w", err)
	}
	return found, nil
}

// liveDescendants reads up to limit executions that have not ended and that an execution has led to, by id from after one on.
func liveDescendants(ctx context.Context, db bun.IDB, tree cancelledTreeRow, after string, limit int) (rows []engine.Row, err error) {
	q := db.NewSelect().Model(&rows).Column("id", "partition").Where("origin_root = ?", tree.Root).Where("origin_root <> ''").
		Where("ended_at = 0").Where("id > ?", after).Where("user_id = ?", tree.UserID).Order("id").Limit(int64(limit))
	if tree.Root != tree.ExecutionID {
		q.Where("origin_ancestors LIKE ?", "%"+tree.ExecutionID+"%")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading descendants: %w", err)
	}
	return rows, nil
}
