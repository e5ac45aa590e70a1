package ledger

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// decodeBase64 decodes standard Base64 with padding, and refuses every other form of the same bytes.
func decodeBase64(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("decoding Base64: %w", err)
	}
	return raw, nil
}

func ed25519Verifier(key []byte) func(message, signature []byte) bool {
	return func(message, signature []byte) bool { return ed25519.Verify(key, message, signature) }
}

// leafOf is the leaf of an entry of the stream.
func leafOf(entry []byte) [leafBytes]byte { return sha256.Sum256(entry) }
