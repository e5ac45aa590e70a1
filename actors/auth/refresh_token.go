package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors/seal"
)

// refreshToken is a parsed refresh token. It contains the IDs of its user and session, so that no index is needed, and
// a MAC, so that only a token that was once issued can count as reused.
type refreshToken struct {
	userID, sessionID string
	text              string
}

// newRefreshToken returns a new token of a session. Both IDs must be UUIDs.
func newRefreshToken(key []byte, userID, sessionID string) (refreshToken, error) {
	raw := make([]byte, 0, refreshBytes)
	for _, id := range []string{userID, sessionID} {
		parsed, err := uuid.Parse(id)
		if err != nil {
			return refreshToken{}, err
		}
		raw = append(raw, parsed[:]...)
	}
	raw = raw[:32+refreshRandom]
	if _, err := rand.Read(raw[32:]); err != nil {
		return refreshToken{}, err
	}
	raw = append(raw, seal.MAC(key, string(raw))[:refreshMAC]...)
	text := refreshPrefix + base64.RawURLEncoding.EncodeToString(raw)
	return refreshToken{userID: userID, sessionID: sessionID, text: text}, nil
}

// parseRefreshToken parses a token and verifies its MAC.
func parseRefreshToken(key []byte, text string) (refreshToken, bool) {
	encoded, ok := strings.CutPrefix(text, refreshPrefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(raw) != refreshBytes || strings.ContainsAny(encoded, "\r\n") {
		return refreshToken{}, false
	}
	body, sum := raw[:refreshBytes-refreshMAC], raw[refreshBytes-refreshMAC:]
	if !hmac.Equal(seal.MAC(key, string(body))[:refreshMAC], sum) {
		return refreshToken{}, false
	}
	user, session := uuid.UUID(bytes.Clone(body[:16])), uuid.UUID(bytes.Clone(body[16:32]))
	return refreshToken{userID: user.String(), sessionID: session.String(), text: text}, true
}

// hash returns the stored hash of the token.
func (t refreshToken) hash() []byte {
	sum := sha256.Sum256([]byte(t.text))
	return sum[:]
}
