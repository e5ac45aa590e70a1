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
	// Salt is that of the ledger's commitment; empty once the person was erased.
	Salt []byte `bun:"salt"`
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

// recorded returns entries by their ids, and the consents that they are about by theirs.
func (s store) recorded(ctx context.Context, entryIDs []string) (map[string]entryRow, map[string]consentRow, error) {
	var entries []entryRow
	if len(entryIDs) == 0 {
		return nil, nil, nil
	}
	if err := s.db.NewSelect().Model(&entries).Where("id IN (?)", bun.List(entryIDs)).Scan(ctx); err != nil {
		return nil, nil, fmt.Errorf("reading entries: %w", err)
	}
	byID, ids := make(map[string]entryRow, len(entries)), make([]string, 0, len(entries))
	for _, e := range entries {
		byID[e.ID] = e
		ids = append(ids, e.ConsentID)
	}
	consents := map[string]consentRow{}
	if len(ids) == 0 {
		return byID, consents, nil
	}
	var rows []consentRow
	if err := s.db.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, nil, fmt.Errorf("reading the consents of entries: %w", err)
	}
	for _, c := range rows {
		consents[c.ID] = c
	}
	return byID, consents, nil
}
