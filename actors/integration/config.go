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

// Config holds the actor's settings, under the key integration.
type Config struct {
	// Timeout bounds one attempt of a call, unless Providers or the manifest sets another.
	Timeout time.Duration `koanf:"timeout"`
	// MaxResponse bounds a provider's response body, in bytes.
	MaxResponse int64 `koanf:"max_response"`
	// MaxConnections is how many connections a user may have.
	MaxConnections int `koanf:"max_connections"`
	// Retry is the retry policy of calls.
	Retry RetryConfig `koanf:"retry"`
	// Breaker configures the circuit breakers, one for each provider and host.
	Breaker BreakerConfig `koanf:"breaker"`
	// Calls is the retention of the call log.
	Calls CallsConfig `koanf:"calls"`
	// PublicURL is the gateway's base URL as providers reach it: the prefix of hooks' URLs. weft sets it to the gateway's
	// address if it is empty.
	PublicURL string `koanf:"public_url"`
	// Limits is how calls wait for providers' rate limits.
	Limits LimitsConfig `koanf:"limits"`
	// ProbeEvery is the interval of each active connection's health probes; 0 disables them.
	ProbeEvery time.Duration `koanf:"probe_every"`
	// Webhooks configures hooks and their deliveries.
	Webhooks WebhooksConfig `koanf:"webhooks"`
	// Objects bounds the files that are passed by reference.
	Objects ObjectsConfig `koanf:"objects"`
	// Refresh is when access tokens are renewed before they expire.
	Refresh RefreshConfig `koanf:"refresh"`
	// RedirectURI is the OAuth redirect URI that is registered with providers: /v1/integrations/callback at PublicURL
	// unless set. RedirectURIs are redirect URIs of other applications, which complete an authorization with exchange_code.
	RedirectURI  string   `koanf:"redirect_uri"`
	RedirectURIs []string `koanf:"redirect_uris"`
	// StateTTL bounds the time between get_auth_url and the callback; at most an hour.
	StateTTL time.Duration `koanf:"state_ttl"`
	// ProvidersDir is a folder of further manifests, a file <id>.yaml for each provider, which replaces a shipped provider
	// of that id. Changes take effect within seconds.
	ProvidersDir string `koanf:"providers_dir"`
	// Providers are settings by provider id, which override the manifest's.
	Providers map[string]ProviderConfig `koanf:"providers"`
}

// ProviderConfig holds the settings of one provider. For a zero field the manifest's value applies.
type ProviderConfig struct {
	// BaseURL replaces the provider's base URL, for a sandbox or a mock.
	BaseURL string `koanf:"base_url"`
	// ClientID and ClientSecret are the OAuth client that the operator has registered with the provider.
	ClientID     string      `koanf:"client_id"`
	ClientSecret mesh.Secret `koanf:"client_secret"`
	// ClientHosts are the hosts at which ClientID is registered, as host, host:port or *.domain, where a setting of connections decides
	// the host of the provider's OAuth endpoints. Unless set they are what the manifest names without settings, if that is a host.
	ClientHosts []string `koanf:"client_hosts"`
	// OAuthURL replaces scheme and host of the provider's OAuth endpoints, for a sandbox or a mock.
	OAuthURL string `koanf:"oauth_url"`
	// Timeout bounds one attempt.
	Timeout time.Duration `koanf:"timeout"`
	// Attempts is the maximum number of attempts, the first included.
	Attempts int `koanf:"attempts"`
	// Backoff is the wait before the second attempt.
	Backoff time.Duration `koanf:"backoff"`
	// Limits overrides the number of requests of the manifest's rate limits, by limit id.
	Limits map[string]int `koanf:"limits"`
}

// LimitsConfig is how calls wait for providers' rate limits.
type LimitsConfig struct {
	// MaxWait is how long a call waits for an exhausted limit before it is refused; 0 refuses at once.
	MaxWait time.Duration `koanf:"max_wait"`
}

// RefreshConfig is when access tokens are renewed before they expire.
type RefreshConfig struct {
	// Before is how long before its expiry a token is renewed, or half of its lifetime if that is less. A random time of
	// up to half as long is added.
	Before time.Duration `koanf:"before"`
	// Every is the interval of searches for tokens to renew.
	Every time.Duration `koanf:"every"`
	// Timeout bounds a token request. If a process dies during one, another process may renew the connection's tokens
	// after three times as long, at least after twice as long and 10s.
	Timeout time.Duration `koanf:"timeout"`
}

