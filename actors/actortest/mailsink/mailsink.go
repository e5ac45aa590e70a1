// Package mailsink is an SMTP server for tests that keeps the mail it receives.
package mailsink

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Mail is one accepted message with its envelope.
type Mail struct {
	From   string
	To     []string
	Header mail.Header
	Body   string
	// Raw is the message as it was sent.
	Raw []byte
}

// Text returns the text of the mail, or of its part text/plain, decoded from quoted-printable. An error is returned for any other encoding.
func (m Mail) Text() (string, error) {
	kind, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return "", fmt.Errorf("reading the content type: %w", err)
	}
	encoding, body := m.Header.Get("Content-Transfer-Encoding"), io.Reader(strings.NewReader(m.Body))
	if kind == "multipart/alternative" {
		p, err := multipart.NewReader(body, parameters["boundary"]).NextRawPart() // the text is the first (RFC 2046 §5.1.4)
		if err != nil {
			return "", fmt.Errorf("reading the first part: %w", err)
		}
		encoding, body = p.Header.Get("Content-Transfer-Encoding"), p
		if kind, _, err = mime.ParseMediaType(p.Header.Get("Content-Type")); err != nil {
			return "", fmt.Errorf("reading the content type: %w", err)
		}
	}
	if kind != "text/plain" || encoding != "quoted-printable" {
		return "", fmt.Errorf("the text is %s in the encoding %q", kind, encoding)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(body))
	return string(text), err
}

// Sink is a running server.
type Sink struct {
	Host string
	Port int

	mu                sync.Mutex
	mails             []Mail
	refusals          []error
	recipientRefusals []error
	disconnects       int
	connections       int
}

// Start runs a server on a free port of 127.0.0.1 until the test ends.
func Start(t testing.TB) *Sink {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Sink{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port}
	server := smtp.NewServer(s)
	server.Domain = "localhost"
	server.AllowInsecureAuth = true
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return s
}

// Refuse makes the server answer the next messages with errors, one each, at the end of DATA. An *smtp.SMTPError sets the
// reply code.
func (s *Sink) Refuse(errs ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals = append(s.refusals, errs...)
}

// RefuseRecipients makes the server answer the next RCPT commands with errors, one each.
func (s *Sink) RefuseRecipients(errs ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recipientRefusals = append(s.recipientRefusals, errs...)
}

// DisconnectAfterMail makes the server close the next n connections after it has accepted a message, without an answer to
// what follows.
func (s *Sink) DisconnectAfterMail(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disconnects += n
}

// Connections returns how many connections the server has accepted.
func (s *Sink) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections
}

// Mails returns the messages accepted so far, in order.
func (s *Sink) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// NewSession implements smtp.Backend.
func (s *Sink) NewSession(c *smtp.Conn) (smtp.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connections++
	return &session{sink: s, conn: c}, nil
}

// next removes and returns the first error of a queue; nil where it is empty.
func next(queue *[]error) error {
	if len(*queue) == 0 {
		return nil
	}
	err := (*queue)[0]
	*queue = (*queue)[1:]
	return err
}

type session struct {
	sink *Sink
	conn *smtp.Conn
	mail Mail
	// accepted is set once the session has accepted a message.
	accepted bool
}

// AuthMechanisms implements smtp.AuthSession.
func (*session) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth implements smtp.AuthSession and accepts every name and password.
func (*session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, _, _ string) error { return nil }), nil
}

// Mail implements smtp.Session.
func (c *session) Mail(from string, _ *smtp.MailOptions) error {
	c.mail = Mail{From: from}
	return nil
}

// Rcpt implements smtp.Session.
func (c *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.sink.mu.Lock()
	defer c.sink.mu.Unlock()
	if err := next(&c.sink.recipientRefusals); err != nil {
		return err
	}
	c.mail.To = append(c.mail.To, to)
	return nil
}

// Data implements smtp.Session.
func (c *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	message, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return err
	}
	body, err := io.ReadAll(message.Body)
	if err != nil {
		return err
	}
	c.mail.Header, c.mail.Body, c.mail.Raw = message.Header, string(body), data
	c.sink.mu.Lock()
	defer c.sink.mu.Unlock()
	if err := next(&c.sink.refusals); err != nil {
		return err
	}
	c.sink.mails = append(c.sink.mails, c.mail)
	c.accepted = true
	return nil
}

// Reset implements smtp.Session. The server calls it after each message, once it has answered.
func (c *session) Reset() {
	c.mail = Mail{}
	c.sink.mu.Lock()
	defer c.sink.mu.Unlock()
	if c.accepted && c.sink.disconnects > 0 {
		c.sink.disconnects--
		_ = c.conn.Conn().Close()
	}
}

// Logout implements smtp.Session.
func (*session) Logout() error { return nil }
