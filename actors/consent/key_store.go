package consent

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// keyRow is one of the actor's own signing keys.
type keyRow struct {
	bun.BaseModel `bun:"table:consent_keys"`

	Name      string `bun:"name,pk"`
	ID        string `bun:"id"`
	SealedKey []byte `bun:"sealed_key"`
}

var errNoKey = subjects.Errorf(subjects.CodeNotFound, "there is no such key")

// signingKey returns a key by its name, or errNoKey.
func (s store) signingKey(ctx context.Context, name string) (keyRow, error) {
	var row keyRow
	err := s.db.NewSelect().Model(&row).Where("name = ?", name).Scan(ctx)
	return row, database.OneRow(err, "reading a key", errNoKey)
}

// replaceKey stores a key in place of the one of its name with the id old, and reads the one that is then stored.
func (store) replaceKey(ctx context.Context, tx bun.Tx, row *keyRow, old string) error {
	if _, err := tx.NewDelete().Model((*keyRow)(nil)).Where("name = ?", row.Name).Where("id = ?", old).Exec(ctx); err != nil {
		return fmt.Errorf("deleting a key: %w", err)
	}
	if _, err := tx.NewInsert().Model(row).On("CONFLICT DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("storing a key: %w", err)
	}
	if err := tx.NewSelect().Model(row).WherePK().Scan(ctx); err != nil {
		return fmt.Errorf("reading a key: %w", err)
	}
	return nil
}
