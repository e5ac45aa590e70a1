package auth

import (
	"context"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// apiKeyClient is the client_id claim of tokens that keys were exchanged for.
const apiKeyClient = "api_key"

func (a *Actor) createAPIKey(ctx context.Context, req subjects.CreateAPIKeyRequest) (subjects.NewAPIKey, error) {
	caller := actors.CallerFrom(ctx)
	key, text, err := newAPIKey(req, caller.UserID, a.NewID(), a.Now().UTC())
	if err == nil {
		err = a.proveKeysOwner(ctx, req)
	}
	if err != nil {
		return subjects.NewAPIKey{}, err
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if _, err := lockUser(ctx, tx, caller.UserID); err != nil {
			return err
		}
		if err := addAPIKey(ctx, tx, key); err != nil {
			return err
		}
		detail := map[string]string{"key_id": key.ID, "scopes": key.scope()}
		return a.audit(ctx, tx, entry{action: auditKeyCreate, outcome: auditSuccess, userID: caller.UserID, detail: detail})
	})
	if err != nil {
		return subjects.NewAPIKey{}, err
	}
	return subjects.NewAPIKey{APIKey: key.shown(), Key: text}, nil
}

// proveKeysOwner has the caller prove that it is they who make a key, which outlives the session: by a sign-in of just now,
// or by what signs in.
func (a *Actor) proveKeysOwner(ctx context.Context, req subjects.CreateAPIKeyRequest) error {
	err := a.callerFresh(actors.CallerFrom(ctx))
	if err == nil || req.Password == "" {
		return err
	}
	u, err := a.stepUp(ctx, "password", req.Password)
	if err != nil {
		return err
	}
	return a.stepUpCode(ctx, u, req.Code)
}

func (a *Actor) listAPIKeys(ctx context.Context, req subjects.ListAPIKeysRequest) (subjects.Page[subjects.APIKey], error) {
	page := subjects.Page[subjects.APIKey]{Items: []subjects.APIKey{}}
	keys, err := userAPIKeys(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, req.Cursor, req.PageLimit()+1)
	if err != nil {
		return page, err
	}
	if len(keys) > req.PageLimit() {
		keys = keys[:req.PageLimit()]
		page.NextCursor = keys[len(keys)-1].ID
	}
	for _, key := range keys {
		page.Items = append(page.Items, key.shown())
	}
	return page, nil
}

// revokeAPIKey ends what the key was exchanged for before the key itself: a crash in between leaves a key that its
// owner still sees and can revoke again.
func (a *Actor) revokeAPIKey(ctx context.Context, req subjects.RevokeAPIKeyRequest) (subjects.Empty, error) {
	userID := actors.CallerFrom(ctx).UserID
	key, err := apiKeyBy(ctx, a.DB.DB, "id", req.KeyID)
	if err != nil {
		return subjects.Empty{}, err
	}
	if key.UserID != userID {
		return subjects.Empty{}, subjects.Errorf(subjects.CodeNotFound, "there is no such API key")
	}
	if err := a.revokeIDs(ctx, userID, key.ID); err != nil {
		return subjects.Empty{}, err
	}
	return subjects.Empty{}, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := dropAPIKey(ctx, tx, key.ID); err != nil {
			return err
		}
		detail := map[string]string{"key_id": key.ID}
		return a.audit(ctx, tx, entry{action: auditKeyRevoke, outcome: auditSuccess, userID: userID, detail: detail})
	})
}

// exchangeAPIKey makes a short token of a key. The token's session is the key, and it carries the role user alone.
func (a *Actor) exchangeAPIKey(ctx context.Context, req subjects.ExchangeAPIKeyRequest) (subjects.KeyToken, error) {
	now := a.Now().UTC()
	key, err := apiKeyBy(ctx, a.DB.DB, "hash", hashToken(req.Key))
	if subjects.CodeOf(err) == subjects.CodeNotFound || err == nil && !key.good(now) {
		return subjects.KeyToken{}, errAPIKey()
	}
	if err != nil {
		return subjects.KeyToken{}, err
	}
	u, err := userByID(ctx, a.DB.DB, key.UserID)
	if subjects.CodeOf(err) == subjects.CodeNotFound || err == nil && u.Disabled {
		return subjects.KeyToken{}, errAPIKey()
	}
	if err != nil {
		return subjects.KeyToken{}, err
	}
	if a.mustVerify(u) {
		return subjects.KeyToken{}, errUnverified()
	}
	expires := now.Add(a.config.AccessTTL)
	if !key.ExpiresAt.IsZero() && key.ExpiresAt.Before(expires) {
		expires = key.ExpiresAt
	}
	token, err := a.keys.sign(mesh.Claims{
		Issuer: a.Issuer, Audience: a.Audience, Subject: u.ID, ClientID: apiKeyClient, ID: a.NewID(), SessionID: key.ID,
		IssuedAt: now.Unix(), ExpiresAt: expires.Unix(), AuthTime: key.CreatedAt.Unix(), Roles: []string{subjects.RoleUser},
		Scope: key.scope(), KeyID: key.ID,
	})
	if err != nil {
		return subjects.KeyToken{}, err
	}
	a.noteUse(ctx, key)
	return subjects.KeyToken{
		AccessToken: token, TokenType: "Bearer", ExpiresIn: int(expires.Unix() - now.Unix()), KeyID: key.ID, UserID: u.ID,
	}, nil
}

// noteUse writes a key's last use, at most once a minute; what fails is logged and no reason to refuse the key.
func (a *Actor) noteUse(ctx context.Context, key apiKey) {
	now := a.Now()
	if now.Sub(key.LastUsedAt) < usedEvery {
		return
	}
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return useAPIKey(ctx, tx, key.ID, now) })
	if err != nil {
		a.Log.Warn("noting an API key's use", zap.Error(err))
	}
}

// revokeKeyTokens ends what a user's keys were exchanged for.
func (a *Actor) revokeKeyTokens(ctx context.Context, userID string) error {
	keys, err := userAPIKeys(ctx, a.DB.DB, userID, "", maxAPIKeys)
	if err != nil {
		return err
	}
	return a.revokeKeys(ctx, userID, keys)
}

func (a *Actor) revokeKeys(ctx context.Context, userID string, keys []apiKey) error {
	ids := make([]string, 0, len(keys))
	for _, key := range keys {
		ids = append(ids, key.ID)
	}
	return a.revokeIDs(ctx, userID, ids...)
}

func errAPIKey() error {
	return subjects.Errorf(subjects.CodeUnauthenticated, "the API key is not valid")
}
