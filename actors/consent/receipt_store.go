package consent

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

// receiptKeyRow is a key that signs receipts.
type receiptKeyRow struct {
	bun.BaseModel `bun:"table:receipt_keys"`

	ID        string `bun:"id,pk"`
	Public    []byte `bun:"public"`
	SealedKey []byte `bun:"sealed_key"`
	CreatedAt int64  `bun:"created_at"`
}

// receiptKeys returns all keys, newest first.
func (s store) receiptKeys(ctx context.Context) ([]receiptKeyRow, error) {
	var rows []receiptKeyRow
	if err := s.db.NewSelect().Model(&rows).Order("created_at DESC", "id DESC").Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading the keys of receipts: %w", err)
	}
	return rows, nil
}

// addReceiptKey adds a key.
func (s store) addReceiptKey(ctx context.Context, row receiptKeyRow) error {
	return s.db.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return s.insert(ctx, tx, &row) })
}

// allEntries returns the changes of a consent, oldest first.
func (s store) allEntries(ctx context.Context, consentID string) ([]entryRow, error) {
	var rows []entryRow
	if err := s.db.NewSelect().Model(&rows).Where("consent_id = ?", consentID).Order("id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading a consent's history: %w", err)
	}
	return rows, nil
}

// exportPage returns a user's consents and refusals in the order of their ids, that come after one.
func (s store) exportPage(ctx context.Context, userID, after string, limit int) ([]consentRow, error) {
	var rows []consentRow
	err := s.db.NewSelect().Model(&rows).Where("user_id = ?", userID).Where("id > ?", after).Order("id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading consents to export: %w", err)
	}
	return rows, nil
}
