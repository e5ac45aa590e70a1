package mesh

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
)

// Claims are an access token's claims (RFC 9068 §2.2). No other claim is accepted.
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
	// Scope is set on tokens made from an API key: the scopes it is confined to, space-separated; and on those of users who
	// must set up a second factor first.
	Scope string `json:"scope,omitempty"`
	// KeyID is the API key a token was made from.
	KeyID string `json:"key_id,omitempty"`
}

// tokenHeader is the whole of an accepted JOSE header: anything else, crit and b64 included, is refused.
type tokenHeader struct {
	Algorithm string `json:"alg"`
	Type      string `json:"typ"`
	KeyID     string `json:"kid"`
}

const (
	tokenAlgorithm = "EdDSA"
	tokenType      = "at+jwt"
	// maxTokenBytes bounds what is parsed at all.
	maxTokenBytes = 4096
	// clockSkew is how far issuer's and verifier's clocks may be apart (RFC 8725 leaves it open).
	clockSkew = 5 * time.Second
)

var errToken = errors.New("not an access token of ours")

// SignToken signs claims with an Ed25519 key.
func SignToken(claims Claims, keyID string, key ed25519.PrivateKey) (string, error) {
	header, err := json.Marshal(tokenHeader{Algorithm: tokenAlgorithm, Type: tokenType, KeyID: keyID})
	if err != nil {
		return "", fmt.Errorf("encoding a token header: %w", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := jwt.SigningMethodEdDSA.Sign(signed, key)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// ParseToken verifies a token's form, signature, issuer, audience and times, and returns its claims.
// It accepts what SignToken makes and nothing else (RFC 8725 §3): canonical base64url, exactly alg
// EdDSA, typ at+jwt and a known kid in the header, no unknown, duplicate or differently cased member
// anywhere, every mandatory claim of RFC 9068.
func ParseToken(
	token, issuer, audience string, now time.Time, key func(kid string) (ed25519.PublicKey, bool),
) (Claims, error) {
	var claims Claims
	if len(token) > maxTokenBytes {
		return claims, errToken
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return claims, errToken
	}
	var header tokenHeader
	if err := decodePart(parts[0], &header); err != nil {
		return claims, err
	}
	if header.Algorithm != tokenAlgorithm || header.Type != tokenType {
		return claims, errToken
	}
	public, ok := key(header.KeyID)
	if !ok {
		return claims, errToken
	}
	signature, err := canonicalBase64(parts[2])
	if err != nil {
		return claims, errToken
	}
	if err := jwt.SigningMethodEdDSA.Verify(parts[0]+"."+parts[1], signature, public); err != nil {
		return claims, errToken
	}
	if err := decodePart(parts[1], &claims); err != nil {
		return claims, err
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

func decodePart(part string, v any) error {
	data, err := canonicalBase64(part)
	if err != nil {
		return errToken
	}
	if err := json.Unmarshal(data, v, json.RejectUnknownMembers(true)); err != nil {
		return errToken
	}
	return nil
}

// canonicalBase64 refuses padding, line breaks and non-zero trailing bits.
func canonicalBase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, errToken
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}
