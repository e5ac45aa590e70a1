package notification_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

func preference(mode, condition string) *subjects.ChannelPreference {
	return &subjects.ChannelPreference{Mode: mode, Condition: condition}
}

// quietNow returns quiet hours from an hour before now to an hour after it.
func quietNow(now time.Time) *subjects.QuietHours {
	return &subjects.QuietHours{
		Start: now.UTC().Add(-time.Hour).Format("15:04"), End: now.UTC().Add(time.Hour).Format("15:04"), TimeZone: "UTC",
	}
}

// TestSettings: they have defaults, are replaced as a whole, and are each user's own.
func TestSettings(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		ada, eve := f.user(t, actortest.User()), f.user(t, actortest.User())
		get := func() subjects.NotificationSettings {
			return call(t, f, subjects.GetNotificationSettings, ada, subjects.Empty{})
		}
		first := get()
		if first.UpdatedAt != nil || first.QuietHours != nil || first.Digest.Time != "08:00" || first.Categories.Security.Email.Mode != "on" ||
			first.Categories.Marketing.SMS.Mode != "off" || first.Categories.Marketing.InApp.Mode != "on" {
			t.Errorf("defaults: %+v", first)
		}
		set := subjects.NotificationSettings{
			Categories: subjects.CategoryPreferences{Workflow: &subjects.ChannelPreferences{
				Email: preference("digest", ""), Push: preference("on", `.data.severity == "high"`),
			}},
			QuietHours: &subjects.QuietHours{Start: "22:00", End: "07:00", TimeZone: "Europe/Zurich", Days: []string{"mon", "fri"}},
			Windows:    []subjects.SendWindow{{Start: "06:00", End: "24:00"}},
			Digest:     &subjects.Digest{Frequency: "weekly", Time: "09:30"},
		}
		answer := call(t, f, subjects.UpdateNotificationSettings, ada, subjects.UpdateNotificationSettingsRequest{NotificationSettings: set})
		got := get()
		answer.UpdatedAt, got.UpdatedAt = nil, nil
		a, _ := json.Marshal(answer)
		b, _ := json.Marshal(got)
		if !bytes.Equal(a, b) || got.Digest.Day != "mon" || got.Categories.Workflow.Email.Mode != "digest" ||
			got.Categories.Workflow.SMS.Mode != "on" || got.QuietHours.TimeZone != "Europe/Zurich" || len(got.Windows) != 1 {
			t.Errorf("answered %s, then %s", a, b)
		}
		call(t, f, subjects.UpdateNotificationSettings, ada, subjects.UpdateNotificationSettingsRequest{NotificationSettings: got}) // what was read can be sent back
		f.settings(t, ada, subjects.NotificationSettings{})
		if got := get(); got.QuietHours != nil || got.Categories.Workflow.Email.Mode != "on" || got.UpdatedAt == nil {
			t.Errorf("after a replacement by nothing: %+v", got)
		}
		if got := call(t, f, subjects.GetNotificationSettings, eve, subjects.Empty{}); got.UpdatedAt != nil {
			t.Errorf("another user's: %+v", got)
		}
	})
}

