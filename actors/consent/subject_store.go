package consent

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// subjectRow is a user's subject in the ledger.
type subjectRow struct {
	bun.BaseModel `bun:"table:consent_subjects"`

	UserID    string `bun:"user_id,pk"`
	ID        string `bun:"id"`
	SealedKey []byte `bun:"sealed_key"`
}

// subject returns the ledger's subject of a user, or errNotFound.
func (s store) subject(ctx context.Context, userID string) (subjectRow, error) {
	var row subjectRow
	err := s.db.NewSelect().Model(&row).Where("user_id = ?", userID).Scan(ctx)
	return row, rowError("reading a subject", err)
}

// addSubject adds a subject unless the user has one, and returns the stored one.
func (s store) addSubject(ctx context.Context, tx bun.Tx, row subjectRow) (subjectRow, error) {
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (user_id) DO NOTHING").Returning("NULL").Exec(ctx)
	if err != nil {
		return subjectRow{}, fmt.Errorf("adding a subject: %w", err)
	}
	return s.subject(ctx, row.UserID)
}

// lockSubject locks the subject's row until the transaction ends, and so serialises what is recorded for its user.
func (store) lockSubject(ctx context.Context, tx bun.Tx, userID string) error {
	if _, err := tx.NewUpdate().Model((*subjectRow)(nil)).Set("id = id").Where("user_id = ?", userID).Exec(ctx); err != nil {
		return fmt.Errorf("locking a subject: %w", err)
	}
	return nil
}

// deleteSubject deletes a subject and its key; the subject's ledger entries can no longer be decrypted.
func (store) deleteSubject(ctx context.Context, tx bun.Tx, userID string) error {
	if _, err := tx.NewDelete().Model((*subjectRow)(nil)).Where("user_id = ?", userID).Exec(ctx); err != nil {
		return fmt.Errorf("deleting a subject: %w", err)
	}
	return nil
}
