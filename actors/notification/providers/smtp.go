package providers

import (
	"context"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/mesh"
)

// NameSMTP is the name of the provider SMTP.
const NameSMTP = "smtp"

// The values of SMTPConfig.TLS.
const (
	TLSStart    = "starttls"
	TLSImplicit = "tls"
	TLSNone     = "none"
)

// SMTPConfig is the mail server. Without a host, deliveries by e-mail fail with that reason, unless there is another provider of mail.
type SMTPConfig struct {
	// Host and Port are its address.
	Host string `koanf:"host"`
	Port int    `koanf:"port"`
	// Username and Password sign in to it; without a username weft does not sign in.
	Username string      `koanf:"username"`
	Password mesh.Secret `koanf:"password"`
	// From is the sender, such as `weft <weft@example.com>` (RFC 5322 §3.4).
	From string `koanf:"from"`
	// TLS is "starttls" (required, RFC 3207), "tls" (from the first byte, RFC 8314) or "none" (loopback addresses only).
	TLS string `koanf:"tls"`
	// Timeout bounds one delivery.
	Timeout time.Duration `koanf:"timeout"`
	// BounceAddress is where bounces go, such as bounce@example.com: the envelope's sender is bounce+TOKEN@example.com, where the token
	// names the notification. Empty for the sender's own address.
	BounceAddress string `koanf:"bounce_address"`
	// BounceSecret authenticates the mail server that passes bounces on to POST /v1/callbacks/smtp, as `Authorization: Bearer SECRET`; at
	// least 16 characters. Without it, such callbacks are refused.
	BounceSecret mesh.Secret `koanf:"bounce_secret"`
	// Weight is the provider's share of the messages, beside the other mail providers'.
	Weight int `koanf:"weight"`
}

// Enabled reports whether the provider is used.
func (c SMTPConfig) Enabled() bool { return c.Host != "" }

// minSecret is the least length of a secret that a person chooses.
const minSecret = 16

// Check returns a mesh.SettingError for each invalid setting. Without a host only the sender and the bounces are checked.
func (c SMTPConfig) Check() error {
	const section = "notification.smtp"
	errs := []error{checkSender(section+".from", c.From), c.checkBounces()}
	if !c.Enabled() {
		return errors.Join(errs...)
	}
	errs = append(errs,
		mesh.SettingBetween(section+".port", c.Port, 1, 65535), mesh.SettingPositive(section+".timeout", c.Timeout),
		mesh.SettingBetween(section+".weight", c.Weight, 1, maxWeight))
	if !slices.Contains([]string{TLSStart, TLSImplicit, TLSNone}, c.TLS) {
		errs = append(errs, mesh.InvalidSetting(section+".tls", "is %q, and must be starttls, tls or none", c.TLS))
	}
	if ip := net.ParseIP(c.Host); c.TLS == TLSNone && c.Host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		errs = append(errs, mesh.InvalidSetting(section+".tls", "is none, which is allowed for a server on this machine only, not for %s", c.Host))
	}
	return errors.Join(errs...)
}

func (c SMTPConfig) checkBounces() error {
	var errs []error
	if c.BounceAddress != "" {
		parsed, err := netmail.ParseAddress(c.BounceAddress)
		local := strings.LastIndexByte(c.BounceAddress, '@')
		if err != nil || parsed.Address != c.BounceAddress || local > MaxBounceLocal {
			errs = append(errs, mesh.InvalidSetting("notification.smtp.bounce_address",
				"is %q, and must be an e-mail address with at most %d characters before the @", c.BounceAddress, MaxBounceLocal))
		}
	}
	if c.BounceSecret != "" && len(c.BounceSecret) < minSecret {
		errs = append(errs, mesh.InvalidSetting("notification.smtp.bounce_secret", "has fewer than %d characters", minSecret))
	}
	return errors.Join(errs...)
}

// SMTPOptions are what the provider needs beside its settings.
type SMTPOptions struct {
	// DKIM signs the messages; nil for none.
	DKIM *DKIM
	// ReturnPath returns the envelope's sender of a message (RFC 5321 §4.1.1.2), to which bounces go; nil for the sender's address.
	ReturnPath func(ctx context.Context, m channel.Message) (string, error)
	// Now is the clock.
	Now func() time.Time
}

// SMTP sends through one mail server (RFC 5321).
type SMTP struct {
	options SMTPOptions
	sender  Sender
	config  SMTPConfig
	// client has the options of a client; nil where no server is configured.
	client []mail.Option
}

// NewSMTP makes a provider from checked settings. It does not connect.
func NewSMTP(o SMTPOptions, c SMTPConfig) (*SMTP, error) {
	sender, err := newSender(c.From, o.Now)
	if err != nil {
		return nil, err
	}
	s := &SMTP{options: o, sender: sender, config: c}
	if !c.Enabled() {
		return s, nil
	}
	options := []mail.Option{mail.WithPort(c.Port), mail.WithoutNoop()}
	switch c.TLS {
	case TLSStart:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case TLSImplicit:
		options = append(options, mail.WithSSL())
	case TLSNone:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	}
	if c.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover),
			mail.WithUsername(c.Username), mail.WithPassword(c.Password.Reveal()))
	}
	s.client = options
	if _, err := mail.NewClient(c.Host, append(options, mail.WithTimeout(c.Timeout))...); err != nil {
		return nil, fmt.Errorf("notification.smtp: %w", err)
	}
	return s, nil
}

// Name implements channel.Provider.
func (*SMTP) Name() string { return NameSMTP }

