package notification

import (
	"errors"
	"time"

	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/mesh"
)

// PipelineConfig bounds what is sent to one recipient.
type PipelineConfig struct {
	// EmailPerHour, SMSPerHour and PushPerHour are how many messages a recipient gets over the channel within any hour, over all
	// processes; later ones are deferred. SecurityPerHour is the same for the category security, which is counted on its own, by channel.
	// 0 is no bound.
	EmailPerHour    int `koanf:"email_per_hour"`
	SMSPerHour      int `koanf:"sms_per_hour"`
	PushPerHour     int `koanf:"push_per_hour"`
	SecurityPerHour int `koanf:"security_per_hour"`
	// MaxWaitingPerUser is how many deliveries to a user may be deferred or batched; further notifications are refused, except those of
	// the category security.
	MaxWaitingPerUser int `koanf:"max_waiting_per_user"`
	// Sweep is the interval of the search for deliveries whose job was lost: those without an attempt for SweepAfter.
	Sweep      time.Duration `koanf:"sweep"`
	SweepAfter time.Duration `koanf:"sweep_after"`
}

func defaultPipelineConfig() PipelineConfig {
	return PipelineConfig{
		EmailPerHour: 60, SMSPerHour: 10, PushPerHour: 60, SecurityPerHour: 30, MaxWaitingPerUser: 1000,
		Sweep: time.Minute, SweepAfter: 15 * time.Minute,
	}
}

// minSweepAfter is longer than an attempt may take, so that a delivery under way is not taken for a lost one.
const minSweepAfter = time.Minute

func (c PipelineConfig) check() error {
	return errors.Join(
		mesh.SettingAtLeast("notification.pipeline.email_per_hour", c.EmailPerHour, 0),
		mesh.SettingAtLeast("notification.pipeline.sms_per_hour", c.SMSPerHour, 0),
		mesh.SettingAtLeast("notification.pipeline.push_per_hour", c.PushPerHour, 0),
		mesh.SettingAtLeast("notification.pipeline.security_per_hour", c.SecurityPerHour, 0),
		mesh.SettingAtLeast("notification.pipeline.max_waiting_per_user", c.MaxWaitingPerUser, 1),
		mesh.SettingPositive("notification.pipeline.sweep", c.Sweep),
		mesh.SettingAtLeast("notification.pipeline.sweep_after", c.SweepAfter, minSweepAfter))
}

// ratePeriod is the period of the rates.
const ratePeriod = time.Hour

// rate returns how many messages of a category a recipient gets over a channel within a ratePeriod; 0 for no bound.
func (c PipelineConfig) rate(category, ch string) int {
	if interrupts(ch) && category == categorySecurity {
		return c.SecurityPerHour
	}
	switch ch {
	case channel.Email:
		return c.EmailPerHour
	case channel.SMS:
		return c.SMSPerHour
	case channel.Push:
		return c.PushPerHour
	}
	return 0
}
