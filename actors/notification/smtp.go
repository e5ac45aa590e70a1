package notification

import (
	"context"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"

	"github.com/wneessen/go-mail"
)

// mailer sends e-mail through one SMTP server. Its client is nil where no server is configured.
type mailer struct {
	from   *netmail.Address
	client *mail.Client
}

// newMailer makes a mailer from checked settings.
func newMailer(c SMTPConfig) (*mailer, error) {
	from, err := netmail.ParseAddress(c.From)
	if err != nil {
		return nil, fmt.Errorf("notification.smtp.from %q: %w", c.From, err)
	}
	m := &mailer{from: from}
	if c.Host == "" {
		return m, nil
	}
	options := []mail.Option{mail.WithPort(c.Port), mail.WithTimeout(c.Timeout), mail.WithoutNoop()}
	switch c.TLS {
	case tlsStartTLS:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case tlsImplicit:
		options = append(options, mail.WithSSL())
	case tlsNone:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	}
	if c.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover),
			mail.WithUsername(c.Username), mail.WithPassword(c.Password.Reveal()))
	}
	if m.client, err = mail.NewClient(c.Host, options...); err != nil {
		return nil, fmt.Errorf("notification.smtp: %w", err)
	}
	return m, nil
}

// send makes one attempt to send an e-mail. The id is the left part of the Message-ID and the same in every attempt. The
// error is a permanentError where a retry cannot succeed, such as after a 5xx reply (RFC 5321 §4.2.1).
func (m *mailer) send(ctx context.Context, to, subject, body, id string) error {
	if m.client == nil {
		return permanentError{errors.New("no mail server is configured (notification.smtp.host)")}
	}
	msg := mail.NewMsg()
	if err := errors.Join(msg.From(m.from.String()), msg.To(to)); err != nil {
		return permanentError{fmt.Errorf("addressing an e-mail: %w", err)}
	}
	_, domain, _ := strings.Cut(m.from.Address, "@")
	msg.SetMessageIDWithValue(id + "@" + domain)
	msg.SetDate()
	// Line breaks become spaces, so that a subject cannot look like further headers once a client decodes it.
	msg.Subject(strings.Join(strings.Fields(subject), " "))
	msg.SetBodyString(mail.TypeTextPlain, body)
	err := m.client.DialAndSendWithContext(ctx, msg)
	if msg.IsDelivered() {
		return nil // a failed RSET or QUIT after the acceptance does not undo it
	}
	var refused *mail.SendError
	if errors.As(err, &refused) && !refused.IsTemp() && refused.ErrorCode() >= 500 {
		return permanentError{fmt.Errorf("the mail server refused the message: %w", err)}
	}
	if err != nil {
		return fmt.Errorf("sending an e-mail: %w", err)
	}
	return nil
}
