package consent

import (
	"errors"
	"net/url"
	"time"

	"github.com/weftmesh/weft/mesh"
)

// RetentionConfig is for how long the tables keep what is over. Each deletion is an entry of the ledger, which itself keeps every entry for at least
// seven years.
type RetentionConfig struct {
	// Ended is for how long a consent is kept after it was revoked or has expired; 0 keeps it for good. A superseded consent is kept as long after its
	// own expiry.
	Ended time.Duration `koanf:"ended"`
	// Refused is for how long a refusal is kept; 0 keeps it for good.
	Refused time.Duration `koanf:"refused"`
}

// minRetention is the shortest retention: a history must outlast what a user may still ask about it.
const minRetention = 24 * time.Hour

func defaultRetention() RetentionConfig {
	const year = 365 * 24 * time.Hour
	return RetentionConfig{Ended: 3 * year, Refused: 3 * year}
}

func (c RetentionConfig) check() error {
	var errs []error
	for name, value := range map[string]time.Duration{"consent.retention.ended": c.Ended, "consent.retention.refused": c.Refused} {
		if value != 0 {
			errs = append(errs, mesh.SettingAtLeast(name, value, minRetention))
		}
	}
	return errors.Join(errs...)
}

// checkExpiry checks the settings of expiry.
func (c Config) checkExpiry() error {
	errs := []error{mesh.SettingAtLeast("consent.expiry_notice", c.ExpiryNotice, 0), c.Retention.check()}
	if c.RenewURL != "" {
		if u, err := url.Parse(c.RenewURL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Fragment != "" {
			errs = append(errs, mesh.InvalidSetting("consent.renew_url", "is %q, and must be an absolute http or https URL without a fragment", c.RenewURL))
		}
	}
	return errors.Join(errs...)
}