// Send implements channel.Provider. The receipt's id is the Message-ID.
func (s *SMTP) Send(ctx context.Context, m channel.Message) (channel.Receipt, error) {
	if s.client == nil {
		return channel.Receipt{}, &channel.Error{Class: channel.Permanent, Detail: "no mail server is configured (notification.smtp.host)"}
	}
	raw, err := s.sender.compose(m)
	if err != nil {
		return channel.Receipt{}, err
	}
	if s.options.DKIM != nil {
		if raw, err = s.options.DKIM.sign(raw); err != nil {
			return channel.Receipt{}, &channel.Error{Class: channel.Permanent, Detail: "the e-mail cannot be signed (notification.dkim)", Cause: err}
		}
	}
	sender := s.sender.From.Address
	if s.options.ReturnPath != nil {
		if sender, err = s.options.ReturnPath(ctx, m); err != nil {
			return channel.Receipt{}, &channel.Error{Class: channel.Transient, Detail: "the return path cannot be made", Cause: err}
		}
	}
	if err := s.transmit(ctx, sender, m.Address.To, raw); err != nil {
		return channel.Receipt{}, err
	}
	return channel.Receipt{Provider: NameSMTP, MessageID: s.sender.messageID(m)}, nil
}

// transmit hands a message to the server. It succeeds with the server's reply to the message's end: a connection that
// breaks then does not undo the acceptance (RFC 5321 §4.1.1.4).
func (s *SMTP) transmit(ctx context.Context, from, to string, raw []byte) error {
	// The exchange up to the sign-in is bounded by the client's timeout alone, which so is no longer than the context's.
	timeout := s.config.Timeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(min(timeout, time.Until(deadline)), time.Millisecond)
	}
	client, err := mail.NewClient(s.config.Host, append(slices.Clone(s.client), mail.WithTimeout(timeout))...)
	if err != nil {
		return connectError(ctx, err)
	}
	connection, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return connectError(ctx, err)
	}
	// A context that ends interrupts the exchange.
	stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
	defer stop()
	defer func() { _ = connection.Close() }()
	if err := connection.Mail("<" + from + ">"); err != nil {
		return replyError(ctx, err, false)
	}
	if err := connection.Rcpt("<" + to + ">"); err != nil {
		return replyError(ctx, err, true)
	}
	if err := sendData(connection, raw); err != nil {
		err = replyError(ctx, err, true)
		var e *channel.Error
		if errors.As(err, &e) && e.Code == "" {
			e.Uncertain = true // the connection broke: the server may have the message
		}
		return err
	}
	_ = connection.Quit()
	return nil
}

func sendData(connection *smtp.Client, raw []byte) error {
	writer, err := connection.Data()
	if err != nil {
		return err
	}
	if _, err := writer.Write(raw); err != nil {
		return errors.Join(err, writer.Close())
	}
	return writer.Close()
}

// connectError classifies a failure before the message was offered: the server is not there, or does not accept the sign-in.
func connectError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := &channel.Error{Class: channel.Transient, Detail: "sending an e-mail: " + redact(err.Error()), Cause: err}
	var reply *textproto.Error
	if errors.As(err, &reply) {
		e.Code = strconv.Itoa(reply.Code)
		if reply.Code == 421 {
			e.Class = channel.Throttled
		}
	}
	return e
}

// replyError classifies a failure after the message was offered. recipient says that the server knew the recipient when it replied.
func replyError(ctx context.Context, err error, recipient bool) error {
	var reply *textproto.Error
	if !errors.As(err, &reply) {
		return connectError(ctx, err)
	}
	status, text := enhancedStatus(reply.Msg)
	class := classOfReply(reply.Code, status)
	if class == channel.Suppressed && !recipient {
		class = channel.Permanent
	}
	return &channel.Error{
		Class: class, Code: strings.TrimSpace(strconv.Itoa(reply.Code) + " " + status),
		Detail: "the mail server refused the message: " + redact(text), Cause: err,
		// 421 is about the server (RFC 5321 §4.2.3); any other reply after RCPT may be about its recipient.
		Recipient: recipient && reply.Code != 421,
	}
}

var statusPattern = regexp.MustCompile(`^([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)`)

// enhancedStatus separates the enhanced status code at the start of a reply (RFC 2034, RFC 3463) from the text.
func enhancedStatus(reply string) (status, text string) {
	reply = strings.ToValidUTF8(reply, "\uFFFD")
	if found := statusPattern.FindStringSubmatch(reply); found != nil {
		return found[1], strings.TrimSpace(reply[len(found[0]):])
	}
	return "", strings.TrimSpace(reply)
}

// deadAddress are the enhanced status codes that say that an address takes no mail, whatever the message (RFC 3463 §3.2 and §3.3, RFC
// 7505 §4.2): no such mailbox, no such domain, invalid syntax, moved, null MX, disabled.
var deadAddress = []string{"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"}

// classOfReply classifies a reply by its code (RFC 5321 §4.2.1) and its enhanced status.
func classOfReply(code int, status string) channel.Class {
	switch {
	case code == 421, code/100 == 4 && strings.HasPrefix(status, "4.7."):
		return channel.Throttled
	case code/100 != 5:
		return channel.Transient
	case slices.Contains(deadAddress, status):
		return channel.Suppressed
	}
	return channel.Permanent
}

var addressPattern = regexp.MustCompile(`<?[^\s<>"'(),:;]+@[^\s<>"'(),:;]+>?`)

// redact replaces e-mail addresses in a server's text, which is recorded, and makes it valid UTF-8.
func redact(text string) string {
	return addressPattern.ReplaceAllString(oneLine(strings.ToValidUTF8(text, "\uFFFD")), "<address>")
}
