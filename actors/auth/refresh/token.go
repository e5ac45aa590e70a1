// Package refresh makes and parses refresh tokens.
package refresh

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

// A refresh token is prefix and the base64url encoding of user ID, session ID, 256 random bits and the MAC.
const (
	prefix      = "wrt_"
	randomBytes = 32
	macBytes    = 16
	rawBytes    = 16 + 16 + randomBytes + macBytes
)

// Token is a parsed refresh token. It contains the IDs of its user and session, so that no index is needed, and
// a MAC, so that only a token that was once issued can count as reused.
type Token struct {
	UserID, SessionID string
	// Text is the token as the client has it.
	Text string
}

// New returns a new token of a session. Both IDs must be UUIDs.
func New(key []byte, userID, sessionID string) (Token, error) {
	raw := make([]byte, 0, rawBytes)
	for _, id := range []string{userID, sessionID} {
		parsed, err := uuid.Parse(id)
		if err != nil {
			return Token{}, err
		}
		raw = append(raw, parsed[:]...)
	}
	raw = raw[:32+randomBytes]
	if _, err := rand.Read(raw[32:]); err != nil {
		return Token{}, err
	}
	raw = append(raw, seal.MAC(key, string(raw))[:macBytes]...)
	text := prefix + base64.RawURLEncoding.EncodeToString(raw)
	return Token{UserID: userID, SessionID: sessionID, Text: text}, nil
}

// Parse parses a token and verifies its MAC.
func Parse(key []byte, text string) (Token, bool) {
	encoded, ok := strings.CutPrefix(text, prefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(raw) != rawBytes || strings.ContainsAny(encoded, "\r\n") {
		return Token{}, false
	}
	body, sum := raw[:rawBytes-macBytes], raw[rawBytes-macBytes:]
	if !hmac.Equal(seal.MAC(key, string(body))[:macBytes], sum) {
		return Token{}, false
	}
	user, session := uuid.UUID(bytes.Clone(body[:16])), uuid.UUID(bytes.Clone(body[16:32]))
	return Token{UserID: user.String(), SessionID: session.String(), Text: text}, true
}

// Hash returns the stored hash of the token.
func (t Token) Hash() []byte {
	sum := sha256.Sum256([]byte(t.Text))
	return sum[:]
}
