package auth

import (
	"context"

	"github.com/weftmesh/weft/actors/database"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
)

// apiKeys revokes the access tokens that API keys were exchanged for, and records the use of keys.
type apiKeys struct {
	actors.Deps

	sessions *sessions
}

// recordUse writes a key's last use, at most once per lastUsedInterval. A failure is logged: the exchange still
// succeeds.
func (k *apiKeys) recordUse(ctx context.Context, key apiKey) {
	now := k.Now()
	if now.Sub(key.LastUsedAt) < lastUsedInterval {
		return
	}
	err := k.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return touchAPIKey(ctx, tx, key.ID, now) })
	if err != nil {
		k.Log.Warn("recording the use of an API key", zap.Error(err))
	}
}

// revokeTokens revokes the access tokens of all of a user's API keys.
func (k *apiKeys) revokeTokens(ctx context.Context, userID string) error {
	keys, err := userAPIKeys(ctx, k.DB.DB, userID, "", maxAPIKeys)
	if err != nil {
		return err
	}
	return k.revokeTokensOf(ctx, userID, keys)
}

// revokeTokensOf revokes the access tokens of the given keys.
func (k *apiKeys) revokeTokensOf(ctx context.Context, userID string, keys []apiKey) error {
	ids := make([]string, 0, len(keys))
	for _, key := range keys {
		ids = append(ids, key.ID)
	}
	return k.sessions.revoke(ctx, userID, ids...)
}
