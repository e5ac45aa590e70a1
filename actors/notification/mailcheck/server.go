package mailcheck

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/notification/providers"
)

const (
	// expiresSoon is the time before a certificate's end at which it is reported.
	expiresSoon = 14 * 24 * time.Hour
	// maxLines bounds the lines of one reply.
	maxLines = 100
)

// dialogue is a connection to a mail server that notes what is said.
type dialogue struct {
	net.Conn

	reader *textproto.Reader
	report *Report
}

func (d *dialogue) use(conn net.Conn) {
	d.Conn, d.reader = conn, textproto.NewReader(bufio.NewReader(conn))
}

// reply reads a reply of one or more lines (RFC 5321 §4.2.1).
func (d *dialogue) reply() (code int, lines []string, err error) {
	for len(lines) < maxLines {
		line, err := d.reader.ReadLine()
		if err != nil {
			return 0, lines, err
		}
		d.report.Dialogue = append(d.report.Dialogue, "S: "+line)
		if len(line) < 3 {
			return 0, lines, fmt.Errorf("the reply %q is no reply of SMTP", line)
		}
		if code, err = strconv.Atoi(line[:3]); err != nil {
			return 0, lines, fmt.Errorf("the reply %q is no reply of SMTP", line)
		}
		lines = append(lines, strings.TrimSpace(line[min(4, len(line)):]))
		if len(line) == 3 || line[3] != '-' {
			return code, lines, nil
		}
	}
	return 0, lines, errors.New("the reply has too many lines")
}

// say sends a command and reads the reply. shown replaces the command in the dialogue.
func (d *dialogue) say(command, shown string) (code int, lines []string, err error) {
	d.report.Dialogue = append(d.report.Dialogue, "C: "+shown)
	if _, err := d.Write([]byte(command + "\r\n")); err != nil {
		return 0, nil, err
	}
	return d.reply()
}

// checkServer connects to the mail server, and signs in as weft does.
func (c *check) checkServer(ctx context.Context) {
	if !c.SMTP.Enabled() {
		c.report.add("server", Failed, "no mail server is configured", "Set notification.smtp.host.")
		return
	}
	address := net.JoinHostPort(c.SMTP.Host, strconv.Itoa(c.SMTP.Port))
	ctx, cancel := context.WithTimeout(ctx, c.SMTP.Timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		c.report.add("server", Failed, err.Error(), "Check notification.smtp.host and port, and that outgoing connections are allowed.")
		return
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	d := &dialogue{report: c.report}
	if err := c.converse(ctx, d, conn); err != nil {
		c.report.add("server", Failed, address+": "+err.Error(), "")
		return
	}
	_, _, _ = d.say("QUIT", "QUIT")
}

// converse makes the exchange up to the sign-in.
func (c *check) converse(ctx context.Context, d *dialogue, conn net.Conn) error {
	d.use(conn)
	if c.SMTP.TLS == providers.TLSImplicit {
		if err := c.secure(ctx, d); err != nil {
			return err
		}
	}
	code, lines, err := d.reply()
	if err != nil {
		return fmt.Errorf("reading the greeting: %w", err)
	}
	if code != 220 {
		return fmt.Errorf("the server greets with %d %s", code, strings.Join(lines, " "))
	}
	extensions, err := hello(d)
	if err != nil {
		return err
	}
	if c.SMTP.TLS == providers.TLSStart {
		if !slices.ContainsFunc(extensions, func(e string) bool { return strings.EqualFold(e, "STARTTLS") }) {
			return errors.New("the server does not offer STARTTLS, which notification.smtp.tls demands")
		}
		if code, lines, err = d.say("STARTTLS", "STARTTLS"); err != nil || code != 220 {
			return errors.Join(fmt.Errorf("STARTTLS is answered with %d %s", code, strings.Join(lines, " ")), err)
		}
		if err := c.secure(ctx, d); err != nil {
			return err
		}
		if extensions, err = hello(d); err != nil {
			return err
		}
	}
	c.report.add("server", OK, net.JoinHostPort(c.SMTP.Host, strconv.Itoa(c.SMTP.Port))+" offers "+strings.Join(extensions, ", "), "")
	c.signIn(d, extensions)
	return nil
}

// hello says EHLO and returns the extensions.
func hello(d *dialogue) ([]string, error) {
	code, lines, err := d.say("EHLO localhost", "EHLO localhost")
	if err != nil {
		return nil, fmt.Errorf("reading the reply to EHLO: %w", err)
	}
	if code != 250 || len(lines) == 0 {
		return nil, fmt.Errorf("EHLO is answered with %d %s", code, strings.Join(lines, " "))
	}
	return lines[1:], nil
}

// secure starts TLS and checks the certificate.
func (c *check) secure(ctx context.Context, d *dialogue) error {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS != nil {
		config = c.TLS.Clone()
	}
	config.ServerName = c.SMTP.Host
	conn := tls.Client(d.Conn, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		c.report.add("tls", Failed, err.Error(), "The certificate must be of a known authority, valid and for "+c.SMTP.Host+".")
		return errors.New("the connection cannot be encrypted")
	}
	d.use(conn)
	state := conn.ConnectionState()
	leaf := state.PeerCertificates[0]
	detail := fmt.Sprintf("%s; certificate of %s by %s, valid until %s", tls.VersionName(state.Version), leaf.Subject.CommonName,
		leaf.Issuer.CommonName, leaf.NotAfter.UTC().Format(time.DateOnly))
	if leaf.NotAfter.Sub(c.Now()) < expiresSoon {
		c.report.add("tls", Warning, detail, "The certificate expires soon: renew it.")
		return nil
	}
	c.report.add("tls", OK, detail, "")
	return nil
}

// signIn signs in by PLAIN or LOGIN, which every server has that weft signs in to.
func (c *check) signIn(d *dialogue, extensions []string) {
	if c.SMTP.Username == "" {
		c.report.add("sign-in", Skipped, "weft does not sign in", "")
		return
	}
	if c.SMTP.TLS == providers.TLSNone {
		c.report.add("sign-in", Skipped, "no password is sent without TLS", "")
		return
	}
	offered := ""
	for _, e := range extensions {
		if name, list, _ := strings.Cut(e, " "); strings.EqualFold(name, "AUTH") {
			offered = strings.ToUpper(list)
		}
	}
	var code int
	var lines []string
	var err error
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	password := c.SMTP.Password.Reveal()
	switch mechanisms := strings.Fields(offered); {
	case slices.Contains(mechanisms, "PLAIN"):
		code, lines, err = d.say("AUTH PLAIN "+encode("\x00"+c.SMTP.Username+"\x00"+password), "AUTH PLAIN ***")
	case slices.Contains(mechanisms, "LOGIN"):
		if code, lines, err = d.say("AUTH LOGIN", "AUTH LOGIN"); err == nil && code == 334 {
			if code, lines, err = d.say(encode(c.SMTP.Username), "***"); err == nil && code == 334 {
				code, lines, err = d.say(encode(password), "***")
			}
		}
	default:
		c.report.add("sign-in", Skipped, fmt.Sprintf("the server offers %q, of which this check knows none", offered), "Send a test message.")
		return
	}
	if err != nil || code != 235 {
		c.report.add("sign-in", Failed, strings.TrimSpace(fmt.Sprintf("%d %s", code, strings.Join(lines, " "))), "Check notification.smtp.username and password.")
		return
	}
	c.report.add("sign-in", OK, "the server accepts "+c.SMTP.Username, "")
}
