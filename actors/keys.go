package actors

import (
	"context"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// keyLifetime is how long the scopes of an API key are used before they are read again.
	keyLifetime = time.Minute
	// maxKeys bounds the API keys whose scopes are cached.
	maxKeys = 10_000
)

// Keys checks what was caused by an API key when it is done: the key must still have the scope. A revocation takes effect at
// once, as it does for the key's access tokens; other changes within keyLifetime. While the auth actor cannot be asked, a key's
// last known scopes count for as long as an access token would.
type Keys struct {
	conn     *mesh.Conn
	verifier *mesh.Verifier
	now      func() time.Time
	known    *lru.Cache[string, knownKey]
}

type knownKey struct {
	subjects.APIKeyState
	readAt time.Time
}

// NewKeys returns the checks of a process's connection.
func NewKeys(conn *mesh.Conn, verifier *mesh.Verifier, now func() time.Time) *Keys {
	known, err := lru.New[string, knownKey](maxKeys)
	if err != nil {
		panic("actors: a cache's size must be positive")
	}
	return &Keys{conn: conn, verifier: verifier, now: now, known: known}
}

// Check checks that an authority allows a scope at present. The error is CodeForbidden with the scope if a key lacks it, was
// revoked or has expired, and CodeUnavailable or CodeTimeout if that cannot be found out. No API key allows an empty scope.
func (k *Keys) Check(ctx context.Context, userID string, authority mesh.Authority, scope string) error {
	if !authority.Allows(scope) {
		return lacksScope(scope)
	}
	for _, id := range authority.KeyIDs() {
		state, err := k.state(ctx, userID, id)
		switch {
		case err != nil:
			return err
		case !state.Active || k.verifier.Revoked(id):
			return &subjects.Error{
				Code: subjects.CodeForbidden, Detail: "the API key that this is done for was revoked or has expired", Scope: scope,
			}
		case !slices.Contains(state.Scopes, scope):
			return lacksScope(scope)
		}
	}
	return nil
}

func lacksScope(scope string) error {
	return &subjects.Error{Code: subjects.CodeForbidden, Detail: "the API key that this is done for lacks the scope", Scope: scope}
}

// state returns the present state of a user's API key.
func (k *Keys) state(ctx context.Context, userID, id string) (subjects.APIKeyState, error) {
	now := k.now()
	known, ok := k.known.Get(id)
	if ok && known.UserID == userID && now.Sub(known.readAt) < keyLifetime && now.Before(known.ValidUntil) {
		return known.APIKeyState, nil
	}
	state, err := mesh.Call(ctx, k.conn, subjects.GetAPIKeyState, subjects.APIKeyStateRequest{KeyID: id, UserID: userID}, mesh.As{Service: true})
	if err == nil {
		k.known.Add(id, knownKey{state, now})
		return state, nil
	}
	if ok && known.UserID == userID && now.Before(known.ValidUntil) && subjects.Transient(err) {
		return known.APIKeyState, nil
	}
	return subjects.APIKeyState{}, err
}
