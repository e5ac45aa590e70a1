package notification

import (
	"fmt"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/timing"
	"github.com/weftmesh/weft/subjects"
)

// The categories.
const (
	categorySystem      = "system"
	categoryWorkflow    = "workflow"
	categoryIntegration = "integration"
	categoryConsent     = "consent"
	categorySecurity    = "security"
	categoryMarketing   = "marketing"
)

var (
	categories = []string{categorySystem, categoryWorkflow, categoryIntegration, categoryConsent, categorySecurity, categoryMarketing}
	channels   = []string{channel.InApp, channel.Email, channel.SMS, channel.Push, channel.Webhook}
)

// interrupts reports whether messages of a channel interrupt their reader: quiet hours, windows and rates hold them back. In-app messages and
// webhooks are delivered at any time.
func interrupts(ch string) bool {
	return ch == channel.Email || ch == channel.SMS || ch == channel.Push
}

// preferences are a user's settings; those of categories, channels and digest that the user did not set are absent.
type preferences struct {
	subjects.NotificationSettings
}

// defaultPreference is the preference of a category and channel that a user has not set: all are on, except marketing by SMS and push.
func defaultPreference(category, ch string) subjects.ChannelPreference {
	if category == categoryMarketing && (ch == channel.SMS || ch == channel.Push) {
		return subjects.ChannelPreference{Mode: subjects.PreferenceOff}
	}
	return subjects.ChannelPreference{Mode: subjects.PreferenceOn}
}

// categoryOf returns the place of a category's preferences.
func categoryOf(p *subjects.CategoryPreferences, category string) **subjects.ChannelPreferences {
	switch category {
	case categorySystem:
		return &p.System
	case categoryWorkflow:
		return &p.Workflow
	case categoryIntegration:
		return &p.Integration
	case categoryConsent:
		return &p.Consent
	case categorySecurity:
		return &p.Security
	}
	return &p.Marketing
}

// channelOf returns the place of a channel's preference.
func channelOf(p *subjects.ChannelPreferences, ch string) **subjects.ChannelPreference {
	switch ch {
	case channel.InApp:
		return &p.InApp
	case channel.Email:
		return &p.Email
	case channel.SMS:
		return &p.SMS
	case channel.Push:
		return &p.Push
	}
	return &p.Webhook
}

// of returns the preference for a category and channel.
func (p preferences) of(category, ch string) subjects.ChannelPreference {
	if c := *categoryOf(&p.Categories, category); c != nil {
		if set := *channelOf(c, ch); set != nil {
			return *set
		}
	}
	return defaultPreference(category, ch)
}

// complete returns the settings with every default.
func (p preferences) complete() subjects.NotificationSettings {
	s := p.NotificationSettings
	s.Categories = subjects.CategoryPreferences{}
	for _, category := range categories {
		all := &subjects.ChannelPreferences{}
		for _, ch := range channels {
			set := p.of(category, ch)
			*channelOf(all, ch) = &set
		}
		*categoryOf(&s.Categories, category) = all
	}
	digest := p.digest()
	s.Digest = &digest
	return s
}

// digest returns the digest's time, or its default.
func (p preferences) digest() subjects.Digest {
	d := subjects.Digest{Frequency: "daily", Time: "08:00"}
	if p.Digest != nil {
		d = *p.Digest
	}
	if d.Frequency == "weekly" && d.Day == "" {
		d.Day = "mon"
	}
	return d
}

// timed reports whether quiet hours or windows hold back a category on a channel.
func (p preferences) timed(category, ch string) bool {
	if !interrupts(ch) || p.QuietHours == nil && len(p.Windows) == 0 {
		return false
	}
	return category != categorySecurity || p.QuietHours != nil && p.QuietHours.Security
}

// rules returns the quiet hours and windows in a zone.
func (p preferences) rules(zone *time.Location) timing.Rules {
	r := timing.Rules{Zone: zone}
	if q := p.QuietHours; q != nil {
		r.Quiet = []timing.Span{{Days: daysOf(q.Days), Start: minuteOf(q.Start), End: minuteOf(q.End)}}
	}
	for _, w := range p.Windows {
		r.Windows = append(r.Windows, timing.Span{Days: daysOf(w.Days), Start: minuteOf(w.Start), End: minuteOf(w.End)})
	}
	return r
}

// nextDigest returns the first digest time after an instant in a zone.
func (p preferences) nextDigest(after time.Time, zone *time.Location) time.Time {
	d := p.digest()
	next := timing.Digest{Zone: zone, Minute: minuteOf(d.Time)}
	if d.Frequency == "weekly" {
		next.Days = daysOf([]string{d.Day})
	}
	return next.Next(after)
}

// minuteOf returns the minute of the day of a valid HH:MM.
func minuteOf(text string) int {
	var hour, minute int
	_, _ = fmt.Sscanf(text, "%d:%d", &hour, &minute)
	return hour*60 + minute
}

// daysOf returns the set of valid names of days, every day for none.
func daysOf(names []string) (set timing.Days) {
	for _, name := range names {
		for day := time.Sunday; day <= time.Saturday; day++ {
			if strings.EqualFold(day.String()[:3], name) {
				set |= timing.On(day)
			}
		}
	}
	if set == 0 {
		return timing.EveryDay
	}
	return set
}

// checkSettings applies the rules that the schema cannot express.
func checkSettings(s subjects.NotificationSettings) error {
	for _, category := range categories {
		given := *categoryOf(&s.Categories, category)
		if given == nil {
			continue
		}
		for _, ch := range channels {
			if set := *channelOf(given, ch); set != nil {
				if err := checkPreference(*set, category, ch); err != nil {
					return err
				}
			}
		}
	}
	if q := s.QuietHours; q != nil {
		if q.Start == q.End {
			return subjects.InvalidField("quiet_hours.end", "is the same as start; for a whole day give 00:00 and 24:00")
		}
		if _, err := subjects.LoadTimeZone(q.TimeZone); q.TimeZone != "" && err != nil {
			return subjects.InvalidField("quiet_hours.time_zone", "is not an IANA time zone")
		}
	}
	for i, w := range s.Windows {
		if w.Start == w.End {
			return subjects.InvalidField(fmt.Sprintf("windows[%d].end", i), "is the same as start; for a whole day give 00:00 and 24:00")
		}
	}
	switch free := (preferences{s}).rules(time.UTC).Free(); {
	case free:
		return nil
	case len(s.Windows) > 0:
		return subjects.InvalidField("windows", "leave no time of the week outside the quiet hours")
	}
	return subjects.InvalidField("quiet_hours", "leave no time of the week")
}

func checkPreference(p subjects.ChannelPreference, category, ch string) error {
	field := "categories." + category + "." + ch
	if category == categorySecurity && (ch == channel.InApp || ch == channel.Email) {
		if p.Mode != subjects.PreferenceOn {
			return subjects.InvalidField(field+".mode", "must be on: security notifications cannot be switched off or collected for in_app and email")
		}
		if p.Condition != "" {
			return subjects.InvalidField(field+".condition", "is not allowed: security notifications cannot be made conditional for in_app and email")
		}
	}
	if p.Condition == "" {
		return nil
	}
	if _, err := compilePreference(p.Condition); err != nil {
		return subjects.InvalidField(field+".condition", "%v", err)
	}
	return nil
}
