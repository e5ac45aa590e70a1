package consent

import (
	"errors"
	"time"

	"github.com/weftmesh/weft/mesh"
)

// NoticesConfig is how notices are published and served.
type NoticesConfig struct {
	// MaxVersions is how many versions all notices may have together. They are kept for good, because records name them.
	MaxVersions int `koanf:"max_versions"`
	// TokenTTL is how long a served notice may be answered: the lifetime of its token.
	TokenTTL time.Duration `koanf:"token_ttl"`
}

// maxTokenTTL bounds consent.notices.token_ttl: what a user was shown must be near to what they decide.
const maxTokenTTL = 24 * time.Hour

func defaultNoticesConfig() NoticesConfig {
	return NoticesConfig{MaxVersions: 1000, TokenTTL: time.Hour}
}

func (c NoticesConfig) check() error {
	errs := []error{
		mesh.SettingAtLeast("consent.notices.max_versions", c.MaxVersions, 1), mesh.SettingPositive("consent.notices.token_ttl", c.TokenTTL),
	}
	if c.TokenTTL > maxTokenTTL {
		errs = append(errs, mesh.InvalidSetting("consent.notices.token_ttl", "is %s, and must be at most %s", c.TokenTTL, maxTokenTTL))
	}
	return errors.Join(errs...)
}
