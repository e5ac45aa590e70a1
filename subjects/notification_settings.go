package subjects

import "time"

// The modes of a channel preference.
const (
	PreferenceOn     = "on"
	PreferenceOff    = "off"
	PreferenceDigest = "digest"
)

// ChannelPreference says whether notifications of a category are sent over a channel.
type ChannelPreference struct {
	Mode string `json:"mode" enum:"on,off,digest" doc:"digest collects them into one message at the digest time."`
	// Condition is evaluated when the notification starts.
	Condition string `json:"condition,omitempty" maxLength:"500" doc:"A jq expression over {category, channel, data}. A notification for which it yields false or null is suppressed."`
}

// ChannelPreferences are the preferences of one category. An absent channel has the category's default.
type ChannelPreferences struct {
	InApp   *ChannelPreference `json:"in_app,omitempty"`
	Email   *ChannelPreference `json:"email,omitempty"`
	SMS     *ChannelPreference `json:"sms,omitempty"`
	Push    *ChannelPreference `json:"push,omitempty"`
	Webhook *ChannelPreference `json:"webhook,omitempty"`
}

// CategoryPreferences are the preferences by category. An absent category has its defaults.
type CategoryPreferences struct {
	System      *ChannelPreferences `json:"system,omitempty"`
	Workflow    *ChannelPreferences `json:"workflow,omitempty"`
	Integration *ChannelPreferences `json:"integration,omitempty"`
	Consent     *ChannelPreferences `json:"consent,omitempty"`
	Security    *ChannelPreferences `json:"security,omitempty"`
	Marketing   *ChannelPreferences `json:"marketing,omitempty"`
}

// QuietHours are the hours of the wall clock in which nothing is sent by e-mail, SMS or push.
type QuietHours struct {
	Start    string   `json:"start" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"HH:MM."`
	End      string   `json:"end" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$" doc:"HH:MM, exclusive. If it is not after start, the hours end on the next day."`
	TimeZone string   `json:"time_zone,omitempty" maxLength:"64" doc:"An IANA time zone, also for windows and digest. Default: the one of the user's profile."`
	Days     []string `json:"days,omitempty" maxItems:"7" uniqueItems:"true" enum:"mon,tue,wed,thu,fri,sat,sun" doc:"The days on which the hours begin. Default: every day."`
	Security bool     `json:"security,omitempty" doc:"Quiet hours and windows hold back the category security as well. Default: it is sent at once."`
}

// SendWindow is a span of the wall clock in which messages are sent by e-mail, SMS and push.
type SendWindow struct {
	Days  []string `json:"days,omitempty" maxItems:"7" uniqueItems:"true" enum:"mon,tue,wed,thu,fri,sat,sun" doc:"The days on which the window begins. Default: every day."`
	Start string   `json:"start" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"HH:MM."`
	End   string   `json:"end" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$" doc:"HH:MM, exclusive. If it is not after start, the window ends on the next day."`
}

// Digest says when digests are sent.
type Digest struct {
	Frequency string `json:"frequency" enum:"daily,weekly"`
	Time      string `json:"time" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"HH:MM of the wall clock."`
	Day       string `json:"day,omitempty" enum:"mon,tue,wed,thu,fri,sat,sun" doc:"The day of a weekly digest. Default mon."`
}

// NotificationSettings are a user's preferences.
type NotificationSettings struct {
	Categories CategoryPreferences `json:"categories,omitzero"`
	QuietHours *QuietHours         `json:"quiet_hours,omitempty"`
	Windows    []SendWindow        `json:"windows,omitempty" maxItems:"10" doc:"Outside of all windows a message waits for the next one. Default: no restriction."`
	Digest     *Digest             `json:"digest,omitempty" doc:"Default: daily at 08:00."`
	Tracking   bool                `json:"tracking,omitempty" doc:"The user agrees that opens and clicks of e-mails are recorded and counted. Default: they are not."`
	UpdatedAt  *time.Time          `json:"updated_at,omitempty" readOnly:"true" doc:"When they were changed last; absent for defaults. Ignored in a request."`
	Version    *int64              `json:"version,omitempty" readOnly:"true" doc:"Counts the changes; 0 for defaults. Ignored in a request."`
}

// GetNotificationSettings returns the caller's settings.
var GetNotificationSettings = declare(Endpoint[Empty, NotificationSettings]{
	Subject: "weft.v1.notification.get_notification_settings", Route: "GET /v1/notifications/settings", Access: User, Tag: "version",
	Summary: "My notification settings",
	Doc:     "Returns the caller's settings, with every category and channel, defaults included.",
})

// UpdateNotificationSettingsRequest are the new settings.
type UpdateNotificationSettingsRequest struct {
	NotificationSettings
	Precondition
}

// UpdateNotificationSettings replaces the caller's settings.
var UpdateNotificationSettings = declare(Endpoint[UpdateNotificationSettingsRequest, NotificationSettings]{
	Subject: "weft.v1.notification.update_notification_settings", Route: "PUT /v1/notifications/settings", Access: User, Tag: "version",
	Summary: "Replace my notification settings",
	Doc: "Replaces the caller's settings; what is absent gets its default. The category security cannot be switched off, collected or made " +
		"conditional for in_app and email. Quiet hours and windows must leave some time of the week. " +
		"`precondition_failed`: the version is not one that If-Match names.",
})
