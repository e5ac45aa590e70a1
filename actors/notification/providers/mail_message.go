package providers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"time"

	"github.com/vanng822/go-premailer/premailer"
	"github.com/wneessen/go-mail"

	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/mesh"
)

// maxInlined bounds the HTML whose style sheets are inlined, in bytes. Gmail shows no more than 102 KiB of a message.
const maxInlined = 256 << 10

// Sender is whom mail comes from.
type Sender struct {
	From *netmail.Address
	// Now dates messages.
	Now func() time.Time
}

// newSender returns the sender of a setting such as `weft <weft@example.com>` (RFC 5322 §3.4).
func newSender(from string, now func() time.Time) (Sender, error) {
	parsed, err := netmail.ParseAddress(from)
	if err != nil {
		return Sender{}, fmt.Errorf("reading the sender %q: %w", from, err)
	}
	return Sender{parsed, now}, nil
}

// checkSender returns a SettingError unless value is an e-mail address, with or without a name.
func checkSender(setting, value string) error {
	if _, err := netmail.ParseAddress(value); err != nil {
		return mesh.InvalidSetting(setting, "is %q, and must be an e-mail address: %v", value, err)
	}
	return nil
}

// domain returns the domain of the sender's address.
func (s Sender) domain() string { return domainOf(s.From.Address) }

// domainOf returns the domain of an address in lower case.
func domainOf(address string) string {
	return strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
}

// messageID returns the Message-ID of a message, without angle brackets. It is the same in every attempt.
func (s Sender) messageID(m channel.Message) string { return m.ID + "@" + s.domain() }

// compose returns a message in the Internet Message Format (RFC 5322), with CRLF as line ends: the text, and the HTML as an alternative
// if there is any. Repeated for the same message it differs in the date only.
func (s Sender) compose(m channel.Message) ([]byte, error) {
	boundary := sha256.Sum256([]byte(m.ID))
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent(), mail.WithBoundary("weft-"+hex.EncodeToString(boundary[:12])))
	if err := errors.Join(msg.From(s.From.String()), msg.To(m.Address.To)); err != nil {
		return nil, &channel.Error{Class: channel.Permanent, Detail: "addressing an e-mail: the address is invalid", Cause: err}
	}
	msg.SetMessageIDWithValue(s.messageID(m))
	msg.SetDateWithValue(s.Now().UTC())
	msg.Subject(oneLine(m.Subject))
	for name, value := range listHeaders(m) {
		msg.SetGenHeader(mail.Header(name), value)
	}
	msg.SetBodyString(mail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		msg.AddAlternativeString(mail.TypeTextHTML, inlined(m.HTML))
	}
	var raw bytes.Buffer
	if _, err := msg.WriteTo(&raw); err != nil {
		return nil, &channel.Error{Class: channel.Permanent, Detail: "composing an e-mail", Cause: fmt.Errorf("composing an e-mail: %w", err)}
	}
	return raw.Bytes(), nil
}

// oneLine replaces line breaks by spaces, so that a subject cannot look like further headers once a client decodes it.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// The headers by which a recipient unsubscribes (RFC 2369 §3.2, RFC 8058 §3.1).
const (
	headerUnsubscribe     = "List-Unsubscribe"
	headerUnsubscribePost = "List-Unsubscribe-Post"
)

// listHeaders returns the headers by which the recipient unsubscribes from a message's category; none if it has no such URL. One-click
// takes an https URL (RFC 8058 §3.1).
func listHeaders(m channel.Message) map[string]string {
	if m.UnsubscribeURL == "" {
		return nil
	}
	headers := map[string]string{headerUnsubscribe: "<" + m.UnsubscribeURL + ">"}
	if strings.HasPrefix(m.UnsubscribeURL, "https://") {
		headers[headerUnsubscribePost] = "List-Unsubscribe=One-Click"
	}
	return headers
}

// inlined moves the rules of style sheets into style attributes, since several clients drop style sheets. HTML that cannot be read, or
// is larger than maxInlined, remains as it is.
func inlined(html string) (result string) {
	if len(html) > maxInlined || !strings.Contains(html, "<style") {
		return html
	}
	defer func() {
		if recover() != nil { // a parser that fails on a style sheet must not fail the delivery
			result = html
		}
	}()
	p, err := premailer.NewPremailerFromString(html, premailer.NewOptions())
	if err != nil {
		return html
	}
	if text, err := p.Transform(); err == nil {
		return text
	}
	return html
}
