package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/oauth2"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

const (
	// refreshBatchSize is the maximum number of identities refreshed in one pass.
	refreshBatchSize = 50
	// refreshLease is the time for which one copy of the actor reserves an identity. A failed refresh is retried after
	// it.
	refreshLease = time.Minute
)

// runRefresh refreshes providers' tokens that are about to expire, until ctx ends.
func (ids *identities) runRefresh(ctx context.Context) error {
	return wait.Repeat(ctx, ids.config.OAuth.RefreshEvery, ids.refreshDue)
}

func (ids *identities) refreshDue(ctx context.Context) error {
	if len(ids.oauth.providers) == 0 {
		return nil
	}
	now := ids.Now().UTC()
	due, err := dueIdentities(ctx, ids.DB.DB, slices.Collect(maps.Keys(ids.oauth.providers)), now, now.Add(-ids.config.SessionTTL), refreshBatchSize)
	if err != nil {
		return err
	}
	for _, i := range due {
		failed := ids.refresh(ctx, i)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if failed != nil {
			ids.Log.Warn("refreshing a provider's tokens", zap.String("provider", i.Provider), zap.Error(failed))
		}
	}
	return nil
}

// refresh exchanges one refresh token. Only one copy of the actor does so at a time, because a provider may treat a
// token that is used twice as stolen. The result is discarded if a sign-in has stored newer tokens meanwhile.
func (ids *identities) refresh(ctx context.Context, i identity) error {
	p, err := ids.oauth.provider(i.Provider)
	if err != nil {
		return err
	}
	now := ids.Now().UTC()
	mine := false
	err = ids.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		mine, err = leaseIdentity(ctx, tx, i, now, now.Add(refreshLease))
		return err
	})
	if err != nil || !mine {
		return err
	}
	plain, err := ids.Sealer.Open(i.Sealed, identityContext(i.ID))
	if err != nil {
		return err
	}
	var had providerTokens
	if err := json.Unmarshal(plain, &had); err != nil {
		return fmt.Errorf("decoding tokens: %w", err)
	}
	token, err := p.refresh(ctx, had.Refresh)
	switch {
	case err == nil:
		if i, err = ids.sealTokens(i, token); err != nil {
			return err
		}
	case isGrantRefused(err):
		i.Sealed, i.RefreshAt, i.NeedsReauth = nil, time.Time{}, true
	default:
		var known *subjects.Error
		if !errors.As(err, &known) {
			err = providerError("refreshing", err)
		}
		return err
	}
	return ids.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		saved, err := saveTokens(ctx, tx, i)
		if err != nil || !saved || !i.NeedsReauth {
			return err
		}
		return ids.recorder.audit(ctx, tx, auditEntry{
			action: auditOAuthRefresh, outcome: auditFailure, userID: i.UserID, detail: map[string]string{"provider": i.Provider},
		})
	})
}

// sealTokens returns the identity with a provider's sealed tokens.
func (ids *identities) sealTokens(i identity, token *oauth2.Token) (identity, error) {
	plain, err := json.Marshal(tokensOf(token)) //nolint:gosec // sealed before it goes anywhere
	if err != nil {
		return i, fmt.Errorf("encoding tokens: %w", err)
	}
	i.Sealed, err = ids.Sealer.Seal(plain, identityContext(i.ID))
	i.RefreshAt = refreshAt(token, ids.Now().UTC(), ids.config.OAuth.RefreshBefore)
	return i, err
}
