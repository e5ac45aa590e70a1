package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"slices"

	"github.com/weftmesh/weft/actors"
)

// A device token is 128 random bits and a MAC over them and the address: it knows a device that signed in to the
// account before, by nothing that a stranger could have.
const (
	deviceRandom = 16
	deviceMAC    = 16
)

// newDevice makes a device token for an account's address.
func (a *Actor) newDevice(email string) string {
	raw := make([]byte, deviceRandom)
	_, _ = rand.Read(raw) // never fails, says crypto/rand
	return base64.RawURLEncoding.EncodeToString(slices.Concat(raw, a.deviceSum(email, raw)))
}

// knownDevice tells whether a token was made for the address, and what to count the device by.
func (a *Actor) knownDevice(email, token string) (id string, known bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != deviceRandom+deviceMAC || !hmac.Equal(a.deviceSum(email, raw[:deviceRandom]), raw[deviceRandom:]) {
		return "", false
	}
	return token, true
}

// clientOf sums up who calls, and the device token they gave.
func (a *Actor) clientOf(ctx context.Context, deviceToken string) client {
	origin := actors.CallerFrom(ctx).Origin
	c := client{place: mac(a.deviceKey, "place\n"+source(origin.IP)+"\n"+origin.UserAgent)}
	if deviceToken != "" {
		c.device = mac(a.deviceKey, "device\n"+deviceToken)
	}
	return c
}

// countedDevice is what attempts of a known device are counted by; empty: it is not known.
func (a *Actor) countedDevice(email, token string) string {
	if id, known := a.knownDevice(email, token); known {
		return "device:" + id
	}
	return ""
}

func (a *Actor) deviceSum(email string, random []byte) []byte {
	return mac(a.deviceKey, string(random)+email)[:deviceMAC]
}
