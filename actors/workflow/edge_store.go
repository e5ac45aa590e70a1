package workflow

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

// anyWorkflow reads a workflow, also one that is deleted; errNoWorkflow if there is none.
func anyWorkflow(ctx context.Context, db bun.IDB, id string) (w workflowRow, err error) {
	err = db.NewSelect().Model(&w).Where("id = ?", id).Scan(ctx)
	return w, database.OneRow(err, "reading a workflow", errNoWorkflow)
}

// workflowsExcept returns the ids of all workflows that are not deleted, except some.
func workflowsExcept(ctx context.Context, db bun.IDB, ids []string) (others []string, err error) {
	q := db.NewSelect().Model((*workflowRow)(nil)).Column("id").Where("deleted_at = 0")
	if len(ids) > 0 {
		q.Where("id NOT IN (?)", bun.List(ids))
	}
	if err := q.Scan(ctx, &others); err != nil {
		return nil, fmt.Errorf("reading workflows: %w", err)
	}
	return others, nil
}

// replaceWorkflow replaces a workflow with another state of it.
func replaceWorkflow(ctx context.Context, tx database.Tx, row workflowRow) error {
	_, err := tx.NewUpdate().Model(&row).Column("user_id", "name", "version", "bytes").Set("deleted_at = 0").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("replacing a workflow: %w", err)
	}
	return nil
}

// putVersion stores a version of a workflow, unless it is stored.
func putVersion(ctx context.Context, tx database.Tx, v versionRow) error {
	_, err := tx.NewInsert().Model(&v).On("CONFLICT (workflow_id, version) DO NOTHING").Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("storing a version of a workflow: %w", err)
	}
	return nil
}
