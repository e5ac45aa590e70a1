package workflow

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// secretRow is a secret of a user's workflows. Times are microseconds since 1970.
type secretRow struct {
	bun.BaseModel `bun:"table:workflow_secrets"`

	UserID string `bun:"user_id,pk"`
	Name   string `bun:"name,pk"`
	// Sealed is base64; see Actor.sealSecret.
	Sealed    string `bun:"sealed"`
	CreatedAt int64  `bun:"created_at"`
	UpdatedAt int64  `bun:"updated_at"`
}

func (r secretRow) resource() subjects.WorkflowSecret {
	return subjects.WorkflowSecret{Name: r.Name, CreatedAt: machine.Moment(r.CreatedAt), UpdatedAt: machine.Moment(r.UpdatedAt)}
}

// putSecret keeps a secret in the place of the one of its name, and gives it as it is kept; nothing is kept, and no name
// given, where the user has most others.
func putSecret(ctx context.Context, tx database.Tx, row secretRow, most int) (secretRow, error) {
	others, err := tx.NewSelect().Model((*secretRow)(nil)).Where("user_id = ?", row.UserID).Where("name <> ?", row.Name).Count(ctx)
	if err != nil {
		return row, fmt.Errorf("counting secrets: %w", err)
	}
	if others >= int64(most) {
		return secretRow{}, nil
	}
	_, err = tx.NewInsert().Model(&row).On("CONFLICT (user_id, name) DO UPDATE").Set("sealed = EXCLUDED.sealed").
		Set("updated_at = EXCLUDED.updated_at").Returning("created_at").Exec(ctx)
	if err != nil {
		return row, fmt.Errorf("keeping a secret: %w", err)
	}
	return row, nil
}

// dropSecret deletes a secret; it tells whether there was one.
func dropSecret(ctx context.Context, tx database.Tx, userID, name string) (bool, error) {
	result, err := tx.NewDelete().Model((*secretRow)(nil)).Where("user_id = ?", userID).Where("name = ?", name).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("deleting a secret: %w", err)
	}
	n, err := result.RowsAffected()
	return n > 0, err
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
