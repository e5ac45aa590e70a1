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

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

const (
	// refreshBatch is how many identities are refreshed in one look.
	refreshBatch = 50
	// refreshClaim is how long a copy of the actor may take over one; when it fails, another try waits as long.
	refreshClaim = time.Minute
)

// refreshTokens keeps providers' tokens alive while their users come.
func (a *Actor) refreshTokens(ctx context.Context) error {
	tick := time.NewTicker(a.config.OAuth.RefreshEvery)
	defer tick.Stop()
	for {
		if err := a.refreshDue(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (a *Actor) refreshDue(ctx context.Context) error {
	if len(a.oauth.providers) == 0 {
		return nil
	}
	now := a.Now().UTC()
	due, err := identitiesDue(ctx, a.DB.DB, slices.Collect(maps.Keys(a.oauth.providers)), now, now.Add(-a.config.SessionTTL), refreshBatch)
	if err != nil {
		return err
	}
	for _, i := range due {
		failed := a.refreshIdentity(ctx, i)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if failed != nil {
			a.Log.Warn("refreshing a provider's tokens", zap.String("provider", i.Provider), zap.Error(failed))
		}
	}
	return nil
}

// refreshIdentity exchanges one refresh token. One copy of the actor at a time does so, since a provider may take a
// token used twice for a stolen one; and what it gets is kept only if no sign-in has brought newer tokens meanwhile.
func (a *Actor) refreshIdentity(ctx context.Context, i identity) error {
	p, err := a.oauth.provider(i.Provider)
	if err != nil {
		return err
	}
	now := a.Now().UTC()
	mine := false
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		mine, err = claimIdentity(ctx, tx, i, now, now.Add(refreshClaim))
		return err
	})
	if err != nil || !mine {
		return err
	}
	plain, err := a.Sealer.Open(i.Sealed, identityContext(i.ID))
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
		if i, err = a.withTokens(i, token); err != nil {
			return err
		}
	case refusedGrant(err):
		i.Sealed, i.RefreshAt, i.Lost = nil, time.Time{}, true
	default:
		var known *subjects.Error
		if !errors.As(err, &known) {
			err = providerFault("refreshing", err)
		}
		return err
	}
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		saved, err := saveTokens(ctx, tx, i)
		if err != nil || !saved || !i.Lost {
			return err
		}
		return a.audit(ctx, tx, entry{
			action: auditOAuthRefresh, outcome: auditFailure, userID: i.UserID, detail: map[string]string{"provider": i.Provider},
		})
	})
}
