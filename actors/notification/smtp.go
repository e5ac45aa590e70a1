package notification

import (
	"context"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"

	"github.com/wneessen/go-mail"

	"github.com/weftmesh/weft/actors/notification/channel"
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

// Name implements channel.Provider.
func (m *mailer) Name() string { return "smtp" }

// Send implements channel.Provider. The message's id is the left part of the Message-ID and the same in every attempt. The error is permanent
// where a retry cannot succeed, such as after a 5xx reply (RFC 5321 §4.2.1).
func (m *mailer) Send(ctx context.Context, message channel.Message) (channel.Receipt, error) {
	if m.client == nil {
		return channel.Receipt{}, &channel.Error{Class: channel.Permanent, Detail: "no mail server is configured (notification.smtp.host)"}
	}
	msg := mail.NewMsg()
	if err := errors.Join(msg.From(m.from.String()), msg.To(message.Address.To)); err != nil {
		return channel.Receipt{}, &channel.Error{Class: channel.Permanent, Detail: "addressing an e-mail: " + err.Error(), Cause: err}
	}
	_, domain, _ := strings.Cut(m.from.Address, "@")
	id := message.ID + "@" + domain
	msg.SetMessageIDWithValue(id)
	msg.SetDate()
	// Line breaks become spaces, so that a subject cannot look like further headers once a client decodes it.
	msg.Subject(strings.Join(strings.Fields(message.Subject), " "))
	msg.SetBodyString(mail.TypeTextPlain, message.Text)
	err := m.client.DialAndSendWithContext(ctx, msg)
	if err == nil || msg.IsDelivered() { // a failed RSET or QUIT after the acceptance does not undo it
		return channel.Receipt{Provider: m.Name(), MessageID: id}, nil
	}
	var refused *mail.SendError
	if errors.As(err, &refused) && !refused.IsTemp() && refused.ErrorCode() >= 500 {
		return channel.Receipt{}, &channel.Error{Class: channel.Permanent, Detail: "the mail server refused the message: " + err.Error(), Cause: err}
	}
	return channel.Receipt{}, &channel.Error{Class: channel.Transient, Detail: "sending an e-mail: " + err.Error(), Cause: err}
}
