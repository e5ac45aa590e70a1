package workflow

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// secretRow is a secret that a user's workflows may use.
type secretRow struct {
	bun.BaseModel `bun:"table:workflow_secrets"`

	UserID string `bun:"user_id,pk"`
	Name   string `bun:"name,pk"`
	// Sealed is the value as JSON, sealed with secretAssociated, in base64.
	Sealed    string `bun:"sealed"`
	CreatedAt int64  `bun:"created_at"`
	UpdatedAt int64  `bun:"updated_at"`
}

func (r secretRow) resource() subjects.WorkflowSecret {
	return subjects.WorkflowSecret{Name: r.Name, CreatedAt: machine.Moment(r.CreatedAt), UpdatedAt: machine.Moment(r.UpdatedAt)}
}

var errNoSecret = subjects.Errorf(subjects.CodeNotFound, "there is no such secret")

// putSecret inserts a secret or replaces the one of that name, and returns the row as stored.
func putSecret(ctx context.Context, tx database.Tx, row secretRow) (secretRow, error) {
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (user_id, name) DO UPDATE").Set("sealed = EXCLUDED.sealed").
		Set("updated_at = EXCLUDED.updated_at").Returning("created_at").Exec(ctx)
	if err != nil {
		return row, fmt.Errorf("storing a secret: %w", err)
	}
	return row, nil
}

// deleteSecret deletes a secret; errNoSecret if there is none.
func deleteSecret(ctx context.Context, tx database.Tx, userID, name string) error {
	result, err := tx.NewDelete().Model((*secretRow)(nil)).Where("user_id = ?", userID).Where("name = ?", name).Exec(ctx)
	if err != nil {
		return fmt.Errorf("deleting a secret: %w", err)
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		err = errNoSecret
	}
	return err
}

// secretsOf reads a user's secrets by name, after the given name; limit 0 reads all.
func secretsOf(ctx context.Context, db bun.IDB, userID, after string, limit int) ([]secretRow, error) {
	var rows []secretRow
	q := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Where("name > ?", after).Order("name")
	if limit > 0 {
		q.Limit(int64(limit))
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading secrets: %w", err)
	}
	return rows, nil
}
