package integration

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

// claimTokens claims the renewal of a connection's tokens until a time, and reports whether it did. It fails while another
// claim holds, and if c's tokens are not the current ones.
func claimTokens(ctx context.Context, tx bun.Tx, c connectionRow, claim string, now, until int64) (bool, error) {
	result, err := tx.NewUpdate().Model((*connectionRow)(nil)).Set("claimed_by = ?", claim).Set("claimed_until = ?", until).
		Where("id = ?", c.ID).Where("token_version = ?", c.TokenVersion).Where("claimed_until <= ?", now).Exec(ctx)
	n, err := affected(result, err, "claiming a connection's tokens")
	return n == 1, err
}

// storeTokens replaces a connection's tokens, ends the claim, and reports whether it did. It fails if the connection was
// deleted or its tokens have changed since c was read. c has the new tokens and the old TokenVersion. A connection that was given up
// is active again: its grant is valid.
func storeTokens(ctx context.Context, tx bun.Tx, c connectionRow) (bool, error) {
	result, err := tx.NewUpdate().Model((*connectionRow)(nil)).
		Set("tokens = ?", c.Tokens).Set("expires_at = ?", c.ExpiresAt).Set("refresh_at = ?", c.RefreshAt).Set("settings = ?", c.Settings).
		Set("token_version = token_version + 1").Set("claimed_by = ''").Set("claimed_until = 0").
		Set("refresh_failures = 0").Set("refresh_after = 0").
		Set("version = CASE WHEN status = ? THEN version + 1 ELSE version END", subjects.ConnectionNeedsReauth).
		Set("reason = CASE WHEN status = ? THEN '' ELSE reason END", subjects.ConnectionNeedsReauth).
		Set("status = CASE WHEN status = ? THEN ? ELSE status END", subjects.ConnectionNeedsReauth, subjects.ConnectionActive).
		Where("id = ?", c.ID).Where("token_version = ?", c.TokenVersion).Exec(ctx)
	n, err := affected(result, err, "storing tokens")
	return n == 1, err
}

// releaseTokens ends a claim without new tokens and counts the failure. The next renewal ahead of expiry is not before sweepAt, and
// one for a call not before callAt.
func releaseTokens(ctx context.Context, tx bun.Tx, c connectionRow, claim string, sweepAt, callAt int64) error {
	_, err := tx.NewUpdate().Model((*connectionRow)(nil)).Set("claimed_by = ''").Set("claimed_until = 0").
		Set("refresh_at = CASE WHEN refresh_at > 0 THEN ? ELSE 0 END", sweepAt).
		Set("refresh_failures = refresh_failures + 1").Set("refresh_after = ?", callAt).
		Where("id = ?", c.ID).Where("claimed_by = ?", claim).Where("token_version = ?", c.TokenVersion).Exec(ctx)
	if err != nil {
		return fmt.Errorf("releasing a connection's tokens: %w", err)
	}
	return nil
}

// connectionsToRefresh reads active connections whose tokens are to be renewed ahead of expiry and are not claimed, the
// most urgent first.
func connectionsToRefresh(ctx context.Context, db bun.IDB, now, limit int64) ([]connectionRow, error) {
	var rows []connectionRow
	err := db.NewSelect().Model(&rows).Where("refresh_at > 0").Where("refresh_at <= ?", now).Where("claimed_until <= ?", now).
		Where("status = ?", subjects.ConnectionActive).Order("refresh_at").Limit(limit).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading connections to refresh: %w", err)
	}
	return rows, nil
}
