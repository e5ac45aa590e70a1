package gateway

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Config holds the settings of the gateway.
type Config struct {
	// Listen is the address to serve HTTP on. Port 0 selects a free port.
	Listen string `koanf:"listen"`
	// TLSCert and TLSKey are paths of PEM files. If both are empty, the gateway serves plain HTTP.
	TLSCert string `koanf:"tls_cert"`
	TLSKey  string `koanf:"tls_key"`
	// CORSOrigins are the origins whose pages may call the gateway, such as https://app.example; "*" means any.
	CORSOrigins []string `koanf:"cors_origins"`
	// TrustedProxies are the addresses and ranges (CIDR) of proxies whose X-Forwarded-For, Forwarded and X-Forwarded-Proto
	// are trusted.
	TrustedProxies []string `koanf:"trusted_proxies"`
	// MaxBody bounds a request body, in bytes; most endpoints take less. Uploads in parts are not subject to it.
	MaxBody int64 `koanf:"max_body"`
	// BodyBudget bounds the memory of all request bodies that are received and validated at the same time, in bytes. A user or client
	// address may hold a quarter. An eighth of the process's memory limit applies if that is less.
	BodyBudget int64 `koanf:"body_budget"`
	// MaxHeader bounds the request line and headers, in bytes.
	MaxHeader int `koanf:"max_header"`
	// DrainTimeout bounds how long shutdown waits for requests in progress.
	DrainTimeout time.Duration `koanf:"drain_timeout"`

	Limits  LimitsConfig  `koanf:"limits"`
	Breaker BreakerConfig `koanf:"breaker"`
	Streams StreamsConfig `koanf:"streams"`

	Connections ConnectionsConfig `koanf:"connections"`
}

// ConnectionsConfig bounds the open connections of a gateway.
type ConnectionsConfig struct {
	// Max bounds all connections and the requests in progress on them, PerAddress the connections of one client address, except that of a
	// trusted proxy. A new connection closes the one that has been idle for the longest time.
	Max        int `koanf:"max"`
	PerAddress int `koanf:"per_address"`
}

// LimitsConfig holds the general rate limits, in requests per minute over all gateways.
type LimitsConfig struct {
	// Enabled turns on all rate limits, including the endpoints' own.
	Enabled bool `koanf:"enabled"`
	Global  int  `koanf:"global"`
	PerUser int  `koanf:"per_user"`
	PerIP   int  `koanf:"per_ip"`
}

// BreakerConfig configures the circuit breaker of each actor.
type BreakerConfig struct {
	// Failures is how many consecutive failures (no responders, or no reply in time) open a breaker.
	Failures int `koanf:"failures"`
	// Open is how long an open breaker rejects requests before it sends the actor's health check.
	Open time.Duration `koanf:"open"`
}

// StreamsConfig configures server-sent event streams. Uploads and downloads count as streams.
type StreamsConfig struct {
	// Max bounds the open streams of a gateway, PerUser those of one user or, if anonymous, client address.
	Max     int `koanf:"max"`
	PerUser int `koanf:"per_user"`
	// Heartbeat is the interval of comments that keep proxies from closing an idle connection.
	Heartbeat time.Duration `koanf:"heartbeat"`
	// Recheck is the interval at which a stream's token is verified again.
	Recheck time.Duration `koanf:"recheck"`
}

// DefaultConfig returns the default settings, which suit a local installation.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:8080", CORSOrigins: []string{}, TrustedProxies: []string{},
		MaxBody: 1 << 20, BodyBudget: 64 << 20, MaxHeader: 32 << 10, DrainTimeout: 15 * time.Second,
		Limits:      LimitsConfig{Enabled: true, Global: 1000, PerUser: 100, PerIP: 60},
		Breaker:     BreakerConfig{Failures: 5, Open: time.Second},
		Streams:     StreamsConfig{Max: 1000, PerUser: 10, Heartbeat: 15 * time.Second, Recheck: 3 * time.Second},
		Connections: ConnectionsConfig{Max: 2048, PerAddress: 512},
	}
}

func parsePrefixes(list []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(list))
	for _, text := range list {
		if !strings.Contains(text, "/") {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("%q is neither an IP address nor a CIDR range: %w", text, err)
			}
			prefixes = append(prefixes, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an IP address nor a CIDR range: %w", text, err)
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes, nil
}
