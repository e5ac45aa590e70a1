package notification

import (
	"fmt"
	"net"
	netmail "net/mail"
	"time"

	"github.com/weftmesh/weft/mesh"
)

// Config is the section notification of the settings.
type Config struct {
	SMTP SMTPConfig `koanf:"smtp"`
	// Tick is the interval between two queries for notifications whose send_at has passed, and so the longest delay.
	Tick time.Duration `koanf:"tick"`
}

// SMTPConfig is the mail server. Without a host, deliveries by e-mail fail with that reason.
type SMTPConfig struct {
	Host     string      `koanf:"host"`
	Port     int         `koanf:"port"`
	Username string      `koanf:"username"`
	Password mesh.Secret `koanf:"password"`
	// From is the sender, such as `weft <weft@example.com>` (RFC 5322 §3.4).
	From string `koanf:"from"`
	// TLS is "starttls" (required, RFC 3207), "tls" (from the first byte, RFC 8314) or "none" (loopback addresses only).
	TLS string `koanf:"tls"`
	// Timeout bounds one delivery.
	Timeout time.Duration `koanf:"timeout"`
}

// The values of SMTPConfig.TLS.
const (
	tlsStartTLS = "starttls"
	tlsImplicit = "tls"
	tlsNone     = "none"
)

// DefaultConfig returns settings without a mail server.
func DefaultConfig() Config {
	return Config{
		SMTP: SMTPConfig{Port: 587, From: "weft <weft@localhost>", TLS: tlsStartTLS, Timeout: 30 * time.Second},
		Tick: time.Second,
	}
}

func (c Config) check() error {
	if c.Tick <= 0 {
		return fmt.Errorf("notification.tick %s is not positive", c.Tick)
	}
	return c.SMTP.check()
}

func (c SMTPConfig) check() error {
	if _, err := netmail.ParseAddress(c.From); err != nil {
		return fmt.Errorf("notification.smtp.from %q: %w", c.From, err)
	}
	if c.Host == "" {
		return nil
	}
	switch c.TLS {
	case tlsStartTLS, tlsImplicit:
	case tlsNone:
		if ip := net.ParseIP(c.Host); c.Host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return fmt.Errorf("notification.smtp.tls: none is allowed for loopback addresses only, not for %s", c.Host)
		}
	default:
		return fmt.Errorf("notification.smtp.tls %q is not starttls, tls or none", c.TLS)
	}
	return nil
}
