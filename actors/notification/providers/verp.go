package providers

import (
	"bytes"
	"crypto/hmac"
	"encoding/base32"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors/seal"
)

// VERP makes envelope senders that name what was sent (variable envelope return path), so that a bounce is assigned to its message
// whatever it says. The token in the address is a notification's id, a tag of the recipient and a MAC: nobody without the key can make one.
type VERP struct {
	// Address takes the bounces, such as bounce@example.com. Mail to bounce+TOKEN@example.com must arrive there (RFC 5233).
	Address string
	Key     []byte
}

const (
	tagBytes = 4
	macBytes = 10
	// tokenLength is that of a token in base32: a local part has at most 64 octets (RFC 5321 §4.5.3.1.1).
	tokenLength = (16 + tagBytes + macBytes) * 8 / 5
	// MaxBounceLocal bounds the local part of VERP.Address.
	MaxBounceLocal = 64 - 1 - tokenLength
)

// tokenEncoding has no upper-case letters: some servers change the case of local parts.
var tokenEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

var tokenPattern = regexp.MustCompile(`(?i)\+([0-9a-v]{48})@`)

// ReturnPath returns the envelope sender of a message. A notification whose id is no UUID gets Address.
func (v VERP) ReturnPath(notificationID, recipient string) string {
	id, err := uuid.Parse(notificationID)
	if err != nil {
		return v.Address
	}
	body := slices.Concat(id[:], v.tag(recipient))
	token := tokenEncoding.EncodeToString(slices.Concat(body, v.mac(body)))
	at := strings.LastIndexByte(v.Address, '@')
	return v.Address[:at] + "+" + token + v.Address[at:]
}

func (v VERP) tag(recipient string) []byte {
	return seal.MAC(v.Key, "recipient "+strings.ToLower(recipient))[:tagBytes]
}

func (v VERP) mac(body []byte) []byte { return seal.MAC(v.Key, "token "+string(body))[:macBytes] }

// bounced is what an authentic token says.
type bounced struct {
	notificationID string
	tag            []byte
}

// open returns what the first authentic token in some addresses says.
func (v VERP) open(addresses []string) (bounced, error) {
	for _, address := range addresses {
		found := tokenPattern.FindStringSubmatch(address)
		if found == nil {
			continue
		}
		token, err := tokenEncoding.DecodeString(strings.ToLower(found[1]))
		if err != nil {
			continue
		}
		body, mac := token[:16+tagBytes], token[16+tagBytes:]
		if hmac.Equal(mac, v.mac(body)) {
			return bounced{uuid.UUID(body[:16]).String(), body[16:]}, nil
		}
	}
	return bounced{}, errors.New("there is no authentic return path")
}

// matches tells whether an address is the one that the message went to.
func (v VERP) matches(b bounced, address string) bool {
	return bytes.Equal(b.tag, v.tag(address))
}
