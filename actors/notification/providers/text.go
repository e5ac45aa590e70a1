package providers

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/subjects"
)

// smsText returns the text of an SMS: the rendered text, or else the subject.
func smsText(m channel.Message) string {
	if text := strings.TrimSpace(m.Text); text != "" {
		return text
	}
	return strings.TrimSpace(m.Subject)
}

// cut shortens text to a number of characters.
func cut(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	runes := []rune(text)
	return string(runes[:limit-1]) + "…"
}

// cutBytes shortens text to a number of bytes, of which the ellipsis takes three.
func cutBytes(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := max(limit-len("…"), 0)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// secondsLeft is how long a message is of use; negative if it does not expire.
func secondsLeft(m channel.Message, now time.Time) int {
	if m.ExpiresAt.IsZero() {
		return -1
	}
	return max(int(m.ExpiresAt.Sub(now)/time.Second), 0)
}

// urgent reports whether a push message is to be shown at once. Marketing may wait until the device is awake.
func urgent(m channel.Message) bool { return m.Category != "marketing" }

// collapseID is the same for all attempts for one notification, so that a device shows one of them: 32 characters of base64url.
func collapseID(m channel.Message) string {
	sum := sha256.Sum256([]byte(m.NotificationID))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}

// minText is the length in bytes below which a text is not shortened further.
const minText = 16

// fitting estimates how much of a text fits where its message takes size bytes as JSON and may take limit. A byte takes one to six.
func fitting(text string, size, limit int) int {
	encoded, err := subjects.Encode(text)
	if err != nil || len(encoded) == 0 {
		return 0
	}
	room := limit - (size - len(encoded)) - len("…")
	return room * len(text) / len(encoded)
}

// fit encodes a push message as JSON of at most limit bytes. encode makes it from title, text and data; first the data is left out, then
// the text is shortened. ok is false if it is too large even so.
func fit(m channel.Message, limit int, encode func(title, text string, data map[string]json.RawMessage) any) (encoded []byte, ok bool) {
	title, text := cutBytes(m.Subject, 256), m.Text
	for data := m.Data; ; {
		encoded, err := subjects.Encode(encode(title, text, data))
		switch {
		case err != nil:
			return nil, false
		case len(encoded) <= limit:
			return encoded, true
		case len(data) > 0:
			data = nil
		case len(text) > minText:
			text = cutBytes(text, max(min(fitting(text, len(encoded), limit), len(text)-4), minText))
		default:
			return nil, false
		}
	}
}
