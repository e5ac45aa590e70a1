package auth

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// apiKeyClient is the client_id claim of access tokens that API keys are exchanged for.
const apiKeyClient = "api_key"

func (a *Actor) createAPIKey(ctx context.Context, req subjects.CreateAPIKeyRequest) (subjects.NewAPIKey, error) {
	caller := actors.CallerFrom(ctx)
	key, text, err := newAPIKey(req, caller.UserID, a.NewID(), a.Now().UTC())
	if err == nil {
		err = a.credentials.confirmAPIKeyOwner(ctx, req)
	}
	if err != nil {
		return subjects.NewAPIKey{}, err
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if _, err := lockUser(ctx, tx, caller.UserID); err != nil {
			return err
		}
		if err := a.bounds.Reserve(ctx, tx, a.bounds.apiKeys, caller.UserID, 1); err != nil {
			return err
		}
		if err := addAPIKey(ctx, tx, key); err != nil {
			return err
		}
		detail := map[string]string{"key_id": key.ID, "scopes": key.scope()}
		return a.recorder.audit(ctx, tx, auditEntry{action: auditKeyCreate, outcome: auditSuccess, userID: caller.UserID, detail: detail})
	})
	if err != nil {
		return subjects.NewAPIKey{}, err
	}
	return subjects.NewAPIKey{APIKey: key.view(), Key: text}, nil
}

func (a *Actor) listAPIKeys(ctx context.Context, req subjects.ListAPIKeysRequest) (subjects.Page[subjects.APIKey], error) {
	after, err := idCursor(req.Cursor)
	if err != nil {
		return subjects.Page[subjects.APIKey]{}, err
	}
	keys, err := userAPIKeys(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, after, req.PageLimit()+1)
	return pageOf(keys, req.PageLimit(), apiKey.view, func(key apiKey) string { return key.ID }), err
}

// revokeAPIKey revokes the key's access tokens before it deletes the key: after a crash in between, the owner still
// sees the key and can revoke it again.
func (a *Actor) revokeAPIKey(ctx context.Context, req subjects.RevokeAPIKeyRequest) (subjects.Empty, error) {
	userID := actors.CallerFrom(ctx).UserID
	key, err := apiKeyBy(ctx, a.DB.DB, "id", req.KeyID)
	if err != nil {
		return subjects.Empty{}, err
	}
	if key.UserID != userID {
		return subjects.Empty{}, subjects.Errorf(subjects.CodeNotFound, "there is no such API key")
	}
	if err := a.sessions.revoke(ctx, userID, key.ID); err != nil {
		return subjects.Empty{}, err
	}
	return subjects.Empty{}, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := deleteAPIKey(ctx, tx, key.ID); err != nil {
			return err
		}
		detail := map[string]string{"key_id": key.ID}
		return a.recorder.audit(ctx, tx, auditEntry{action: auditKeyRevoke, outcome: auditSuccess, userID: userID, detail: detail})
	})
}

// exchangeAPIKey exchanges a key for a short-lived access token. The token's session ID is the key's ID, and its only
// role is user.
func (a *Actor) exchangeAPIKey(ctx context.Context, req subjects.ExchangeAPIKeyRequest) (subjects.KeyToken, error) {
	now := a.Now().UTC()
	key, err := apiKeyBy(ctx, a.DB.DB, "hash", hashToken(req.Key))
	if isNotFound(err) || err == nil && !key.active(now) {
		return subjects.KeyToken{}, errAPIKey()
	}
	if err != nil {
		return subjects.KeyToken{}, err
	}
	u, err := userByID(ctx, a.DB.DB, key.UserID)
	if isNotFound(err) || err == nil && u.Disabled {
		return subjects.KeyToken{}, errAPIKey()
	}
	if err != nil {
		return subjects.KeyToken{}, err
	}
	if a.config.requiresVerification(u) {
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
	a.apiKeys.recordUse(ctx, key)
	return subjects.KeyToken{
		AccessToken: token, TokenType: "Bearer", ExpiresIn: int(expires.Unix() - now.Unix()), KeyID: key.ID, UserID: u.ID,
	}, nil
}

// keyStates answers services that act for API keys.
type keyStates struct{ *Actor }

// read returns what a key may do now. The state is valid as long as an access token for the key would be: revoking the key
// revokes it too.
func (a keyStates) read(ctx context.Context, req subjects.APIKeyStateRequest) (subjects.APIKeyState, error) {
	now := a.Now().UTC()
	state := subjects.APIKeyState{UserID: req.UserID, Scopes: []string{}, ValidUntil: now.Add(a.config.AccessTTL)}
	key, err := apiKeyBy(ctx, a.DB.DB, "id", req.KeyID)
	if isNotFound(err) || err == nil && (key.UserID != req.UserID || !key.active(now)) {
		return state, nil
	}
	if err != nil {
		return state, err
	}
	u, err := userByID(ctx, a.DB.DB, key.UserID)
	if isNotFound(err) || err == nil && (u.Disabled || a.config.requiresVerification(u)) {
		return state, nil
	}
	if err != nil {
		return state, err
	}
	state.Active, state.Scopes = true, key.Scopes
	if !key.ExpiresAt.IsZero() && key.ExpiresAt.Before(state.ValidUntil) {
		state.ValidUntil = key.ExpiresAt
	}
	return state, nil
}

func errAPIKey() error {
	return subjects.Errorf(subjects.CodeUnauthenticated, "invalid or expired API key")
}
