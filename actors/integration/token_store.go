package integration

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// claimTokens takes the right to ask for new tokens in the place of those of a version, until a time. It tells whether
// the caller has it: at most one process does, and nobody whose tokens are not the newest.
func claimTokens(ctx context.Context, tx bun.Tx, c connectionRow, by string, now, until int64) (bool, error) {
	result, err := tx.NewUpdate().Model((*connectionRow)(nil)).Set("claimed_by = ?", by).Set("claimed_until = ?", until).
		Where("id = ?", c.ID).Where("token_version = ?", c.TokenVersion).Where("claimed_until <= ?", now).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("claiming a connection's tokens: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// storeTokens puts new tokens in the place of those of the version that c still names, and ends the claim. It tells
// whether they were: not where the connection is gone or was given others meanwhile.
func storeTokens(ctx context.Context, tx bun.Tx, c connectionRow) (bool, error) {
	result, err := tx.NewUpdate().Model((*connectionRow)(nil)).
		Set("tokens = ?", c.Tokens).Set("expires_at = ?", c.ExpiresAt).Set("refresh_at = ?", c.RefreshAt).Set("settings = ?", c.Settings).
		Set("token_version = token_version + 1").Set("claimed_by = ''").Set("claimed_until = 0").
		Where("id = ?", c.ID).Where("token_version = ?", c.TokenVersion).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("storing tokens: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// releaseTokens ends a claim without new tokens; the next attempt ahead of time is not before retryAt.
func releaseTokens(ctx context.Context, tx bun.Tx, c connectionRow, by string, retryAt int64) error {
	_, err := tx.NewUpdate().Model((*connectionRow)(nil)).Set("claimed_by = ''").Set("claimed_until = 0").
		Set("refresh_at = CASE WHEN refresh_at > 0 THEN ? ELSE 0 END", retryAt).
		Where("id = ?", c.ID).Where("claimed_by = ?", by).Where("token_version = ?", c.TokenVersion).Exec(ctx)
	if err != nil {
		return fmt.Errorf("releasing a connection's tokens: %w", err)
	}
	return nil
}

// dueConnections are active connections whose tokens are to be refreshed ahead of time, and that nobody sees to.
func dueConnections(ctx context.Context, db bun.IDB, now int64, most int64) ([]connectionRow, error) {
	var rows []connectionRow
	err := db.NewSelect().Model(&rows).Where("refresh_at > 0").Where("refresh_at <= ?", now).Where("claimed_until <= ?", now).
		Where("status = ?", active).Order("refresh_at").Limit(most).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for tokens to refresh: %w", err)
	}
	return rows, nil
}
