package notification

import (
	"bytes"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/seal"
)

// unsubscription is what a token names.
type unsubscription struct{ userID, category, channel string }

// fixedCategories cannot be unsubscribed from.
var fixedCategories = []string{categorySecurity}

// canUnsubscribe reports whether a user may unsubscribe from a category.
func canUnsubscribe(category string) bool { return !slices.Contains(fixedCategories, category) }

// The parts of a token: a version, the names, separated by a byte that none contains, and a MAC.
const (
	tokenVersion   = 1
	tokenSeparator = "\x00"
	tokenMAC       = 16
)

// token returns the token of an unsubscription. It is the same for the same unsubscription, and does not expire.
func (u unsubscription) token(key []byte) string {
	body := string(rune(tokenVersion)) + strings.Join([]string{u.userID, u.category, u.channel}, tokenSeparator)
	return base64.RawURLEncoding.EncodeToString(append([]byte(body), seal.MAC(key, body)[:tokenMAC]...))
}

var errNoToken = errors.New("the token is not authentic")

// readToken returns what a token names, or errNoToken.
func readToken(key []byte, token string) (unsubscription, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(data) <= tokenMAC+1 {
		return unsubscription{}, errNoToken
	}
	body, mac := data[:len(data)-tokenMAC], data[len(data)-tokenMAC:]
	if body[0] != tokenVersion || !hmac.Equal(mac, seal.MAC(key, string(body))[:tokenMAC]) {
		return unsubscription{}, errNoToken
	}
	parts := bytes.Split(body[1:], []byte(tokenSeparator))
	if len(parts) != 3 {
		return unsubscription{}, errNoToken
	}
	u := unsubscription{string(parts[0]), string(parts[1]), string(parts[2])}
	if !canUnsubscribe(u.category) {
		return unsubscription{}, errNoToken
	}
	return u, nil
}
