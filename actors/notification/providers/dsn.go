package providers

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	netmail "net/mail"
	"net/textproto"
	"regexp"
	"strings"
)

// Bounce is what a bounced mail says: a delivery status notification (RFC 3464), a feedback report (ARF, RFC 5965), or a text that some
// servers send in place of either.
type Bounce struct {
	// To has the addresses that the mail was delivered to, and the envelope senders that it quotes.
	To []string
	// Recipients are those of the message that bounced.
	Recipients []BouncedRecipient
	// Complaint says that it is a feedback report of type abuse.
	Complaint bool
}

// BouncedRecipient is one recipient of a delivery status notification (RFC 3464 §2.3).
type BouncedRecipient struct {
	Original, Final string
	// Action is failed, delayed, delivered, relayed or expanded.
	Action string
	// Status is the enhanced status code (RFC 3463), Diagnostic the server's reply.
	Status, Diagnostic string
}

const (
	// maxQuoted bounds the text of a part that is looked at in bytes.
	maxQuoted = 256 << 10
	// maxStatusFields bounds the recipients of one mail.
	maxStatusFields = 100
)

// errNoBounce says that a mail is no bounce: an answer, an absence notice, spam.
var errNoBounce = errors.New("the mail is no bounce")

// ParseBounce reads a mail. The error is errNoBounce for one that reports nothing.
func ParseBounce(raw []byte) (Bounce, error) {
	header, parts := readMail(raw)
	b := Bounce{}
	for _, name := range []string{"Delivered-To", "X-Original-To", "Envelope-To", "X-Delivered-To", "To"} {
		b.To = append(b.To, header[textproto.CanonicalMIMEHeaderKey(name)]...)
	}
	found := b.readReport(parts)
	if !found {
		found = b.readText(header, parts)
	}
	if !found {
		return b, errNoBounce
	}
	if failed := header.Get("X-Failed-Recipients"); failed != "" && len(b.Recipients) == 1 && b.Recipients[0].Original == "" {
		b.Recipients[0].Original = address(failed)
	}
	return b, nil
}

// readReport reads the parts of a report. It tells whether there is one.
func (b *Bounce) readReport(parts []mailPart) (found bool) {
	for _, p := range parts {
		content := p.content[:min(len(p.content), maxQuoted)]
		switch p.kind {
		case "message/delivery-status", "message/global-delivery-status":
			found = b.readStatus(content) || found
		case "message/feedback-report":
			found = b.readFeedback(content) || found
		case "message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers", "message/global-headers":
			b.readOriginal(content)
		}
	}
	return found
}

// fields reads the groups of fields of a report, which empty lines separate (RFC 3464 §2.1).
func fields(content []byte) (groups []textproto.MIMEHeader) {
	reader := textproto.NewReader(bufio.NewReader(bytes.NewReader(bytes.TrimLeft(content, "\r\n"))))
	for len(groups) <= maxStatusFields {
		group, err := reader.ReadMIMEHeader()
		if len(group) > 0 {
			groups = append(groups, group)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) || len(group) == 0 {
				return groups
			}
		}
	}
	return groups
}

// readStatus reads a delivery status: a group about the message and one for each recipient.
func (b *Bounce) readStatus(content []byte) bool {
	found := false
	for _, group := range fields(content) {
		if envelope := group.Get("Original-Envelope-Id"); envelope != "" {
			b.To = append(b.To, envelope)
		}
		if group.Get("Action") == "" && group.Get("Final-Recipient") == "" {
			continue
		}
		found = true
		status, _, _ := strings.Cut(strings.TrimSpace(group.Get("Status")), " ")
		b.Recipients = append(b.Recipients, BouncedRecipient{
			Original: typed(group.Get("Original-Recipient")), Final: typed(group.Get("Final-Recipient")),
			Action: strings.ToLower(strings.Fields(group.Get("Action") + " failed")[0]), Status: status,
			Diagnostic: oneLine(after(group.Get("Diagnostic-Code"))),
		})
	}
	return found
}

