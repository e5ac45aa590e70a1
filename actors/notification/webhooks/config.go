package webhooks

import (
	"errors"
	"time"

	"github.com/weftmesh/weft/mesh"
)

// Config bounds the webhooks of users.
type Config struct {
	// PerUser is how many webhooks a user may have.
	PerUser int `koanf:"per_user"`
	// MaxPerMinute is the most attempts in a minute that a webhook may be set to.
	MaxPerMinute int `koanf:"max_per_minute"`
	// MaxPendingPerUser is how many deliveries of a user may wait, those to disabled webhooks included. MaxDeliveriesPerDay and
	// MaxBytesPerDay are how many are stored for a user in a day (UTC), and how many bytes of payloads. Further events are dropped and
	// counted at the webhook.
	MaxPendingPerUser   int   `koanf:"max_pending_per_user"`
	MaxDeliveriesPerDay int64 `koanf:"max_deliveries_per_day"`
	MaxBytesPerDay      int64 `koanf:"max_bytes_per_day"`
	// OldSecret is how long the previous secret signs along after a rotation.
	OldSecret time.Duration `koanf:"old_secret"`
	// DisableAfter is how long a webhook may fail before it is disabled. Its owner is warned after a day and a day before.
	DisableAfter time.Duration `koanf:"disable_after"`
}

// DefaultConfig returns the default settings.
func DefaultConfig() Config {
	return Config{
		PerUser: 50, MaxPerMinute: 600, MaxPendingPerUser: 100_000, MaxDeliveriesPerDay: 500_000, MaxBytesPerDay: 256 << 20,
		OldSecret: 24 * time.Hour, DisableAfter: 5 * 24 * time.Hour,
	}
}

// Check returns a mesh.SettingError for each invalid setting.
func (c Config) Check() error {
	return errors.Join(
		mesh.SettingAtLeast("notification.webhooks.per_user", c.PerUser, 0),
		mesh.SettingBetween("notification.webhooks.max_per_minute", c.MaxPerMinute, 1, 100_000),
		mesh.SettingAtLeast("notification.webhooks.max_pending_per_user", c.MaxPendingPerUser, 1),
		mesh.SettingAtLeast("notification.webhooks.max_deliveries_per_day", c.MaxDeliveriesPerDay, 1),
		mesh.SettingAtLeast("notification.webhooks.max_bytes_per_day", c.MaxBytesPerDay, 1),
		mesh.SettingPositive("notification.webhooks.old_secret", c.OldSecret),
		mesh.SettingPositive("notification.webhooks.disable_after", c.DisableAfter))
}
