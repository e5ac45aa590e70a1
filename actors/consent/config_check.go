package consent

import (
	"errors"
	"strings"

	"github.com/weftmesh/weft/actors/consent/ledger"
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
	return errors.Join(append(errs, c.checkPurposes(), c.Notices.check(), c.checkAges(), c.Ledger.check(), c.checkExpiry(), c.Privacy.check(),
		c.Controller.check())...)
}

func (c LedgerConfig) check() error {
	if _, err := ledger.ParseWitnesses(c.Witnesses); err != nil {
		return mesh.InvalidSetting("consent.ledger.witnesses", "is invalid: %v", err)
	}
	if strings.ContainsAny(c.Origin, " +\n\t") || strings.Contains(c.Origin, "://") {
		return mesh.InvalidSetting("consent.ledger.origin", "is %q, and must be a URL without a scheme, spaces and plus signs", c.Origin)
	}
	return mesh.SettingBetween("consent.ledger.quorum", c.Quorum, 0, len(c.Witnesses))
}
