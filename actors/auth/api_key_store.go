package auth

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
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

func (r apiKeyRow) key() apiKey {
	return apiKey{
		ID: r.ID, UserID: r.UserID, Name: r.Name, Prefix: r.Prefix, Hash: r.Hash, Scopes: strings.Fields(r.Scopes),
		CreatedAt: fromMicros(r.CreatedAt), ExpiresAt: fromMicros(r.ExpiresAt), LastUsedAt: fromMicros(r.LastUsedAt),
	}
}

// countAPIKeys counts a user's keys.
func countAPIKeys(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	keys, err := userAPIKeys(ctx, db, userID, "", maxAPIKeys)
	return int64(len(keys)), err
}

// addAPIKey adds a key.
func addAPIKey(ctx context.Context, tx bun.Tx, k apiKey) error {
	row := apiKeyRow{
		ID: k.ID, UserID: k.UserID, Name: k.Name, Prefix: k.Prefix, Hash: k.Hash, Scopes: k.scope(),
		CreatedAt: toMicros(k.CreatedAt), ExpiresAt: toMicros(k.ExpiresAt), LastUsedAt: toMicros(k.LastUsedAt),
	}
	if _, err := tx.NewInsert().Model(&row).Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("adding an API key: %w", err)
	}
	return nil
}

// userAPIKeys returns up to most keys of a user, the newest first, with IDs less than before (any if empty).
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

var errNoAPIKey = subjects.Errorf(subjects.CodeNotFound, "there is no such API key")

// apiKeyBy returns the key whose column has the value; errNoAPIKey if there is none.
func apiKeyBy(ctx context.Context, db bun.IDB, column, value string) (apiKey, error) {
	var row apiKeyRow
	err := db.NewSelect().Model(&row).Where("? = ?", bun.Ident(column), value).Scan(ctx)
	if err := database.OneRow(err, "reading an API key", errNoAPIKey); err != nil {
		return apiKey{}, err
	}
	return row.key(), nil
}

func deleteAPIKey(ctx context.Context, tx bun.Tx, id string) error {
	if _, err := tx.NewDelete().Model((*apiKeyRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("deleting an API key: %w", err)
	}
	return nil
}

func deleteUserAPIKeys(ctx context.Context, tx bun.Tx, userID string) error {
	if _, err := tx.NewDelete().Model((*apiKeyRow)(nil)).Where("user_id = ?", userID).Exec(ctx); err != nil {
		return fmt.Errorf("deleting API keys: %w", err)
	}
	return nil
}

func touchAPIKey(ctx context.Context, tx bun.Tx, id string, now time.Time) error {
	_, err := tx.NewUpdate().Model((*apiKeyRow)(nil)).Set("last_used_at = ?", now.UnixMicro()).Where("id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("recording the use of an API key: %w", err)
	}
	return nil
}
