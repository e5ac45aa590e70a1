package subjects

import (
	"encoding/base64"
	"time"
)

// RefreshTokenRequest carries a refresh token.
type RefreshTokenRequest struct {
	RefreshToken string `json:"refresh_token" minLength:"1" maxLength:"512"`
	DeviceToken  string `json:"device_token,omitempty" maxLength:"128" doc:"The session's device token, which identifies the device if it repeats an exchange from another network."`
}

// RefreshToken exchanges a refresh token for its successor.
var RefreshToken = declare(Endpoint[RefreshTokenRequest, Session]{
	Subject: "weft.v1.auth.refresh_token", Route: "POST /v1/auth/token/refresh", Access: Public,
	Limits: []Limit{PerIP(120, time.Minute)}, Origin: true, ReadOnly: true,
	Summary: "Refresh a session",
	Doc: "Exchanges a refresh token for a new access token and the next refresh token. A refresh token that was just exchanged " +
		"returns the same successor to the same device, recognised by its device_token or by its network and user agent; from " +
		"another device, or later, it ends the session (RFC 9700 §4.14.2). If the address must be verified first, the answer is " +
		"forbidden and the token stays valid.",
})

// LogoutRequest selects the sessions to end.
type LogoutRequest struct {
	All bool `json:"all,omitempty" doc:"End all sessions of the caller, not only the current one."`
}

// Logout ends the caller's session.
var Logout = declare(Endpoint[LogoutRequest, Empty]{
	Subject: "weft.v1.auth.logout", Route: "POST /v1/auth/logout", Access: Enrolling, Origin: true,
	Summary: "Sign out",
	Doc: "Ends the caller's session, or all of them; the latter requires a sign-in within the last five minutes (forbidden), so that a " +
		"stolen token cannot sign the owner out. When the call returns, no actor accepts their access tokens.",
})

// SessionInfo is a session as shown to its user.
type SessionInfo struct {
	SessionID  string    `json:"session_id"`
	Device     string    `json:"device" doc:"The client's user agent at sign-in."`
	IP         string    `json:"ip"`
	CreatedAt  time.Time `json:"created_at"`
	LastSeenAt time.Time `json:"last_seen_at" doc:"When it was last refreshed."`
	ExpiresAt  time.Time `json:"expires_at"`
	IdleAt     time.Time `json:"idle_at,omitzero" doc:"When it expires unless it is refreshed."`
	Current    bool      `json:"current"`
}

// ListSessionsRequest is the request of ListSessions.
type ListSessionsRequest struct{ PageRequest }

// ListSessions lists the caller's sessions.
var ListSessions = declare(Endpoint[ListSessionsRequest, Page[SessionInfo]]{
	Subject: "weft.v1.auth.list_sessions", Route: "GET /v1/auth/sessions", Access: User,
	Summary: "My sessions", Doc: "Lists the caller's live sessions, newest first.",
})

// RevokeSessionRequest names a session.
type RevokeSessionRequest struct {
	SessionID string `json:"session_id" in:"path" format:"uuid"`
}

// RevokeSession ends one of the caller's sessions.
var RevokeSession = declare(Endpoint[RevokeSessionRequest, Empty]{
	Subject: "weft.v1.auth.revoke_session", Route: "DELETE /v1/auth/sessions/{session_id}", Access: User, Origin: true,
	Summary: "End a session",
	Doc: "Ends one of the caller's sessions. To end a session other than the current one requires a sign-in within the last five " +
		"minutes: forbidden. When the call returns, no actor accepts its access tokens.",
})

// ValidateTokenRequest carries an access token.
type ValidateTokenRequest struct {
	Token string `json:"token" minLength:"1" maxLength:"8192"`
}

// TokenStatus describes a token as in RFC 7662 §2.2. For an inactive token all other fields are empty.
type TokenStatus struct {
	Active    bool     `json:"active"`
	Subject   string   `json:"sub,omitempty"`
	SessionID string   `json:"sid,omitempty"`
	ClientID  string   `json:"client_id,omitempty"`
	TokenType string   `json:"token_type,omitempty"`
	Issuer    string   `json:"iss,omitempty"`
	Audience  string   `json:"aud,omitempty"`
	IssuedAt  int64    `json:"iat,omitempty"`
	ExpiresAt int64    `json:"exp,omitempty"`
	Roles     []string `json:"roles,omitempty"`
	Scope     string   `json:"scope,omitempty"`
}

// ValidateToken introspects an access token.
var ValidateToken = declare(Endpoint[ValidateTokenRequest, TokenStatus]{
	Subject: "weft.v1.auth.validate_token", Route: "POST /v1/auth/token/validate", Access: Public, ReadOnly: true,
	Body:    Body{Kind: BodyForm},
	Summary: "Validate an access token",
	Doc:     "Returns whether an access token is active, and its claims (RFC 7662). For any other token it returns active: false.",
})

// JSONWebKey is a public key (RFC 7517, RFC 8037).
type JSONWebKey struct {
	KeyType   string `json:"kty" enum:"OKP"`
	Curve     string `json:"crv" enum:"Ed25519"`
	X         string `json:"x"`
	KeyID     string `json:"kid"`
	Use       string `json:"use" enum:"sig"`
	Algorithm string `json:"alg" enum:"EdDSA"`
}

// JSONWebKeySet is a set of public keys (RFC 7517 §5).
type JSONWebKeySet struct {
	Keys []JSONWebKey `json:"keys"`
}

// JWKS publishes the public keys that verify access tokens.
var JWKS = declare(Endpoint[Empty, JSONWebKeySet]{
	Subject: "weft.v1.auth.jwks", Route: "GET /.well-known/jwks.json", Access: Public,
	Summary: "Public keys",
	Doc:     "Returns the public keys that verify access tokens: the next, the current and the recently retired ones.",
})

// SigningKey is a public key as stored in the bucket auth_keys, under its key id.
type SigningKey struct {
	KeyID  string `json:"kid"`
	Public []byte `json:"public" doc:"The 32 bytes of an Ed25519 public key."`
	Status string `json:"status" enum:"next,current,retired"`
}

// JSONWebKey returns the key as a JSON Web Key (RFC 8037 §2).
func (k SigningKey) JSONWebKey() JSONWebKey {
	return JSONWebKey{
		KeyType: "OKP", Curve: "Ed25519", X: base64.RawURLEncoding.EncodeToString(k.Public), KeyID: k.KeyID, Use: "sig", Algorithm: "EdDSA",
	}
}

// EverySession is the key in the bucket auth_revoked that revokes every session: access tokens issued up to RevokedAt are
// invalid. It does not affect API keys.
const EverySession = "every_session"

// RevokedSession is a value of the bucket auth_revoked, under the session's id. It is kept for the maximum lifetime of an
// access token.
type RevokedSession struct {
	UserID    string    `json:"user_id"`
	RevokedAt time.Time `json:"revoked_at"`
}

// BlockedAccount is a value of the bucket auth_blocked, under the account's id: nothing starts on the account's behalf, and none
// of its access tokens is valid.
type BlockedAccount struct {
	Since time.Time `json:"since"`
	// Deleted is set if the account was deleted. The entry then expires once no access token of the account can be valid.
	Deleted bool `json:"deleted,omitempty"`
}