// TestSettingsAreChecked: what cannot hold is refused, and the error names the field.
func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], nil)
	ada := f.user(t, actortest.User())
	security := func(p subjects.ChannelPreferences) subjects.NotificationSettings {
		return subjects.NotificationSettings{Categories: subjects.CategoryPreferences{Security: &p}}
	}
	quiet := func(start, end, zone string) subjects.NotificationSettings {
		return subjects.NotificationSettings{QuietHours: &subjects.QuietHours{Start: start, End: end, TimeZone: zone}}
	}
	within := quiet("08:00", "20:00", "")
	within.Windows = []subjects.SendWindow{{Start: "09:00", End: "10:00"}}
	for name, test := range map[string]struct {
		settings subjects.NotificationSettings
		field    string
	}{
		"security off by e-mail":         {security(subjects.ChannelPreferences{Email: preference("off", "")}), "categories.security.email.mode"},
		"security off in-app":            {security(subjects.ChannelPreferences{InApp: preference("off", "")}), "categories.security.in_app.mode"},
		"security in a digest":           {security(subjects.ChannelPreferences{Email: preference("digest", "")}), "categories.security.email.mode"},
		"security with a condition":      {security(subjects.ChannelPreferences{InApp: preference("on", "false")}), "categories.security.in_app.condition"},
		"unknown mode":                   {security(subjects.ChannelPreferences{SMS: preference("maybe", "")}), "categories.security.sms.mode"},
		"condition that is no jq":        {security(subjects.ChannelPreferences{SMS: preference("on", ".data |")}), "categories.security.sms.condition"},
		"condition with the environment": {security(subjects.ChannelPreferences{SMS: preference("on", "env")}), "categories.security.sms.condition"},
		"condition too long":             {security(subjects.ChannelPreferences{SMS: preference("on", strings.Repeat("1", 501))}), "categories.security.sms.condition"},
		"hour 25":                        {quiet("25:00", "07:00", ""), "quiet_hours.start"},
		"quiet hours of nothing":         {quiet("07:00", "07:00", ""), "quiet_hours.end"},
		"quiet all day":                  {quiet("00:00", "24:00", ""), "quiet_hours"},
		"windows within the quiet hours": {within, "windows"},
		"unknown zone":                   {quiet("22:00", "07:00", "Mars/Olympus"), "quiet_hours.time_zone"},
		"the machine's zone":             {quiet("22:00", "07:00", "Local"), "quiet_hours.time_zone"},
		"unknown day":                    {subjects.NotificationSettings{Windows: []subjects.SendWindow{{Days: []string{"someday"}, Start: "01:00", End: "02:00"}}}, "windows[0].days[0]"},
		"window of nothing":              {subjects.NotificationSettings{Windows: []subjects.SendWindow{{Start: "01:00", End: "01:00"}}}, "windows[0].end"},
		"digest without a time":          {subjects.NotificationSettings{Digest: &subjects.Digest{Frequency: "daily"}}, "digest.time"},
	} {
		err := wantCode(t, f.conn, subjects.CodeInvalid, subjects.UpdateNotificationSettings, ada,
			subjects.UpdateNotificationSettingsRequest{NotificationSettings: test.settings})
		if len(err.Fields) != 1 || err.Fields[0].Field != test.field {
			t.Errorf("%s: fields %+v, want %s", name, err.Fields, test.field)
		}
	}
	if got := call(t, f, subjects.GetNotificationSettings, ada, subjects.Empty{}); got.UpdatedAt != nil {
		t.Errorf("refused settings were stored: %+v", got)
	}
	f.settings(t, ada, security(subjects.ChannelPreferences{SMS: preference("off", ""), Push: preference("digest", "")}))
}

// TestPreferencesSuppress: what the recipient has switched off, or has a condition for that is not met, is suppressed with its reason, and
// the other channels are not.
func TestPreferencesSuppress(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		ada := f.user(t, actortest.User())
		f.settings(t, ada, subjects.NotificationSettings{Categories: subjects.CategoryPreferences{
			System:   &subjects.ChannelPreferences{Email: preference("off", "")},
			Consent:  &subjects.ChannelPreferences{InApp: preference("off", "")},
			Workflow: &subjects.ChannelPreferences{Email: preference("on", `.category == "workflow" and .channel == "email" and .data.level > 3`)},
			Integration: &subjects.ChannelPreferences{
				Email: preference("on", "error"), InApp: preference("on", "[range(1e9)] | length > 0"),
			},
		}})
		send := func(category, level string) subjects.Notification {
			id := call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{
				Category: category, Subject: "s", Channels: []string{"email", "in_app"}, Data: map[string]json.RawMessage{"level": json.RawMessage(level)},
			}).NotificationID
			return f.await(t, ada, id, "delivered")
		}
		for name, test := range map[string]struct{ category, level, email, inApp, reason string }{
			"off by e-mail":             {"system", "9", "suppressed", "delivered", "preference_off"},
			"off in-app":                {"consent", "9", "delivered", "suppressed", "preference_off"},
			"condition met":             {"workflow", "4", "delivered", "delivered", ""},
			"condition not met":         {"workflow", "3", "suppressed", "delivered", "condition_not_met"},
			"condition of another":      {"workflow", "null", "suppressed", "delivered", "condition_not_met"},
			"conditions that fail":      {"integration", "1", "delivered", "delivered", ""},
			"security is not concerned": {"security", "1", "delivered", "delivered", ""},
		} {
			n := send(test.category, test.level)
			if n.Channels[0].Status != test.email || n.Channels[1].Status != test.inApp {
				t.Errorf("%s: %+v", name, n.Channels)
			}
			for _, d := range n.Channels {
				if d.Status == "suppressed" && (d.Reason != test.reason || d.Detail == "" || d.Attempts != 0 || d.NextAttemptAt != nil) {
					t.Errorf("%s: %+v", name, d)
				}
			}
		}
		if page := f.list(t, ada); len(page.Items) != 6 || page.UnreadCount != 6 || len(f.sink.Mails()) != 4 {
			t.Errorf("%d in the inbox, %d unread, %d mails", len(page.Items), page.UnreadCount, len(f.sink.Mails()))
		}
		if n := f.host.Metric(t, "notification_decisions_total", "email", "condition_not_met"); n != 2 {
			t.Errorf("%v decisions counted", n)
		}
	})
}

