package gateway

import (
	"errors"
	"net/url"

	"github.com/weftmesh/weft/mesh"
)

// Check returns a mesh.SettingError for each invalid setting.
func (c Config) Check() error {
	errs := []error{
		mesh.SettingPositive("gateway.max_body", c.MaxBody),
		mesh.SettingPositive("gateway.body_budget", c.BodyBudget),
		mesh.SettingPositive("gateway.max_header", c.MaxHeader),
		mesh.SettingPositive("gateway.connections.max", c.Connections.Max),
		mesh.SettingPositive("gateway.connections.per_address", c.Connections.PerAddress),
		mesh.SettingPositive("gateway.drain_timeout", c.DrainTimeout),
		mesh.SettingPositive("gateway.limits.global", c.Limits.Global),
		mesh.SettingPositive("gateway.limits.per_user", c.Limits.PerUser),
		mesh.SettingPositive("gateway.limits.per_ip", c.Limits.PerIP),
		mesh.SettingPositive("gateway.breaker.failures", c.Breaker.Failures),
		mesh.SettingPositive("gateway.breaker.open", c.Breaker.Open),
		mesh.SettingPositive("gateway.streams.max", c.Streams.Max),
		mesh.SettingPositive("gateway.streams.per_user", c.Streams.PerUser),
		mesh.SettingPositive("gateway.streams.heartbeat", c.Streams.Heartbeat),
		mesh.SettingPositive("gateway.streams.recheck", c.Streams.Recheck),
	}
	fail := func(setting, format string, args ...any) {
		errs = append(errs, mesh.InvalidSetting(setting, format, args...))
	}
	if c.TLSCert != "" && c.TLSKey == "" {
		fail("gateway.tls_key", "must be set together with gateway.tls_cert")
	}
	if c.TLSKey != "" && c.TLSCert == "" {
		fail("gateway.tls_cert", "must be set together with gateway.tls_key")
	}
	for _, origin := range c.CORSOrigins {
		if u, err := url.Parse(origin); origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "") {
			fail("gateway.cors_origins", "has %q, and must have origins such as https://app.example", origin)
		}
	}
	if _, err := parsePrefixes(c.TrustedProxies); err != nil {
		fail("gateway.trusted_proxies", "is invalid: %v", err)
	}
	return errors.Join(errs...)
}
