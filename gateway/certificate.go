package gateway

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// certificateCheck is how often, at most, handshakes look for changed files.
const certificateCheck = time.Second

// certificate is a certificate and key in PEM files, which may be replaced while the gateway runs. Connections that exist keep theirs.
type certificate struct {
	certFile, keyFile string
	now               func() time.Time
	log               *zap.Logger

	mu      sync.Mutex
	current *tls.Certificate
	// seen are the versions of the files that were read last, with or without success, at checked.
	seen    [2]fileVersion
	checked time.Time
}

// fileVersion tells whether a file was replaced or written.
type fileVersion struct {
	modified time.Time
	size     int64
}

// newCertificate reads the files. The error is that of a missing file, of content that is not PEM, or of a key that does not match.
func newCertificate(certFile, keyFile string, now func() time.Time, log *zap.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, now: now, log: log}
	c.checked, c.seen = now(), c.versions()
	return c, c.read()
}

// get returns the certificate for a handshake. It reads the files again if they have changed.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.checked) >= certificateCheck {
		c.checked = now
		if versions := c.versions(); versions != c.seen {
			c.seen = versions
			c.reload()
		}
	}
	return c.current, nil
}

// Reload reads the files again, whether they have changed or not.
func (c *certificate) Reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checked, c.seen = c.now(), c.versions()
	c.reload()
}

// reload keeps the present certificate if the files are invalid, as they may be between the replacement of one and of the other.
func (c *certificate) reload() {
	if err := c.read(); err != nil {
		c.log.Error("the TLS certificate was not reloaded; the previous one stays in use", zap.Error(err))
		return
	}
	c.log.Info("the TLS certificate was reloaded", zap.Time("valid_until", c.current.Leaf.NotAfter))
}

func (c *certificate) read() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("reading gateway.tls_cert and gateway.tls_key: %w", err)
	}
	c.current = &pair
	return nil
}

func (c *certificate) versions() (versions [2]fileVersion) {
	for i, file := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(file); err == nil {
			versions[i] = fileVersion{info.ModTime(), info.Size()}
		}
	}
	return versions
}