// TestQuietHours: what falls into quiet hours is deferred until their end, security is not, and in-app is delivered at once.
func TestQuietHours(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		user := actortest.User()
		ada := f.user(t, user)
		quiet := quietNow(clock.Now())
		f.settings(t, ada, subjects.NotificationSettings{QuietHours: quiet})
		id := f.send(t, ada, "email", "in_app")
		d := f.awaitDelivery(t, ada, id, "email", "deferred")
		if d.Reason != "quiet_hours" || d.NextAttemptAt == nil || d.NextAttemptAt.Format("15:04") != quiet.End || !d.NextAttemptAt.After(clock.Now()) || d.Attempts != 0 {
			t.Errorf("deferred: %+v", d)
		}
		if n := f.get(t, ada, id); n.Status != "pending" || n.Channels[1].Status != "delivered" {
			t.Errorf("the notification: %+v", n)
		}
		security := call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{
			Category: "security", Subject: "s", Channels: []string{"email"},
		}).NotificationID
		f.await(t, ada, security, "delivered")
		f.stop(t)
		f.start(t)
		if got := f.delivery(t, ada, id, "email"); got.Status != "deferred" || len(f.sink.Mails()) != 1 {
			t.Errorf("before their end: %+v, %d mails", got, len(f.sink.Mails()))
		}
		clock.Advance(62 * time.Minute)
		ada = f.user(t, user)
		if d := f.awaitDelivery(t, ada, id, "email", "delivered"); d.Reason != "" || d.NextAttemptAt != nil || d.Provider != "smtp" || d.AcceptedAt == nil ||
			!strings.HasPrefix(d.ProviderMessageID, id+".email@") {
			t.Errorf("after their end: %+v", d)
		}
		if n := len(f.sink.Mails()); n != 2 {
			t.Errorf("%d mails", n)
		}
	})
}

// TestSettingsHoldWhenReleased: a window of the profile's time zone defers, and what was switched off meanwhile is suppressed when it is
// released.
func TestSettingsHoldWhenReleased(t *testing.T) {
	t.Parallel()
	var clock actortest.Clock
	f := setup(t, actortest.Databases(t)[0], nil, actortest.WithClock(clock.Now))
	zone, err := time.LoadLocation("Asia/Kathmandu")
	if err != nil {
		t.Fatal(err)
	}
	f.setContact(func(id string) (subjects.Contact, error) {
		return subjects.Contact{UserID: id, Email: id + "@example.com", TimeZone: zone.String()}, nil
	})
	user := actortest.User()
	ada := f.user(t, user)
	opens := clock.Now().In(zone).Add(2 * time.Hour).Truncate(time.Minute)
	windows := []subjects.SendWindow{{Start: opens.Format("15:04"), End: opens.Add(time.Hour).Format("15:04")}}
	f.settings(t, ada, subjects.NotificationSettings{Windows: windows})
	id := f.send(t, ada, "email")
	d := f.awaitDelivery(t, ada, id, "email", "deferred")
	if d.Reason != "outside_windows" || d.NextAttemptAt == nil || !d.NextAttemptAt.Equal(opens) {
		t.Errorf("deferred: %+v, want until %v", d, opens)
	}
	f.settings(t, ada, subjects.NotificationSettings{Windows: windows, Categories: subjects.CategoryPreferences{
		System: &subjects.ChannelPreferences{Email: preference("off", "")},
	}})
	clock.Advance(2*time.Hour + time.Minute)
	ada = f.user(t, user)
	if n := f.await(t, ada, id, "suppressed"); n.Channels[0].Reason != "preference_off" || len(f.sink.Mails()) != 0 {
		t.Errorf("released: %+v", n.Channels)
	}
}
