package mesh

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
)

// jwsHeader is the JOSE header. A token with any other member, such as crit or b64, is rejected.
type jwsHeader struct {
	Algorithm string `json:"alg"`
	Type      string `json:"typ"`
	KeyID     string `json:"kid"`
}

// jwsAlgorithm is the only algorithm of weft's tokens.
const jwsAlgorithm = "EdDSA"

// errJWS is the error of every token that is not exactly what SignJWS produces.
var errJWS = errors.New("the token is invalid")

// SignJWS signs claims with an Ed25519 key (RFC 8037) as a compact JWS of a type.
func SignJWS(typ, keyID string, claims any, key ed25519.PrivateKey) (string, error) {
	header, err := json.Marshal(jwsHeader{Algorithm: jwsAlgorithm, Type: typ, KeyID: keyID})
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

// ParseJWS verifies a token's form, type and signature, and decodes its claims. It accepts only what SignJWS produces (RFC 8725 §3): at most
// maxBytes; canonical base64url; a header with exactly alg EdDSA, the type and a known kid; no unknown, duplicate or differently cased
// member. The caller verifies what the claims say.
func ParseJWS(token, typ string, maxBytes int, claims any, key func(kid string) (ed25519.PublicKey, bool)) error {
	if len(token) > maxBytes {
		return errJWS
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errJWS
	}
	var header jwsHeader
	if err := decodePart(parts[0], &header); err != nil {
		return err
	}
	if header.Algorithm != jwsAlgorithm || header.Type != typ {
		return errJWS
	}
	public, ok := key(header.KeyID)
	if !ok {
		return errJWS
	}
	signature, err := canonicalBase64(parts[2])
	if err != nil {
		return errJWS
	}
	if err := jwt.SigningMethodEdDSA.Verify(parts[0]+"."+parts[1], signature, public); err != nil {
		return errJWS
	}
	return decodePart(parts[1], claims)
}

func decodePart(part string, v any) error {
	data, err := canonicalBase64(part)
	if err != nil {
		return errJWS
	}
	if err := json.Unmarshal(data, v, json.RejectUnknownMembers(true)); err != nil {
		return errJWS
	}
	return nil
}

// canonicalBase64 rejects padding, line breaks and non-zero trailing bits.
func canonicalBase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, errJWS
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}
