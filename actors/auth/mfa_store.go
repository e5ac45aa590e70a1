package auth

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
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

var errNoTOTP = subjects.Errorf(subjects.CodeNotFound, "the account has no authenticator")

// totpOf returns a user's authenticator; errNoTOTP if there is none.
func totpOf(ctx context.Context, db bun.IDB, userID string) (totpRow, error) {
	var row totpRow
	err := db.NewSelect().Model(&row).Where("user_id = ?", userID).Scan(ctx)
	if err := oneRow(err, "reading an authenticator", errNoTOTP); err != nil {
		return totpRow{}, err
	}
	return row, nil
}

// hasTOTP reports whether a user has a confirmed authenticator.
func hasTOTP(ctx context.Context, db bun.IDB, userID string) (bool, error) {
	row, err := totpOf(ctx, db, userID)
	if isNotFound(err) {
		return false, nil
	}
	return row.Confirmed, err
}

// upsertTOTP sets a user's unconfirmed authenticator. It returns false if the user has a confirmed one.
func upsertTOTP(ctx context.Context, tx bun.Tx, row totpRow) (bool, error) {
	done, err := tx.NewInsert().Model(&row).On("CONFLICT (user_id) DO UPDATE").
		Set("sealed = EXCLUDED.sealed, last_step = EXCLUDED.last_step, created_at = EXCLUDED.created_at").
		Where("NOT totp_row.confirmed").Returning("NULL").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("setting an authenticator: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// useTOTPStep records the time step of a code. It returns false if that or a later step was used before.
func useTOTPStep(ctx context.Context, tx bun.Tx, userID string, step int64) (bool, error) {
	done, err := tx.NewUpdate().Model((*totpRow)(nil)).Set("last_step = ?", step).
		Where("user_id = ? AND last_step < ?", userID, step).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("consuming a code: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// confirmTOTP confirms a user's authenticator and adds its recovery codes. It returns false if it was confirmed
// already.
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

// useRecoveryCode deletes a code. It returns false if there is no such code.
func useRecoveryCode(ctx context.Context, tx bun.Tx, userID, hash string) (bool, error) {
	done, err := tx.NewDelete().Model((*recoveryRow)(nil)).Where("user_id = ? AND hash = ?", userID, hash).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("consuming a recovery code: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// deleteSecondFactors deletes a user's authenticator and recovery codes.
func deleteSecondFactors(ctx context.Context, tx bun.Tx, userID string) error {
	_, err := tx.NewDelete().Model((*totpRow)(nil)).Where("user_id = ?", userID).Exec(ctx)
	if err == nil {
		_, err = tx.NewDelete().Model((*recoveryRow)(nil)).Where("user_id = ?", userID).Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("deleting second factors: %w", err)
	}
	return nil
}
