package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

type apiKeyRow struct {
	bun.BaseModel `bun:"table:api_keys"`

	ID         string `bun:",pk"`
	UserID     string
	Name       string
	Prefix     string
	Hash       string
	Scopes     string
	CreatedAt  int64
	ExpiresAt  int64
	LastUsedAt int64
}

// stamp is a time as a column has it: 0 for none.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func unstamp(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func (r apiKeyRow) key() apiKey {
	return apiKey{
		ID: r.ID, UserID: r.UserID, Name: r.Name, Prefix: r.Prefix, Hash: r.Hash, Scopes: strings.Fields(r.Scopes),
		CreatedAt: unstamp(r.CreatedAt), ExpiresAt: unstamp(r.ExpiresAt), LastUsedAt: unstamp(r.LastUsedAt),
	}
}

// addAPIKey adds a key; the user's row is locked by the caller, so that their number holds.
func addAPIKey(ctx context.Context, tx bun.Tx, k apiKey) error {
	n, err := tx.NewSelect().Model((*apiKeyRow)(nil)).Where("user_id = ?", k.UserID).Count(ctx)
	if err != nil {
		return fmt.Errorf("counting API keys: %w", err)
	}
	if n >= maxAPIKeys {
		return subjects.Errorf(subjects.CodeConflict, "you have %d API keys; revoke one first", n)
	}
	row := apiKeyRow{
		ID: k.ID, UserID: k.UserID, Name: k.Name, Prefix: k.Prefix, Hash: k.Hash, Scopes: k.scope(),
		CreatedAt: stamp(k.CreatedAt), ExpiresAt: stamp(k.ExpiresAt), LastUsedAt: stamp(k.LastUsedAt),
	}
	if _, err := tx.NewInsert().Model(&row).Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("adding an API key: %w", err)
	}
	return nil
}

// userAPIKeys lists at most so many keys of a user, the newest first, older than the one with the id before.
func userAPIKeys(ctx context.Context, db bun.IDB, userID, before string, most int) ([]apiKey, error) {
	var rows []apiKeyRow
	query := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Order("id DESC").Limit(int64(most))
	if before != "" {
		query = query.Where("id < ?", before)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing API keys: %w", err)
	}
	keys := make([]apiKey, 0, len(rows))
	for _, row := range rows {
		keys = append(keys, row.key())
	}
	return keys, nil
}

// apiKeyBy finds a key by a column's value; CodeNotFound where there is none.
func apiKeyBy(ctx context.Context, db bun.IDB, column, value string) (apiKey, error) {
	var row apiKeyRow
	err := db.NewSelect().Model(&row).Where("? = ?", bun.Ident(column), value).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return apiKey{}, subjects.Errorf(subjects.CodeNotFound, "there is no such API key")
	}
	if err != nil {
		return apiKey{}, fmt.Errorf("reading an API key: %w", err)
	}
	return row.key(), nil
}

func dropAPIKey(ctx context.Context, tx bun.Tx, id string) error {
	if _, err := tx.NewDelete().Model((*apiKeyRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("dropping an API key: %w", err)
	}
	return nil
}

func dropUserAPIKeys(ctx context.Context, tx bun.Tx, userID string) error {
	if _, err := tx.NewDelete().Model((*apiKeyRow)(nil)).Where("user_id = ?", userID).Exec(ctx); err != nil {
		return fmt.Errorf("dropping API keys: %w", err)
	}
	return nil
}

func useAPIKey(ctx context.Context, tx bun.Tx, id string, now time.Time) error {
	_, err := tx.NewUpdate().Model((*apiKeyRow)(nil)).Set("last_used_at = ?", now.UnixMilli()).Where("id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("noting an API key's use: %w", err)
	}
	return nil
}
