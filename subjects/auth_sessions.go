package subjects

import "time"

// RefreshTokenRequest carries a refresh token.
type RefreshTokenRequest struct {
	RefreshToken string `json:"refresh_token" minLength:"1" maxLength:"512"`
	DeviceToken  string `json:"device_token,omitempty" maxLength:"128" doc:"The session's own: with it a repeated exchange is known from another network too."`
}

// RefreshToken exchanges a refresh token for its successor.
var RefreshToken = declare(Endpoint[RefreshTokenRequest, Session]{
	Subject: "weft.v1.auth.refresh_token", Route: "POST /v1/auth/token/refresh", Access: Public,
	Limits: []Limit{PerIP(120, time.Minute)}, Origin: true, ReadOnly: true,
	Summary: "Refresh a session",
	Doc: "Exchanges a refresh token for a new access token and the refresh token's successor. A token that was " +
		"exchanged a moment ago answers with the same successor to the device that exchanged it, known by its device_token or " +
		"by its network and user agent; to another device, and later, it ends the session (RFC 9700 §4.14.2). Where " +
		"the address must be verified first, it is forbidden, and the token stays good.",
})

// LogoutRequest says what ends.
type LogoutRequest struct {
	All bool `json:"all,omitempty" doc:"End every session of the caller's, not this one alone."`
}

// Logout ends the caller's session.
var Logout = declare(Endpoint[LogoutRequest, Empty]{
	Subject: "weft.v1.auth.logout", Route: "POST /v1/auth/logout", Access: Enrolling, Origin: true,
	Summary: "Sign out",
	Doc: "Ends the caller's session, or all of them: that needs a sign-in of the last five minutes (forbidden), so that who has " +
		"stolen a token signs no owner out. Once it has answered, no actor takes their access tokens.",
})

// SessionInfo is a session as its user sees it.
type SessionInfo struct {
	SessionID  string    `json:"session_id"`
	Device     string    `json:"device" doc:"What the device called itself at sign-in."`
	IP         string    `json:"ip"`
	CreatedAt  time.Time `json:"created_at"`
	LastSeenAt time.Time `json:"last_seen_at" doc:"When it was last refreshed."`
	ExpiresAt  time.Time `json:"expires_at"`
	IdleAt     time.Time `json:"idle_at,omitzero" doc:"When it ends unless it is refreshed before."`
	Current    bool      `json:"current"`
}

// ListSessionsRequest asks for a page.
type ListSessionsRequest struct{ PageRequest }

// ListSessions lists the caller's sessions.
var ListSessions = declare(Endpoint[ListSessionsRequest, Page[SessionInfo]]{
	Subject: "weft.v1.auth.list_sessions", Route: "GET /v1/auth/sessions", Access: User,
	Summary: "My sessions", Doc: "Lists the caller's live sessions, the newest first.",
})

// RevokeSessionRequest names a session.
type RevokeSessionRequest struct {
	SessionID string `json:"session_id" in:"path" format:"uuid"`
}

// RevokeSession ends one of the caller's sessions.
var RevokeSession = declare(Endpoint[RevokeSessionRequest, Empty]{
	Subject: "weft.v1.auth.revoke_session", Route: "DELETE /v1/auth/sessions/{session_id}", Access: User, Origin: true,
	Summary: "End a session",
	Doc: "Ends one of the caller's sessions; another than this one after a sign-in of the last five minutes alone: forbidden. Once " +
		"it has answered, no actor takes its access tokens.",
})

// ValidateTokenRequest carries an access token.
type ValidateTokenRequest struct {
	Token string `json:"token" minLength:"1" maxLength:"8192"`
}

// TokenStatus tells about a token, after RFC 7662 §2.2. Of one that is not active it says nothing else.
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

// ValidateToken tells whether an access token is good now.
var ValidateToken = declare(Endpoint[ValidateTokenRequest, TokenStatus]{
	Subject: "weft.v1.auth.validate_token", Route: "POST /v1/auth/token/validate", Access: Public, ReadOnly: true,
	Body:    Body{Kind: BodyForm},
	Summary: "Is a token good?",
	Doc:     "Tells whether an access token is good now, and whose it is (RFC 7662). Of any other it says active: false.",
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

// JWKS publishes the keys that access tokens are verified with.
var JWKS = declare(Endpoint[Empty, JSONWebKeySet]{
	Subject: "weft.v1.auth.jwks", Route: "GET /.well-known/jwks.json", Access: Public,
	Summary: "Public keys",
	Doc:     "Publishes the keys that access tokens are verified with: the next, the current and those retired lately.",
})

// SigningKey is a public key as the bucket auth_keys keeps it, under its key id.
type SigningKey struct {
	KeyID  string `json:"kid"`
	Public []byte `json:"public" doc:"The 32 bytes of an Ed25519 public key."`
	Status string `json:"status" enum:"next,current,retired"`
}

// EverySession is the key in the bucket auth_revoked under which every session is revoked that an access token was made
// for until then: RevokedAt says until when. API keys are no sessions, and go on.
const EverySession = "every_session"

// RevokedSession is what the bucket auth_revoked keeps, under the session's id, as long as an access
// token of the session may live.
type RevokedSession struct {
	UserID    string    `json:"user_id"`
	RevokedAt time.Time `json:"revoked_at"`
}
