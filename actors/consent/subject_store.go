package consent

import (
	"context"
	"database/sql"
	"errors"
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

// subjectRowOf is the ledger's subject for a user; nil where there is none.
func subjectRowOf(ctx context.Context, db bun.IDB, userID string) (*subjectRow, error) {
	var row subjectRow
	err := db.NewSelect().Model(&row).Where("user_id = ?", userID).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a subject: %w", err)
	}
	return &row, nil
}

// addSubject adds a subject; where another was first it returns that one.
func addSubject(ctx context.Context, tx bun.Tx, row subjectRow) (*subjectRow, error) {
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (user_id) DO NOTHING").Returning("NULL").Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("adding a subject: %w", err)
	}
	return subjectRowOf(ctx, tx, row.UserID)
}

// holdSubject lets nobody else record for a user, who has a subject, until the transaction ends.
func holdSubject(ctx context.Context, tx bun.Tx, userID string) error {
	if _, err := tx.NewUpdate().Model((*subjectRow)(nil)).Set("id = id").Where("user_id = ?", userID).Exec(ctx); err != nil {
		return fmt.Errorf("holding a subject: %w", err)
	}
	return nil
}

// dropSubject destroys a subject's key: what the ledger has sealed with it is unreadable from then on.
func dropSubject(ctx context.Context, tx bun.Tx, userID string) error {
	if _, err := tx.NewDelete().Model((*subjectRow)(nil)).Where("user_id = ?", userID).Exec(ctx); err != nil {
		return fmt.Errorf("dropping a subject: %w", err)
	}
	return nil
}

// activeOf reads a user's active consents.
func activeOf(ctx context.Context, db bun.IDB, userID string) ([]consentRow, error) {
	var rows []consentRow
	err := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Where("status = ?", active).Order("id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading a user's consents: %w", err)
	}
	return rows, nil
}

// renameSubject gives all consents of a user to a subject of no name, without the words that may tell who it was. It
// tells how many there were.
func renameSubject(ctx context.Context, tx bun.Tx, userID, subjectID string) (int64, error) {
	mine := tx.NewSelect().Model((*consentRow)(nil)).Column("id").Where("user_id = ?", userID)
	if _, err := tx.NewUpdate().Model((*entryRow)(nil)).Set("reason = ''").Where("consent_id IN (?)", mine).Exec(ctx); err != nil {
		return 0, fmt.Errorf("forgetting reasons: %w", err)
	}
	done, err := tx.NewUpdate().Model((*consentRow)(nil)).
		Set("user_id = ?", subjectID).Set("purpose = ''").Set("revoke_reason = ''").Where("user_id = ?", userID).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("forgetting whose consents they were: %w", err)
	}
	return done.RowsAffected()
}
