package integration

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Config are the actor's settings.
type Config struct {
	// Timeout bounds one attempt of a call where neither its manifest nor Providers says.
	Timeout time.Duration `koanf:"timeout"`
	// MaxResponse bounds a provider's answer, in bytes.
	MaxResponse int64 `koanf:"max_response"`
	// MaxConnections is how many connections a user may have.
	MaxConnections int `koanf:"max_connections"`
	// Retry is how patiently a call is repeated.
	Retry RetryConfig `koanf:"retry"`
	// Breaker is when a provider's host is left alone.
	Breaker BreakerConfig `koanf:"breaker"`
	// Calls is how long the log of calls is kept.
	Calls CallsConfig `koanf:"calls"`
	// PublicURL is the gateway's address as providers reach it: what hooks' addresses begin with. Empty in weft's own
	// configuration, it is where the gateway listens.
	PublicURL string `koanf:"public_url"`
	// Limits is how calls wait for what providers allow.
	Limits LimitsConfig `koanf:"limits"`
	// ProbeEvery is how often each active connection is probed; 0 is never.
	ProbeEvery time.Duration `koanf:"probe_every"`
	// Webhooks is what is taken of providers' deliveries.
	Webhooks WebhooksConfig `koanf:"webhooks"`
	// Objects is how large files are kept that go by reference.
	Objects ObjectsConfig `koanf:"objects"`
	// Refresh is when access tokens are renewed ahead of their end.
	Refresh RefreshConfig `koanf:"refresh"`
	// RedirectURI is where providers send browsers back to, as it is registered with them: /v1/integrations/callback at
	// PublicURL unless set. RedirectURIs are further ones, applications' own, which end what they began with exchange_code.
	RedirectURI  string   `koanf:"redirect_uri"`
	RedirectURIs []string `koanf:"redirect_uris"`
	// StateTTL is how long a sign-in at a provider may take, an hour at the most.
	StateTTL time.Duration `koanf:"state_ttl"`
	// ProvidersDir is a folder of further manifests, one file <id>.yaml a provider; one of a provider that weft ships takes
	// its place. What changes there takes effect within seconds.
	ProvidersDir string `koanf:"providers_dir"`
	// Providers are settings by provider's id; they come before the manifest's.
	Providers map[string]ProviderConfig `koanf:"providers"`
}

// ProviderConfig are the settings of one provider. A zero field leaves it to the manifest.
type ProviderConfig struct {
	// BaseURL stands in for the provider's: a sandbox or a mock.
	BaseURL string `koanf:"base_url"`
	// ClientID and ClientSecret are of the application that the operator registered with the provider, for OAuth.
	ClientID     string      `koanf:"client_id"`
	ClientSecret mesh.Secret `koanf:"client_secret"`
	// OAuthURL stands in for scheme and host of the provider's OAuth addresses: a sandbox or a mock.
	OAuthURL string `koanf:"oauth_url"`
	// Timeout bounds one attempt.
	Timeout time.Duration `koanf:"timeout"`
	// Attempts counts the first one.
	Attempts int `koanf:"attempts"`
	// Backoff is the wait before the second attempt.
	Backoff time.Duration `koanf:"backoff"`
	// Limits are how many calls the provider's limits allow, by the limit's id, in the manifest's place.
	Limits map[string]int `koanf:"limits"`
}

// LimitsConfig is how calls wait for what providers allow.
type LimitsConfig struct {
	// MaxWait is how long a call waits for a limit that is used up before it is refused; 0 refuses at once.
	MaxWait time.Duration `koanf:"max_wait"`
}

// RefreshConfig is when access tokens are renewed ahead of their end.
type RefreshConfig struct {
	// Before is how long before its end, at the most; a token that does not live twice as long is renewed at half its life.
	Before time.Duration `koanf:"before"`
	// Every is the pause between two looks for tokens that are due.
	Every time.Duration `koanf:"every"`
	// Timeout bounds a request for tokens. Where a process dies in the middle of one, the connection's tokens are renewed by
	// another after three times as long.
	Timeout time.Duration `koanf:"timeout"`
}

// RetryConfig is how patiently a call is repeated where its manifest does not say.
type RetryConfig struct {
	// Attempts counts the first one.
	Attempts int `koanf:"attempts"`
	// Backoff is the wait before the second attempt, doubled for each further one up to MaxBackoff.
	Backoff    time.Duration `koanf:"backoff"`
	MaxBackoff time.Duration `koanf:"max_backoff"`
	// MaxRetryAfter is the longest wait that a provider may ask for and be waited for; a longer one is handed to
	// the caller.
	MaxRetryAfter time.Duration `koanf:"max_retry_after"`
}

