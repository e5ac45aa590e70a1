package notification

import (
	"context"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"

	"github.com/wneessen/go-mail"
)

// finalError is a failure that no other try mends.
type finalError struct{ error }

// Unwrap returns the cause.
func (e finalError) Unwrap() error { return e.error }

// mailer sends mail over one SMTP server.
type mailer struct {
	config SMTPConfig
	from   *netmail.Address
	client *mail.Client
}

// newMailer makes a mailer of checked settings. Without a host it fails each mail with the reason.
func newMailer(c SMTPConfig) (*mailer, error) {
	from, err := netmail.ParseAddress(c.From)
	if err != nil {
		return nil, fmt.Errorf("notification.smtp.from: %w", err)
	}
	m := &mailer{config: c, from: from}
	if c.Host == "" {
		return m, nil
	}
	options := []mail.Option{mail.WithPort(c.Port), mail.WithTimeout(c.Timeout), mail.WithoutNoop()}
	switch c.TLS {
	case "starttls":
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case "tls":
		options = append(options, mail.WithSSL())
	case "none":
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

// send sends one mail. The id makes the Message-ID, the same for every try. An error is a finalError
// where the server refused for good (a 5xx reply).
func (m *mailer) send(ctx context.Context, to, subject, body, id string) error {
	if m.client == nil {
		return finalError{errors.New("no mail server is configured (notification.smtp.host)")}
	}
	msg := mail.NewMsg()
	if err := errors.Join(msg.From(m.from.String()), msg.To(to)); err != nil {
		return finalError{fmt.Errorf("addressing a mail: %w", err)}
	}
	_, domain, _ := strings.Cut(m.from.Address, "@")
	msg.SetMessageIDWithValue(id + "@" + domain)
	msg.SetDate()
	// The reader's client must not take a subject for headers: go-mail encodes it, line breaks are spaces.
	msg.Subject(strings.Join(strings.Fields(subject), " "))
	msg.SetBodyString(mail.TypeTextPlain, body)
	err := m.client.DialAndSendWithContext(ctx, msg)
	var refused *mail.SendError
	if errors.As(err, &refused) && !refused.IsTemp() && refused.ErrorCode() >= 500 {
		return finalError{fmt.Errorf("the mail server refused: %w", err)}
	}
	if err != nil {
		return fmt.Errorf("sending a mail: %w", err)
	}
	return nil
}