// readFeedback reads a feedback report.
func (b *Bounce) readFeedback(content []byte) bool {
	for _, group := range fields(content) {
		kind := strings.ToLower(strings.TrimSpace(group.Get("Feedback-Type")))
		if kind != "abuse" && kind != "fraud" {
			continue
		}
		b.Complaint = true
		b.To = append(b.To, group.Get("Original-Mail-From"))
		for _, to := range group["Original-Rcpt-To"] {
			b.Recipients = append(b.Recipients, BouncedRecipient{Final: address(to)})
		}
		return true
	}
	return false
}

// readOriginal reads the header of the message that is returned.
func (b *Bounce) readOriginal(content []byte) {
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(content))).ReadMIMEHeader()
	if err != nil && len(header) == 0 {
		return
	}
	b.To = append(b.To, header["Return-Path"]...)
	if to := address(header.Get("To")); to != "" {
		for i := range b.Recipients {
			if b.Recipients[i].Original == "" {
				b.Recipients[i].Original = to
			}
		}
	}
}

// textFailure finds the reply of a server in the text of a bounce: a code of failure and an enhanced status.
var textFailure = regexp.MustCompile(`\b5\d\d[ -]#?(5\.\d{1,3}\.\d{1,3})\b[^\r\n]*`)

// bounceSender matches who sends bounces that are no report.
var bounceSender = regexp.MustCompile(`(?i)mailer-daemon|postmaster|mail delivery`)

// readText reads a bounce that is text alone, as qmail and old servers send them. It is one only if its sender is a server's, it is no
// automatic answer (RFC 3834 §5) and it has the reply of a server.
func (b *Bounce) readText(header textproto.MIMEHeader, parts []mailPart) bool {
	if !bounceSender.MatchString(header.Get("From")) || strings.Contains(strings.ToLower(header.Get("Auto-Submitted")), "auto-replied") {
		return false
	}
	for _, p := range parts {
		if p.kind != "" && !strings.HasPrefix(p.kind, "text/") {
			continue
		}
		content := p.content[:min(len(p.content), maxQuoted)]
		if found := textFailure.FindSubmatch(content); found != nil {
			b.To = append(b.To, quotedPaths(content)...)
			b.Recipients = append(b.Recipients, BouncedRecipient{
				Action: "failed", Status: string(found[1]), Diagnostic: oneLine(string(found[0])), Final: firstAddress(content),
			})
			return true
		}
	}
	return false
}

var quotedPath = regexp.MustCompile(`(?im)^return-path:\s*(\S+)`)

// quotedPaths returns the envelope senders of a message that is quoted in a text.
func quotedPaths(content []byte) (paths []string) {
	for _, found := range quotedPath.FindAllSubmatch(content, 5) {
		paths = append(paths, string(found[1]))
	}
	return paths
}

var anyAddress = regexp.MustCompile(`<([^\s<>]+@[^\s<>]+)>`)

// firstAddress returns the first address in angle brackets.
func firstAddress(content []byte) string {
	if found := anyAddress.FindSubmatch(content); found != nil {
		return strings.TrimSuffix(string(found[1]), ":")
	}
	return ""
}

// typed returns the address of a field such as `rfc822; ada@example.com` (RFC 3464 §2.1.2).
func typed(field string) string { return address(after(field)) }

// after returns the value of a field, without its type.
func after(field string) string {
	if _, value, ok := strings.Cut(field, ";"); ok {
		return strings.TrimSpace(value)
	}
	return strings.TrimSpace(field)
}

// address returns the address of a header field, without name and brackets.
func address(field string) string {
	if parsed, err := netmail.ParseAddress(field); err == nil {
		return parsed.Address
	}
	return strings.Trim(strings.TrimSpace(field), "<>")
}
