package notification

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// channelKeyRow is one of the actor's own keys.
type channelKeyRow struct {
	bun.BaseModel `bun:"table:channel_keys"`

	Name string `bun:"name,pk"`
	// Sealed is in base64.
	Sealed string `bun:"sealed"`
}

// ensureChannelKey stores a key unless there is one of its name, and reads the one that there is.
func ensureChannelKey(ctx context.Context, tx bun.Tx, row *channelKeyRow) error {
	if _, err := tx.NewInsert().Model(row).On("CONFLICT DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("storing a key: %w", err)
	}
	return wrapped(tx.NewSelect().Model(row).WherePK().Scan(ctx), "reading a key")
}
