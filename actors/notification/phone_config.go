package notification

import (
	"errors"
	"slices"

	"github.com/nyaruka/phonenumbers"

	"github.com/weftmesh/weft/mesh"
)

// PhoneConfig is how phone numbers are verified. The bounds keep others from having SMS sent at the operator's cost.
type PhoneConfig struct {
	// AllowedCountries are the countries (ISO 3166-1 alpha-2) whose numbers get SMS, or `*` for all. Required where SMS are sent.
	AllowedCountries []string `koanf:"allowed_countries"`
	// MaxCodesPerUser, MaxCodesPerNumber and MaxCodesPerRange are how many codes are sent in 24 hours for a user, to a number, and to the
	// ten thousand numbers that differ in their last four digits.
	MaxCodesPerUser   int `koanf:"max_codes_per_user"`
	MaxCodesPerNumber int `koanf:"max_codes_per_number"`
	MaxCodesPerRange  int `koanf:"max_codes_per_range"`
	// MaxAttempts is how often a code may be tried.
	MaxAttempts int `koanf:"max_attempts"`
}

// anyCountry allows every country.
const anyCountry = "*"

func defaultPhoneConfig() PhoneConfig {
	return PhoneConfig{MaxCodesPerUser: 5, MaxCodesPerNumber: 5, MaxCodesPerRange: 20, MaxAttempts: 5}
}

// check returns a mesh.SettingError for each invalid setting. used says that SMS are sent.
func (c PhoneConfig) check(used bool) error {
	const section = "notification.phone"
	errs := []error{
		mesh.SettingAtLeast(section+".max_codes_per_user", c.MaxCodesPerUser, 1),
		mesh.SettingAtLeast(section+".max_codes_per_number", c.MaxCodesPerNumber, 1),
		mesh.SettingAtLeast(section+".max_codes_per_range", c.MaxCodesPerRange, 1),
		mesh.SettingBetween(section+".max_attempts", c.MaxAttempts, 1, 20),
	}
	if used && len(c.AllowedCountries) == 0 {
		errs = append(errs, mesh.InvalidSetting(section+".allowed_countries",
			"is empty, and must name the countries whose numbers get SMS, or be %s for all", anyCountry))
	}
	for _, country := range c.AllowedCountries {
		if country != anyCountry && phonenumbers.GetCountryCodeForRegion(country) == 0 {
			errs = append(errs, mesh.InvalidSetting(section+".allowed_countries", "has %q, which is no country of ISO 3166-1 in capitals", country))
		}
	}
	return errors.Join(errs...)
}

// allows reports whether numbers of a country get SMS.
func (c PhoneConfig) allows(country string) bool {
	return slices.Contains(c.AllowedCountries, anyCountry) || slices.Contains(c.AllowedCountries, country)
}

// checkChannels checks the settings of SMS and push messages.
func (c Config) checkChannels() error {
	return errors.Join(
		c.Twilio.Check(), c.SNS.Check(), c.FCM.Check(), c.APNs.Check(), c.WebPush.Check(),
		c.Phone.check(c.Twilio.Enabled() || c.SNS.Enabled()), c.Devices.check())
}