// BreakerConfig is when a provider's host is left alone.
type BreakerConfig struct {
	// Failures in a row open the breaker.
	Failures int `koanf:"failures"`
	// HalfOpen is how many calls try the host after Open has passed.
	HalfOpen int `koanf:"half_open"`
	// Open is how long an open breaker refuses.
	Open time.Duration `koanf:"open"`
}

// CallsConfig is how long the log of calls is kept.
type CallsConfig struct {
	// KeepFor is the age past which a record goes.
	KeepFor time.Duration `koanf:"keep_for"`
	// KeepNewest is how many records of a connection stay.
	KeepNewest int `koanf:"keep_newest"`
	// SweepEvery is the pause between two sweeps.
	SweepEvery time.Duration `koanf:"sweep_every"`
}

// WebhooksConfig is what is taken of providers' deliveries.
type WebhooksConfig struct {
	// PerConnection is how many hooks a connection may have.
	PerConnection int `koanf:"per_connection"`
	// Remember is how long a delivery is known again.
	Remember time.Duration `koanf:"remember"`
	// OldSecret is how long a hook's last secret verifies beside its new one.
	OldSecret time.Duration `koanf:"old_secret"`
	// HandshakeWithin is how long after a hook is made, or its secret rotated, a handshake may bring the secret.
	HandshakeWithin time.Duration `koanf:"handshake_within"`
}

// ObjectsConfig is how large files are kept that go by reference.
type ObjectsConfig struct {
	// MaxSize bounds one file, PerUser all files of a user, Total those of all users, in bytes; a file counts four KiB besides.
	MaxSize int64 `koanf:"max_size"`
	PerUser int64 `koanf:"per_user"`
	Total   int64 `koanf:"total"`
	// KeepFor is how long a file is kept where its user does not say, MaxKeepFor the most that one may say.
	KeepFor    time.Duration `koanf:"keep_for"`
	MaxKeepFor time.Duration `koanf:"max_keep_for"`
	// UploadWithin is how long an upload may take.
	UploadWithin time.Duration `koanf:"upload_within"`
	// PartSize is how much of a file one message carries, in bytes.
	PartSize int64 `koanf:"part_size"`
	// SweepEvery is the pause between two looks for files that have ended.
	SweepEvery time.Duration `koanf:"sweep_every"`
}

// DefaultConfig is three attempts of thirty seconds, a breaker of sixty, and a log of a thousand calls a
// connection for thirty days.
func DefaultConfig() Config {
	return Config{
		Timeout: 30 * time.Second, MaxResponse: egress.DefaultMaxBody, MaxConnections: 200,
		Retry: RetryConfig{
			Attempts: 3, Backoff: 500 * time.Millisecond, MaxBackoff: 30 * time.Second, MaxRetryAfter: 20 * time.Second,
		},
		Breaker:   BreakerConfig{Failures: 5, HalfOpen: 5, Open: time.Minute},
		PublicURL: "http://127.0.0.1:8080",
		Limits:    LimitsConfig{MaxWait: 2 * time.Second}, ProbeEvery: 15 * time.Minute,
		Refresh: RefreshConfig{Before: 5 * time.Minute, Every: 30 * time.Second, Timeout: 20 * time.Second}, StateTTL: 10 * time.Minute,
		Webhooks: WebhooksConfig{
			PerConnection: 10, Remember: 72 * time.Hour, OldSecret: 24 * time.Hour, HandshakeWithin: time.Hour,
		},
		Objects: ObjectsConfig{
			MaxSize: 100 << 20, PerUser: 1 << 30, Total: 10 << 30, KeepFor: 24 * time.Hour, MaxKeepFor: 7 * 24 * time.Hour,
			UploadWithin: time.Hour, PartSize: 512 << 10, SweepEvery: time.Minute,
		},
		Calls: CallsConfig{KeepFor: 30 * 24 * time.Hour, KeepNewest: 1000, SweepEvery: 10 * time.Minute},
	}
}

// maxState is the longest StateTTL: the browser's cookie lives no longer (subjects.GetAuthURL).
const maxState = time.Hour

// ownRedirect is the address of weft's own page.
func (c Config) ownRedirect() string {
	return cmp.Or(c.RedirectURI, strings.TrimSuffix(c.PublicURL, "/")+"/v1/integrations/callback")
}

// redirectURI is the one asked for, if it is configured, character by character (RFC 9700 §4.1.3); weft's own unless asked.
func (c Config) redirectURI(asked string) (string, error) {
	if own := c.ownRedirect(); asked == "" || asked == own {
		return own, nil
	}
	if slices.Contains(c.RedirectURIs, asked) {
		return asked, nil
	}
	return "", subjects.InvalidField("redirect_uri", "is not one of those that are configured")
}
