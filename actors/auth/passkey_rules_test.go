package auth

import (
	"testing"
	"time"
)

func TestPasskeySettings(t *testing.T) {
	t.Parallel()
	with := func(change func(*PasskeyConfig)) PasskeyConfig {
		c := defaultPasskeyConfig()
		change(&c)
		return c
	}
	site := func(id string, origins ...string) PasskeyConfig {
		return with(func(c *PasskeyConfig) { c.RPID, c.Origins = id, origins })
	}
	for name, good := range map[string]PasskeyConfig{
		"default":                  defaultPasskeyConfig(),
		"a site":                   site("weft.example", "https://weft.example"),
		"a parent domain":          site("weft.example", "https://app.weft.example:8443", "https://weft.example"),
		"a subdomain of localhost": site("localhost", "http://weft.localhost:8080"),
	} {
		if err := good.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bad := range map[string]PasskeyConfig{
		"an IP address":           site("127.0.0.1", "http://127.0.0.1:8080"),
		"an IP address as origin": site("localhost", "http://127.0.0.1:8080"),
		"no site":                 site("", "https://weft.example"),
		"no origin":               site("weft.example"),
		"a path":                  site("weft.example", "https://weft.example/"),
		"credentials":             site("weft.example", "https://ada@weft.example"),
		"plain http":              site("weft.example", "http://weft.example"),
		"another site":            site("weft.example", "https://weft.example.org"),
		"a similar name":          site("weft.example", "https://notweft.example"),
		"no name":                 with(func(c *PasskeyConfig) { c.RPName = "" }),
		"a TTL below a second":    with(func(c *PasskeyConfig) { c.CeremonyTTL = time.Millisecond }),
		"a TTL of a day":          with(func(c *PasskeyConfig) { c.CeremonyTTL = 24 * time.Hour }),
	} {
		if err := bad.check(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
