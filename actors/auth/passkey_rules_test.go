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
		"default":         defaultPasskeyConfig(),
		"a site":          site("weft.example", "https://weft.example"),
		"a site above":    site("weft.example", "https://app.weft.example:8443", "https://weft.example"),
		"below localhost": site("localhost", "http://weft.localhost:8080"),
	} {
		if err := good.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bad := range map[string]PasskeyConfig{
		"an address":       site("127.0.0.1", "http://127.0.0.1:8080"),
		"address's origin": site("localhost", "http://127.0.0.1:8080"),
		"no site":          site("", "https://weft.example"),
		"no origin":        site("weft.example"),
		"a path":           site("weft.example", "https://weft.example/"),
		"credentials":      site("weft.example", "https://ada@weft.example"),
		"plain http":       site("weft.example", "http://weft.example"),
		"another site":     site("weft.example", "https://weft.example.org"),
		"a like name":      site("weft.example", "https://notweft.example"),
		"no name":          with(func(c *PasskeyConfig) { c.RPName = "" }),
		"no time":          with(func(c *PasskeyConfig) { c.CeremonyTTL = time.Millisecond }),
		"a day":            with(func(c *PasskeyConfig) { c.CeremonyTTL = 24 * time.Hour }),
	} {
		if err := bad.check(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
