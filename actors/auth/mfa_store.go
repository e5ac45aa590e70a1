package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"
)

type totpRow struct {
	bun.BaseModel `bun:"table:totp"`

	UserID    string `bun:",pk"`
	Sealed    []byte
	Confirmed bool
	LastStep  int64
	CreatedAt int64
}

type recoveryRow struct {
	bun.BaseModel `bun:"table:recovery_codes"`

	UserID string `bun:",pk"`
	Hash   string `bun:",pk"`
}

// totpOf reads a user's authenticator, nil where there is none.
func totpOf(ctx context.Context, db bun.IDB, userID string) (*totpRow, error) {
	var row totpRow
	err := db.NewSelect().Model(&row).Where("user_id = ?", userID).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading an authenticator: %w", err)
	}
	return &row, nil
}

// putTOTP sets a user's unconfirmed authenticator; a confirmed one stays, and is false.
func putTOTP(ctx context.Context, tx bun.Tx, row totpRow) (bool, error) {
	done, err := tx.NewInsert().Model(&row).On("CONFLICT (user_id) DO UPDATE").
		Set("sealed = EXCLUDED.sealed, last_step = EXCLUDED.last_step, created_at = EXCLUDED.created_at").
		Where("NOT totp_row.confirmed").Returning("NULL").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("setting an authenticator: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// useStep takes note of a code's step, unless it or a later one was taken.
func useStep(ctx context.Context, tx bun.Tx, userID string, step int64) (bool, error) {
	done, err := tx.NewUpdate().Model((*totpRow)(nil)).Set("last_step = ?", step).
		Where("user_id = ? AND last_step < ?", userID, step).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("using a code: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// confirmTOTP turns a user's authenticator on, with its recovery codes; false where it was on.
func confirmTOTP(ctx context.Context, tx bun.Tx, userID string, step int64, hashes []string) (bool, error) {
	done, err := tx.NewUpdate().Model((*totpRow)(nil)).Set("confirmed = ?, last_step = ?", true, step).
		Where("user_id = ? AND NOT confirmed", userID).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("confirming an authenticator: %w", err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	rows := make([]recoveryRow, 0, len(hashes))
	for _, hash := range hashes {
		rows = append(rows, recoveryRow{UserID: userID, Hash: hash})
	}
	if _, err := tx.NewInsert().Model(&rows).Returning("NULL").Exec(ctx); err != nil {
		return false, fmt.Errorf("adding recovery codes: %w", err)
	}
	return true, nil
}

// useRecoveryCode takes a code away; false where there is none such.
func useRecoveryCode(ctx context.Context, tx bun.Tx, userID, hash string) (bool, error) {
	done, err := tx.NewDelete().Model((*recoveryRow)(nil)).Where("user_id = ? AND hash = ?", userID, hash).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("using a recovery code: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// dropSecondFactors forgets a user's authenticator and recovery codes.
func dropSecondFactors(ctx context.Context, tx bun.Tx, userID string) error {
	_, err := tx.NewDelete().Model((*totpRow)(nil)).Where("user_id = ?", userID).Exec(ctx)
	if err == nil {
		_, err = tx.NewDelete().Model((*recoveryRow)(nil)).Where("user_id = ?", userID).Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("dropping second factors: %w", err)
	}
	return nil
}
