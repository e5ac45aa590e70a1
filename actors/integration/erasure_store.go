package integration

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// ofUsers are the tables whose rows belong to the user in their column user_id.
var ofUsers = []any{(*hookRow)(nil), (*connectionRow)(nil), (*callRow)(nil), (*probeRow)(nil)}

// wipeUser deletes everything that the actor holds of a user; it tells how many rows there were.
func wipeUser(ctx context.Context, tx bun.Tx, userID string) (items int64, err error) {
	hooks := tx.NewSelect().Model((*hookRow)(nil)).Column("id").Where("user_id = ?", userID)
	if _, err := tx.NewDelete().Model((*deliveryRow)(nil)).Where("hook_id IN (?)", hooks).Exec(ctx); err != nil {
		return 0, fmt.Errorf("wiping a user's deliveries: %w", err)
	}
	for _, model := range ofUsers {
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
