package auth

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
)

// PasskeyConfig configures the site (relying party) of passkeys. A passkey is bound to its site: a change of RPID
// invalidates every passkey.
type PasskeyConfig struct {
	// RPID is the site's domain: that of the pages where users sign in, or a parent domain. Browsers accept localhost
	// for development but no IP address: open http://localhost:8080, not http://127.0.0.1:8080.
	RPID string `koanf:"rp_id"`
	// RPName is the name that authenticators show.
	RPName string `koanf:"rp_name"`
	// Origins are the exact origins of those pages: https, or http on localhost, with the port unless it is the
	// scheme's default.
	Origins []string `koanf:"origins"`
	// CeremonyTTL is how long the creation or use of a passkey may take.
	CeremonyTTL time.Duration `koanf:"ceremony_ttl"`
}

func defaultPasskeyConfig() PasskeyConfig {
	return PasskeyConfig{
		RPID: "localhost", RPName: "weft", Origins: []string{"http://localhost:8080"}, CeremonyTTL: 5 * time.Minute,
	}
}

func (c PasskeyConfig) check() error {
	if err := protocol.ValidateRPID(c.RPID); err != nil {
		return fmt.Errorf("auth.passkeys.rp_id is %q, it must be a domain: %w", c.RPID, err)
	}
	if c.RPName == "" {
		return fmt.Errorf("auth.passkeys.rp_name is missing")
	}
	if c.CeremonyTTL < time.Second || c.CeremonyTTL > time.Hour {
		return fmt.Errorf("auth.passkeys.ceremony_ttl is %s, it must be between one second and one hour", c.CeremonyTTL)
	}
	if len(c.Origins) == 0 {
		return fmt.Errorf("auth.passkeys.origins is missing")
	}
	for _, origin := range c.Origins {
		if !c.goodOrigin(origin) {
			return fmt.Errorf("auth.passkeys.origins has %q, it must be an https origin (http for localhost) of %s or a subdomain",
				origin, c.RPID)
		}
	}
	return nil
}

// goodOrigin reports whether browsers use the site's passkeys on pages of the origin.
func (c PasskeyConfig) goodOrigin(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme+"://"+u.Host != origin {
		return false
	}
	host := u.Hostname()
	if host != c.RPID && !strings.HasSuffix(host, "."+c.RPID) {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && (host == "localhost" || strings.HasSuffix(host, ".localhost"))
}
