package notification_test

import (
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// counts returns the counts of a user's messages, summed.
func (f *fixture) counts(t *testing.T, as mesh.As) (sum subjects.NotificationCounts) {
	t.Helper()
	for _, c := range call(t, f, subjects.GetAnalytics, as, subjects.NotificationAnalyticsRequest{}).Items {
		sum.Sent += c.Sent
		sum.Delivered += c.Delivered
		sum.Failed += c.Failed
		sum.Suppressed += c.Suppressed
	}
	return sum
}

// TestAnalytics: what was sent, suppressed and reported is counted by day, channel, category and template, for a user and for all; opens only
// of users who have switched that on.
func TestAnalytics(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, mailSettings)
		ada, eve := f.user(t, actortest.User()), f.user(t, actortest.User())
		counts := func(as mesh.As, r subjects.NotificationAnalyticsRequest) map[string]subjects.NotificationCounts {
			t.Helper()
			byKey := map[string]subjects.NotificationCounts{}
			for _, c := range call(t, f, subjects.GetAnalytics, as, r).Items {
				byKey[c.Channel+"/"+c.Category+"/"+c.Template] = c
			}
			return byKey
		}
		f.await(t, ada, f.send(t, ada, "email", "in_app"), "delivered")
		f.await(t, eve, f.send(t, eve, "in_app"), "delivered")
		f.await(t, ada, f.send(t, ada, "sms"), "suppressed")
		template := call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{
			Category: "security", Channels: []string{"email"}, Template: subjects.TemplateMFAOn,
		})
		f.await(t, ada, template.NotificationID, "delivered")
		got := counts(ada, subjects.NotificationAnalyticsRequest{GroupBy: []string{"channel", "category", "template"}})
		for key, want := range map[string]subjects.NotificationCounts{
			"email/system/":  {Channel: "email", Category: "system", Sent: 1},
			"in_app/system/": {Channel: "in_app", Category: "system", Sent: 1, Delivered: 1},
			"sms/system/":    {Channel: "sms", Category: "system", Suppressed: 1},
			"email/security/" + subjects.TemplateMFAOn: {Channel: "email", Category: "security", Template: subjects.TemplateMFAOn, Sent: 1},
		} {
			if got[key] != want {
				t.Errorf("%s: %+v, want %+v", key, got[key], want)
			}
		}
		if len(got) != 4 {
			t.Errorf("counts: %+v", got)
		}
		admin := f.admin(t)
		all := call(t, f, subjects.GetAnalytics, admin, subjects.NotificationAnalyticsRequest{All: true, GroupBy: []string{"channel"}}).Items
		if len(all) != 3 || all[1] != (subjects.NotificationCounts{Channel: "in_app", Sent: 2, Delivered: 2}) {
			t.Errorf("of all: %+v", all)
		}
		today := time.Now().UTC().Format(time.DateOnly)
		if daily := call(t, f, subjects.GetAnalytics, eve, subjects.NotificationAnalyticsRequest{}); len(daily.Items) != 1 || daily.Items[0].Day != today || daily.Until != today {
			t.Errorf("by day: %+v", daily)
		}
		wantCode(t, f.conn, subjects.CodeForbidden, subjects.GetAnalytics, ada, subjects.NotificationAnalyticsRequest{All: true})
		for _, r := range []subjects.NotificationAnalyticsRequest{{Since: "2026-02-30"}, {Since: "2026-01-02", Until: "2026-01-01"}, {Since: "2020-01-01", Until: "2026-01-01"}} {
			wantCode(t, f.conn, subjects.CodeInvalid, subjects.GetAnalytics, ada, r)
		}
		if answer := f.mesh.Forget(t, "notification", actortest.User()); answer.Items != 0 {
			t.Errorf("answered %+v", answer)
		}
	})
}
