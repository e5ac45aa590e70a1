package integration

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// userTables are the tables whose rows name their user in the column user_id, except the objects'.
var userTables = []any{
	(*hookRow)(nil), (*connectionRow)(nil), (*callRow)(nil), (*probeRow)(nil), (*hookUsageRow)(nil),
	(*agentPolicyRow)(nil), (*agentApprovalRow)(nil),
}

// deleteUserRows deletes a user's rows from userTables and returns how many there were. The deliveries of the user's
// hooks are deleted too, and not counted.
func deleteUserRows(ctx context.Context, tx bun.Tx, userID string) (items int64, err error) {
	hooks := tx.NewSelect().Model((*hookRow)(nil)).Column("id").Where("user_id = ?", userID)
	if _, err := tx.NewDelete().Model((*deliveryRow)(nil)).Where("hook_id IN (?)", hooks).Exec(ctx); err != nil {
		return 0, fmt.Errorf("deleting a user's deliveries: %w", err)
	}
	for _, model := range userTables {
		result, err := tx.NewDelete().Model(model).Where("user_id = ?", userID).Exec(ctx)
		n, err := affected(result, err, "deleting a user's rows")
		if err != nil {
			return 0, err
		}
		items += n
	}
	return items, nil
}
