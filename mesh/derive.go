package mesh

import (
	"crypto/sha256"
	"fmt"
)

// DeriveKey returns 32 bytes that only processes with the connection's nkey can compute, different for each purpose. All
// processes with the same nkey get the same bytes, also after a restart: a signature of Ed25519 is deterministic (RFC 8032 §5.1.6).
func (c *Conn) DeriveKey(purpose string) ([]byte, error) {
	signature, err := c.key.Sign([]byte("weft derived key: " + purpose))
	if err != nil {
		return nil, fmt.Errorf("deriving a key of %s: %w", c.User, err)
	}
	key := sha256.Sum256(signature)
	return key[:], nil
}
