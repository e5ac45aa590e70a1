package gateway

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Config is everything of the gateway that can be set.
type Config struct {
	// Listen is the address to serve HTTP on; port 0 takes a free one.
	Listen string `koanf:"listen"`
	// TLSCert and TLSKey are PEM files; both empty serves plain HTTP.
	TLSCert string `koanf:"tls_cert"`
	TLSKey  string `koanf:"tls_key"`
	// CORSOrigins are the origins, such as https://app.example, whose pages may call; "*" is any.
	CORSOrigins []string `koanf:"cors_origins"`
	// TrustedProxies are address ranges (CIDR) whose X-Forwarded-For or Forwarded counts.
	TrustedProxies []string `koanf:"trusted_proxies"`
	// MaxBody bounds a request's body, in bytes.
	MaxBody int64 `koanf:"max_body"`
	// MaxHeader bounds a request's line and headers, in bytes.
	MaxHeader int `koanf:"max_header"`
	// DrainTimeout bounds how long a stop waits for requests under way.
	DrainTimeout time.Duration `koanf:"drain_timeout"`

	Limits  LimitsConfig  `koanf:"limits"`
	Breaker BreakerConfig `koanf:"breaker"`
	Streams StreamsConfig `koanf:"streams"`
}

// LimitsConfig are the general rate limits, in requests a minute over all gateways.
type LimitsConfig struct {
	// Enabled false turns every limit off, the endpoints' own too.
	Enabled bool `koanf:"enabled"`
	Global  int  `koanf:"global"`
	PerUser int  `koanf:"per_user"`
	PerIP   int  `koanf:"per_ip"`
}

// BreakerConfig is when the gateway stops asking an actor that does not answer.
type BreakerConfig struct {
	// Failures in a row (nobody serves, or no answer in time) open the breaker.
	Failures int `koanf:"failures"`
	// Open is how long it then refuses at once, before the actor's health check is asked.
	Open time.Duration `koanf:"open"`
}

// StreamsConfig bounds server-sent events.
type StreamsConfig struct {
	// Max is how many streams a gateway holds open, PerUser how many of one user (or address).
	Max     int `koanf:"max"`
	PerUser int `koanf:"per_user"`
	// Heartbeat is the pause between two comments that keep proxies from closing the line.
	Heartbeat time.Duration `koanf:"heartbeat"`
	// Recheck is how often the stream's token is verified again.
	Recheck time.Duration `koanf:"recheck"`
}

// DefaultConfig works on a laptop as it is. Its limits are the ones the product has always had.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:8080", CORSOrigins: []string{}, TrustedProxies: []string{},
		MaxBody: 1 << 20, MaxHeader: 32 << 10, DrainTimeout: 30 * time.Second,
		Limits:  LimitsConfig{Enabled: true, Global: 1000, PerUser: 100, PerIP: 60},
		Breaker: BreakerConfig{Failures: 5, Open: time.Second},
		Streams: StreamsConfig{Max: 1000, PerUser: 10, Heartbeat: 15 * time.Second, Recheck: 3 * time.Second},
	}
}

func parsePrefixes(list []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(list))
	for _, text := range list {
		if !strings.Contains(text, "/") {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("%q is neither an address nor a range: %w", text, err)
			}
			prefixes = append(prefixes, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a range: %w", text, err)
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes, nil
}
