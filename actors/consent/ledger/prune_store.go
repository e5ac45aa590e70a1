package ledger

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// prune moves the base from old to that of row and deletes the leaves, the entry bundles and the tiles of level 0 before it. The error is errFenced
// where another process has moved it.
func (store) prune(ctx context.Context, tx bun.Tx, old int64, row stateRow) error {
	result, err := tx.NewUpdate().Model(&row).Column("base", "base_checkpoint").Where("id = ?", stateID).Where("base = ?", old).Exec(ctx)
	if err != nil {
		return fmt.Errorf("writing the ledger's base: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errFenced
	}
	if _, err := tx.NewDelete().Model((*tileRow)(nil)).Where("level IN (?, 0)", entriesLevel).Where("n < ?", row.Base/tileWidth).Exec(ctx); err != nil {
		return fmt.Errorf("deleting tiles: %w", err)
	}
	if _, err := tx.NewDelete().Model((*leafRow)(nil)).Where("leaf < ?", row.Base).Exec(ctx); err != nil {
		return fmt.Errorf("deleting leaves: %w", err)
	}
	return nil
}
