//go:build torture

package e2e_test

import (
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
)

// hostileMailServer is an SMTP server that accepts messages, except those to some addresses: it refuses them for now, or does not answer.
type hostileMailServer struct {
	port  int
	ended chan struct{}

	mu       sync.Mutex
	bad      map[string]bool
	refused  int
	accepted strings.Builder
}

// startHostileMailServer serves on a free port of 127.0.0.1 until the test ends.
func startHostileMailServer(t testing.TB) *hostileMailServer {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &hostileMailServer{port: listener.Addr().(*net.TCPAddr).Port, ended: make(chan struct{}), bad: map[string]bool{}}
	server := smtp.NewServer(s)
	server.Domain = "localhost"
	server.ErrorLog = silentLog{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		close(s.ended)
		_ = server.Close()
		<-done
	})
	return s
}

// settings make weft use the server.
func (s *hostileMailServer) settings() []string {
	return []string{"WEFT_NOTIFICATION_SMTP_HOST=127.0.0.1", "WEFT_NOTIFICATION_SMTP_PORT=" + strconv.Itoa(s.port), "WEFT_NOTIFICATION_SMTP_TLS=none"}
}

// refuse makes the server refuse messages to an address from now on.
func (s *hostileMailServer) refuse(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad[address] = true
}

// has reports whether a text was in an accepted message.
func (s *hostileMailServer) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.accepted.String(), text)
}

// NewSession implements smtp.Backend.
func (s *hostileMailServer) NewSession(*smtp.Conn) (smtp.Session, error) { return &mailSession{s}, nil }

type mailSession struct{ server *hostileMailServer }

// Mail implements smtp.Session.
func (*mailSession) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt implements smtp.Session. Every second message to a bad address is not answered.
func (c *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.server.mu.Lock()
	bad := c.server.bad[to]
	if bad {
		c.server.refused++
	}
	hang := bad && c.server.refused%2 == 0
	c.server.mu.Unlock()
	if hang {
		<-c.server.ended
	}
	if bad {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "later"}
	}
	return nil
}

// Data implements smtp.Session.
func (c *mailSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	_, written := c.server.accepted.Write(text)
	return errors.Join(err, written)
}

// Reset implements smtp.Session.
func (*mailSession) Reset() {}

// Logout implements smtp.Session.
func (*mailSession) Logout() error { return nil }

// silentLog drops the messages about connections that a weft has broken because it was killed.
type silentLog struct{}

// Printf implements smtp.Logger.
func (silentLog) Printf(string, ...any) {}

// Println implements smtp.Logger.
func (silentLog) Println(...any) {}
