package consent

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// entryRow is one change of a consent.
type entryRow struct {
	bun.BaseModel `bun:"table:consent_entries"`

	ID        string `bun:"id,pk"`
	ConsentID string `bun:"consent_id"`
	Change    string `bun:"change"`
	At        int64  `bun:"at"`
	Reason    string `bun:"reason"`
}

// entries returns a consent's changes, oldest first, that come after the given id.
func (s store) entries(ctx context.Context, consentID string, limit int, after string) ([]entryRow, error) {
	var rows []entryRow
	err := s.db.NewSelect().Model(&rows).Where("consent_id = ?", consentID).Where("id > ?", after).
		Order("id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading a consent's history: %w", err)
	}
	return rows, nil
}
