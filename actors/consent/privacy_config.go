package consent

import (
	"errors"
	"time"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
)

// PrivacyConfig bounds requests under data protection law.
type PrivacyConfig struct {
	// KeepExports is how long the file of a request for access or portability can be downloaded, at most a week.
	KeepExports time.Duration `koanf:"keep_exports"`
	// MaxExport bounds such a file, in bytes.
	MaxExport int64 `koanf:"max_export"`
	// MaxRequestsPerMonth is how many requests a user may make in 30 days (GDPR Art. 12(5): excessive requests).
	MaxRequestsPerMonth int `koanf:"max_requests_per_month"`
	// Retry is the pause after an attempt to collect the data that has failed. It doubles with each, up to six hours.
	Retry time.Duration `koanf:"retry"`
}

// exportMargin is what an export's parts may be older than its request's completion.
const exportMargin = 24 * time.Hour

// defaultPrivacyConfig returns a week, 2 GiB and 20 requests a month.
func defaultPrivacyConfig() PrivacyConfig {
	return PrivacyConfig{KeepExports: 7 * 24 * time.Hour, MaxExport: 2 << 30, MaxRequestsPerMonth: 20, Retry: time.Minute}
}

func (c PrivacyConfig) check() error {
	errs := []error{
		mesh.SettingPositive("consent.privacy.keep_exports", c.KeepExports), mesh.SettingAtLeast("consent.privacy.max_export", c.MaxExport, 1<<20),
		mesh.SettingAtLeast("consent.privacy.max_requests_per_month", c.MaxRequestsPerMonth, 1), mesh.SettingPositive("consent.privacy.retry", c.Retry),
	}
	if limit := kv.ConsentExports.TTL - exportMargin; c.KeepExports > limit {
		errs = append(errs, mesh.InvalidSetting("consent.privacy.keep_exports", "is %s, and must be at most %s", c.KeepExports, limit))
	}
	return errors.Join(errs...)
}
