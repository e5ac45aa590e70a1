package notification_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/actors/notification/providers"
)

// TestChannelSettings: each invalid setting of phones and devices is named; without providers of SMS no country is required.
func TestChannelSettings(t *testing.T) {
	t.Parallel()
	for setting, change := range map[string]func(*notification.Config){
		"": func(*notification.Config) {},
		"notification.phone.allowed_countries is empty": func(c *notification.Config) {
			c.Twilio = providers.TwilioConfig{AccountSID: "AC0123456789abcdef0123456789abcdef", AuthToken: "x", From: "weft", Weight: 1}
		},
		"notification.phone.allowed_countries has":      func(c *notification.Config) { c.Phone.AllowedCountries = []string{"DE", "Germany"} },
		"notification.phone.allowed_countries has \"de": func(c *notification.Config) { c.Phone.AllowedCountries = []string{"*", "de"} },
		"notification.phone.max_codes_per_user":         func(c *notification.Config) { c.Phone.MaxCodesPerUser = 0 },
		"notification.phone.max_codes_per_number":       func(c *notification.Config) { c.Phone.MaxCodesPerNumber = -1 },
		"notification.phone.max_codes_per_range":        func(c *notification.Config) { c.Phone.MaxCodesPerRange = 0 },
		"notification.phone.max_attempts":               func(c *notification.Config) { c.Phone.MaxAttempts = 21 },
		"notification.devices.max_per_user":             func(c *notification.Config) { c.Devices.MaxPerUser = 0 },
		"notification.twilio.auth_token": func(c *notification.Config) {
			c.Twilio.AccountSID, c.Twilio.From, c.Phone.AllowedCountries = "AC0123456789abcdef0123456789abcdef", "weft", []string{"*"}
		},
	} {
		c := notification.DefaultConfig()
		change(&c)
		err := c.Check()
		if setting == "" && err != nil || setting != "" && (err == nil || !strings.HasPrefix(err.Error(), setting) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: got %v", setting, err)
		}
	}
}
