package consent

import (
	"errors"

	"github.com/weftmesh/weft/mesh"
)

// Check returns a mesh.SettingError for each invalid setting.
func (c Config) Check() error {
	errs := []error{
		mesh.SettingPositive("consent.expiry", c.Expiry), mesh.SettingAtLeast("consent.max_grants_per_day", c.MaxGrantsPerDay, 1),
	}
	if c.MaxExpiry < c.Expiry {
		errs = append(errs, mesh.InvalidSetting("consent.max_expiry", "is %s, and must be at least consent.expiry, which is %s", c.MaxExpiry, c.Expiry))
	}
	return errors.Join(errs...)
}
