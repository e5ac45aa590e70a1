package notification

import (
	"errors"

	"github.com/weftmesh/weft/mesh"
)

// Check returns a mesh.SettingError for each invalid setting.
func (c Config) Check() error {
	return errors.Join(
		mesh.SettingPositive("notification.tick", c.Tick),
		mesh.SettingAtLeast("notification.max_scheduled_per_user", c.MaxScheduledPerUser, 0),
		mesh.SettingAtLeast("notification.max_kept_per_user", c.MaxKeptPerUser, 1),
		mesh.SettingAtLeast("notification.max_kept_bytes_per_user", c.MaxKeptBytesPerUser, 1),
		c.Pipeline.check(), c.SMTP.Check(), c.SendGrid.Check(), c.SES.Check(), c.DKIM.check(c.SMTP.From), checkPublicURL(c.PublicURL), c.checkChannels(),
		checkExecutionURL(c.ExecutionURL),
		c.Webhooks.Check(), c.Templates.check())
}
