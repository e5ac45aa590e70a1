package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"slices"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth/lockout"
	"github.com/weftmesh/weft/actors/seal"
)

// devices issues and verifies device tokens. A device token is 128 random bits and a MAC over them and the account's ID: it
// proves that the device has signed in to the account before. It does not outlive the account.
type devices struct {
	key []byte
}

// Lengths of the parts of a device token, in bytes.
const (
	deviceRandom = 16
	deviceMAC    = 16
)

// issue returns a new device token for an account.
func (d devices) issue(userID string) string {
	raw := make([]byte, deviceRandom)
	_, _ = rand.Read(raw) // never returns an error (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(slices.Concat(raw, d.mac(userID, raw)))
}

// verify reports whether a token was issued for the account.
func (d devices) verify(userID, token string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	return err == nil && len(raw) == deviceRandom+deviceMAC && hmac.Equal(d.mac(userID, raw[:deviceRandom]), raw[deviceRandom:])
}

// limiterKey returns the key that counts a known device's attempts apart from its network's. It is empty if the token
// was not issued for the account.
func (d devices) limiterKey(userID, token string) string {
	if d.verify(userID, token) {
		return "device:" + token
	}
	return ""
}

// client returns the fingerprint of the calling client. deviceToken is the one that it sent, or empty.
func (d devices) client(ctx context.Context, deviceToken string) client {
	origin := actors.CallerFrom(ctx).Origin
	c := client{origin: seal.MAC(d.key, "place\n"+lockout.Source(origin.IP)+"\n"+origin.UserAgent)}
	if deviceToken != "" {
		c.device = seal.MAC(d.key, "device\n"+deviceToken)
	}
	return c
}

func (d devices) mac(userID string, random []byte) []byte {
	return seal.MAC(d.key, string(random)+userID)[:deviceMAC]
}
