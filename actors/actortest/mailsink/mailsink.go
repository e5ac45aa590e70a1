// Package mailsink is an SMTP server for tests that keeps what it is sent, made of emersion/go-smtp.
package mailsink

import (
	"bytes"
	"io"
	"net"
	"net/mail"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Mail is one received mail.
type Mail struct {
	From   string
	To     []string
	Header mail.Header
	Body   string
}

// Sink is a running server.
type Sink struct {
	Host string
	Port int

	mu       sync.Mutex
	mails    []Mail
	refusals []error
}

// Start runs a sink on a free port until the test ends.
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

// Refuse has the next mails refused with these errors, one each.
func (s *Sink) Refuse(errs ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals = append(s.refusals, errs...)
}

// Mails are the mails received so far.
func (s *Sink) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// NewSession implements smtp.Backend.
func (s *Sink) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{sink: s}, nil }

type session struct {
	sink *Sink
	mail Mail
}

// AuthMechanisms implements smtp.AuthSession.
func (*session) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth implements smtp.AuthSession: every name and password will do.
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
	c.mail.Header, c.mail.Body = message.Header, string(body)
	c.sink.mu.Lock()
	defer c.sink.mu.Unlock()
	if len(c.sink.refusals) > 0 {
		refusal := c.sink.refusals[0]
		c.sink.refusals = c.sink.refusals[1:]
		return refusal
	}
	c.sink.mails = append(c.sink.mails, c.mail)
	return nil
}

// Reset implements smtp.Session.
func (c *session) Reset() { c.mail = Mail{} }

// Logout implements smtp.Session.
func (*session) Logout() error { return nil }
