package auth

import (
	"net/url"
	"strings"
	"time"
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
