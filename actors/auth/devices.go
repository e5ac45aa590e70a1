package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"slices"

	"github.com/weftmesh/weft/actors"
)

// devices issues and verifies device tokens. A device token is 128 random bits and a MAC over them and the account's
// address: it proves that the device has signed in to the account before.
type devices struct {
	key []byte
}

// Lengths of the parts of a device token, in bytes.
const (
	deviceRandom = 16
	deviceMAC    = 16
)

// issue returns a new device token for an account's address.
func (d devices) issue(email string) string {
	raw := make([]byte, deviceRandom)
	_, _ = rand.Read(raw) // never returns an error (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(slices.Concat(raw, d.mac(email, raw)))
}

// verify reports whether a token was issued for the address.
func (d devices) verify(email, token string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	return err == nil && len(raw) == deviceRandom+deviceMAC && hmac.Equal(d.mac(email, raw[:deviceRandom]), raw[deviceRandom:])
}

// limiterKey returns the key that counts a known device's attempts apart from its network's. It is empty if the token
// was not issued for the address.
func (d devices) limiterKey(email, token string) string {
	if d.verify(email, token) {
		return "device:" + token
	}
	return ""
}

// client returns the fingerprint of the calling client. deviceToken is the one that it sent, or empty.
func (d devices) client(ctx context.Context, deviceToken string) client {
	origin := actors.CallerFrom(ctx).Origin
	c := client{origin: mac(d.key, "place\n"+source(origin.IP)+"\n"+origin.UserAgent)}
	if deviceToken != "" {
		c.device = mac(d.key, "device\n"+deviceToken)
	}
	return c
}

func (d devices) mac(email string, random []byte) []byte {
	return mac(d.key, string(random)+email)[:deviceMAC]
}
