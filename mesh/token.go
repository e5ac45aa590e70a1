package mesh

import (
	"crypto/ed25519"
	"errors"
	"time"
)

// Claims are the claims of an access token (RFC 9068 §2.2). A token with any other claim is rejected.
type Claims struct {
	Issuer    string   `json:"iss"`
	Audience  string   `json:"aud"`
	Subject   string   `json:"sub"`
	ClientID  string   `json:"client_id"`
	ID        string   `json:"jti"`
	SessionID string   `json:"sid"`
	IssuedAt  int64    `json:"iat"`
	ExpiresAt int64    `json:"exp"`
	AuthTime  int64    `json:"auth_time"`
	Roles     []string `json:"roles,omitempty"`
	// Scope is the space-separated list of scopes that a token issued for an API key, or for a user who must set up a second
	// factor first, is restricted to. Empty for other tokens.
	Scope string `json:"scope,omitempty"`
	// KeyID is the API key that the token was issued for.
	KeyID string `json:"key_id,omitempty"`
}

const (
	tokenType = "at+jwt"
	// maxTokenBytes is the maximum length of a token that is parsed.
	maxTokenBytes = 4096
	// clockSkew is how far iat may be ahead of the verifier's clock.
	clockSkew = 5 * time.Second
)

var errToken = errors.New("not an access token issued by weft")

// SignToken signs claims with an Ed25519 key (RFC 8037).
func SignToken(claims Claims, keyID string, key ed25519.PrivateKey) (string, error) {
	return SignJWS(tokenType, keyID, claims, key)
}

// ParseToken verifies a token's form, signature, issuer, audience and times, and returns its claims. It accepts only what SignToken
// produces (RFC 8725 §3): canonical base64url; a header with exactly alg EdDSA, typ at+jwt and a known kid; no unknown, duplicate or
// differently cased member; and every mandatory claim of RFC 9068.
func ParseToken(
	token, issuer, audience string, now time.Time, key func(kid string) (ed25519.PublicKey, bool),
) (Claims, error) {
	var claims Claims
	if err := ParseJWS(token, tokenType, maxTokenBytes, &claims, key); err != nil {
		return claims, errToken
	}
	return claims, claims.check(issuer, audience, now)
}

func (c Claims) check(issuer, audience string, now time.Time) error {
	if c.Issuer != issuer || c.Audience != audience || c.Subject == "" || c.SessionID == "" || c.ID == "" ||
		c.ClientID == "" || c.ExpiresAt == 0 || c.IssuedAt == 0 {
		return errToken
	}
	if !now.Before(time.Unix(c.ExpiresAt, 0)) || now.Add(clockSkew).Before(time.Unix(c.IssuedAt, 0)) {
		return errToken
	}
	return nil
}