// RetryConfig is the retry policy of calls, for what the manifest does not set.
type RetryConfig struct {
	// Attempts is the maximum number of attempts, the first included.
	Attempts int `koanf:"attempts"`
	// Backoff is the wait before the second attempt. It doubles with each further attempt, up to MaxBackoff.
	Backoff    time.Duration `koanf:"backoff"`
	MaxBackoff time.Duration `koanf:"max_backoff"`
	// MaxRetryAfter is the longest Retry-After that is waited for. A longer one ends the call and is returned to the
	// caller.
	MaxRetryAfter time.Duration `koanf:"max_retry_after"`
}

// BreakerConfig configures the circuit breakers.
type BreakerConfig struct {
	// Failures is how many consecutive failures open a breaker.
	Failures int `koanf:"failures"`
	// HalfOpen is how many calls a half-open breaker lets through.
	HalfOpen int `koanf:"half_open"`
	// Open is how long an open breaker refuses calls.
	Open time.Duration `koanf:"open"`
}

// CallsConfig is the retention of the call log.
type CallsConfig struct {
	// KeepFor is the age at which a record is deleted.
	KeepFor time.Duration `koanf:"keep_for"`
	// KeepNewest is how many records of a connection are kept.
	KeepNewest int `koanf:"keep_newest"`
	// SweepEvery is the interval of deletions of old calls and old deliveries.
	SweepEvery time.Duration `koanf:"sweep_every"`
}

// WebhooksConfig configures hooks and their deliveries.
type WebhooksConfig struct {
	// PerConnection is how many hooks a connection may have.
	PerConnection int `koanf:"per_connection"`
	// Remember is how long a delivery is remembered, to detect duplicates.
	Remember time.Duration `koanf:"remember"`
	// OldSecret is how long a hook's previous secret stays valid after a rotation.
	OldSecret time.Duration `koanf:"old_secret"`
	// HandshakeWithin is how long after a hook's creation or rotation a handshake may set its secret.
	HandshakeWithin time.Duration `koanf:"handshake_within"`
	// MaxDeliveriesPerDay is how many deliveries all hooks of a user take on a day of UTC, MaxBytesPerDay how many bytes of events.
	MaxDeliveriesPerDay int64 `koanf:"max_deliveries_per_day"`
	MaxBytesPerDay      int64 `koanf:"max_bytes_per_day"`
	// MaxBytesPerMinute is how many bytes of events all hooks of a user take in a minute.
	MaxBytesPerMinute int64 `koanf:"max_bytes_per_minute"`
}

// ObjectsConfig bounds the files that are passed by reference.
type ObjectsConfig struct {
	// MaxSize bounds one file, PerUser the files of one user and Total those of all users, in bytes. In PerUser and Total
	// each file counts 4 KiB more than its size.
	MaxSize int64 `koanf:"max_size"`
	PerUser int64 `koanf:"per_user"`
	Total   int64 `koanf:"total"`
	// KeepFor is how long a file is kept if its user requests no time, MaxKeepFor the longest time that may be requested.
	KeepFor    time.Duration `koanf:"keep_for"`
	MaxKeepFor time.Duration `koanf:"max_keep_for"`
	// UploadWithin bounds the time of an upload.
	UploadWithin time.Duration `koanf:"upload_within"`
	// PartSize is the size of the parts in which a file is transferred and stored, in bytes.
	PartSize int64 `koanf:"part_size"`
	// SweepEvery is the interval of deletions of expired files.
	SweepEvery time.Duration `koanf:"sweep_every"`
}

// DefaultConfig returns the default settings.
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
			MaxDeliveriesPerDay: 100_000, MaxBytesPerDay: 256 << 20, MaxBytesPerMinute: 16 << 20,
		},
		Objects: ObjectsConfig{
			MaxSize: 100 << 20, PerUser: 1 << 30, Total: 10 << 30, KeepFor: 24 * time.Hour, MaxKeepFor: 7 * 24 * time.Hour,
			UploadWithin: time.Hour, PartSize: 512 << 10, SweepEvery: time.Minute,
		},
		Calls: CallsConfig{KeepFor: 30 * 24 * time.Hour, KeepNewest: 1000, SweepEvery: 10 * time.Minute},
	}
}

// maxStateTTL is the lifetime of the browser's cookie that binds the state (subjects.GetAuthURL).
const maxStateTTL = time.Hour

// callbackURL is the redirect URI of weft's own callback page.
func (c Config) callbackURL() string {
	return cmp.Or(c.RedirectURI, strings.TrimSuffix(c.PublicURL, "/")+"/v1/integrations/callback")
}

// redirectURI returns the requested redirect URI if it is configured, compared as an exact string (RFC 9700 section
// 4.1.3), and callbackURL if none is requested.
func (c Config) redirectURI(requested string) (string, error) {
	if own := c.callbackURL(); requested == "" || requested == own {
		return own, nil
	}
	if slices.Contains(c.RedirectURIs, requested) {
		return requested, nil
	}
	return "", subjects.InvalidField("redirect_uri", "is not configured")
}
