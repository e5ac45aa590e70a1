package actortest

import (
	"context"
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// keyID is the id of the key that signs the tests' tokens (the header kid).
const keyID = "actortest"

// tokenLife is the lifetime of the tests' tokens.
const tokenLife = 10 * time.Minute

// User returns a new user id. It is a UUIDv7 and serves as any other id too.
func User() string { return uuid.Must(uuid.NewV7()).String() }

// TokenOption changes the claims of a token.
type TokenOption func(*mesh.Claims)

// WithRoles replaces the token's roles, which are the role user alone otherwise.
func WithRoles(roles ...string) TokenOption { return func(c *mesh.Claims) { c.Roles = roles } }

// WithSession sets the id of the token's session.
func WithSession(id string) TokenOption { return func(c *mesh.Claims) { c.SessionID = id } }

// WithAPIKey makes the token that of an API key with the given scopes, separated by spaces.
func WithAPIKey(keyID, scopes string) TokenOption {
	return func(c *mesh.Claims) { c.KeyID, c.Scope = keyID, scopes }
}

// WithExpiry sets when the token expires.
func WithExpiry(at time.Time) TokenOption { return func(c *mesh.Claims) { c.ExpiresAt = at.Unix() } }

// Token signs an access token of a user. Every actor of the mesh accepts it, because its key is published as auth publishes
// keys. Unless an option says otherwise it has a session of its own and lives ten minutes.
func (m *Mesh) Token(t testing.TB, userID string, options ...TokenOption) string {
	t.Helper()
	now := m.Now()
	claims := mesh.Claims{
		Issuer: Issuer, Audience: Audience, Subject: userID, ClientID: "weft", ID: User(), SessionID: User(),
		IssuedAt: now.Unix(), ExpiresAt: now.Add(tokenLife).Unix(), AuthTime: now.Unix(), Roles: []string{subjects.RoleUser},
	}
	for _, option := range options {
		option(&claims)
	}
	token, err := mesh.SignToken(claims, keyID, m.signingKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// signingKey returns the signing key, generated and published on first use.
func (m *Mesh) signingKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	auth := m.Conn(t, "auth")
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.key != nil {
		return m.key
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := deadline(t)
	bucket, err := kv.Open[subjects.SigningKey](ctx, auth.JS, kv.AuthKeys)
	if err == nil {
		_, err = bucket.Put(ctx, keyID, subjects.SigningKey{KeyID: keyID, Public: public, Status: "current"})
	}
	if err != nil {
		t.Fatalf("publishing the tests' signing key: %v", err)
	}
	m.key = private
	return private
}

// RevokeSession revokes a session as auth does: once it returns, no process accepts the session's tokens.
func (m *Mesh) RevokeSession(t testing.TB, userID, sessionID string) {
	t.Helper()
	ctx, auth := deadline(t), m.Conn(t, "auth")
	bucket, err := kv.Open[subjects.RevokedSession](ctx, auth.JS, kv.AuthRevoked)
	if err != nil {
		t.Fatal(err)
	}
	revision, err := bucket.PutTTL(ctx, sessionID, subjects.RevokedSession{UserID: userID, RevokedAt: m.Now().UTC()}, tokenLife)
	if err == nil {
		err = mesh.RaiseBarrier(ctx, auth, mesh.Barrier{Kind: mesh.BarrierSessions, Revision: revision})
	}
	if err != nil {
		t.Fatalf("revoking a session: %v", err)
	}
}

// Block blocks or unblocks an account as auth does when it is disabled or enabled: once it returns, every process knows.
func (m *Mesh) Block(t testing.TB, userID string, blocked bool) {
	t.Helper()
	ctx, auth := deadline(t), m.Conn(t, "auth")
	bucket, err := kv.Open[subjects.BlockedAccount](ctx, auth.JS, kv.AuthBlocked)
	if err == nil && blocked {
		_, err = bucket.Put(ctx, kv.EncodeKey(userID), subjects.BlockedAccount{Since: m.Now().UTC()})
	} else if err == nil {
		err = bucket.Delete(ctx, kv.EncodeKey(userID))
	}
	if err == nil {
		err = mesh.RaiseBarrier(ctx, auth, mesh.Barrier{Kind: mesh.BarrierAccount, UserID: userID})
	}
	if err != nil {
		t.Fatalf("blocking an account: %v", err)
	}
}

// Consent publishes a user's consents to scopes as the consent actor does, and returns the grants by scope.
func (m *Mesh) Consent(t testing.TB, userID string, scopes ...string) map[string]mesh.Grant {
	t.Helper()
	grants := map[string]mesh.Grant{}
	for _, scope := range scopes {
		id := User()
		m.putConsent(t, userID, scope, subjects.ConsentState{ConsentID: id, Status: "active"})
		grants[scope] = mesh.Grant{UserID: userID, Scope: scope, ConsentID: id}
	}
	return grants
}

// Revoke revokes a user's consent to a scope as the consent actor does: once it returns, no process starts an action under it.
func (m *Mesh) Revoke(t testing.TB, userID, scope string) {
	t.Helper()
	m.putConsent(t, userID, scope, subjects.ConsentState{ConsentID: User(), Status: "revoked"})
	err := mesh.RaiseBarrier(deadline(t), m.Conn(t, "consent"), mesh.Barrier{Kind: mesh.BarrierConsent, UserID: userID, Scope: scope})
	if err != nil {
		t.Fatalf("revoking a consent: %v", err)
	}
}

func (m *Mesh) putConsent(t testing.TB, userID, scope string, state subjects.ConsentState) {
	t.Helper()
	ctx := deadline(t)
	bucket, err := kv.Open[subjects.ConsentState](ctx, m.Conn(t, "consent").JS, kv.ConsentState)
	if err == nil {
		_, err = bucket.Put(ctx, kv.EncodeKey(userID, scope), state)
	}
	if err == nil && state.Status == "active" {
		err = mesh.RaiseBarrier(ctx, m.Conn(t, "consent"), mesh.Barrier{Kind: mesh.BarrierConsentRenewed, UserID: userID, Scope: scope})
	}
	if err != nil {
		t.Fatalf("writing a consent: %v", err)
	}
}

// deadline returns a context that bounds one step of a test. It outlives the test's own context, for cleanups.
func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
