package notification

import (
	"time"

	"github.com/weftmesh/weft/mesh"
)

// Config is the section notification of the settings.
type Config struct {
	SMTP     SMTPConfig     `koanf:"smtp"`
	Pipeline PipelineConfig `koanf:"pipeline"`
	// Tick is the interval between two queries for notifications whose send_at has passed, and so the longest delay.
	Tick time.Duration `koanf:"tick"`
	// MaxScheduledPerUser is how many notifications of a user may wait for their send_at.
	MaxScheduledPerUser int `koanf:"max_scheduled_per_user"`
	// MaxKeptPerUser is how many notifications are kept for a user, MaxKeptBytesPerUser how many bytes of them: the newest. Those that
	// are still to be delivered are kept beyond it.
	MaxKeptPerUser      int   `koanf:"max_kept_per_user"`
	MaxKeptBytesPerUser int64 `koanf:"max_kept_bytes_per_user"`
}

// SMTPConfig is the mail server. Without a host, deliveries by e-mail fail with that reason.
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
		SMTP:     SMTPConfig{Port: 587, From: "weft <weft@localhost>", TLS: tlsStartTLS, Timeout: 30 * time.Second},
		Pipeline: defaultPipelineConfig(),
		Tick:     time.Second, MaxScheduledPerUser: 1000, MaxKeptPerUser: 5000, MaxKeptBytesPerUser: 32 << 20,
	}
}
