package notification_test

import (
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// TestReportHoldsNothingBack: an owner who cannot be told of a webhook that is disabled, because auth does not answer, holds back no other
// delivery.
func TestReportHoldsNothingBack(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupHooks(t, database, nil)
		f.setContact(func(string) (subjects.Contact, error) {
			return subjects.Contact{}, subjects.Errorf(subjects.CodeUnavailable, "auth is not there")
		})
		gone, user := actortest.User(), actortest.User()
		ada, eve := f.user(t, gone), f.user(t, user)
		digest := &subjects.ChannelPreferences{InApp: &subjects.ChannelPreference{Mode: subjects.PreferenceDigest}}
		call(t, f.fixture, subjects.UpdateNotificationSettings, ada, subjects.UpdateNotificationSettingsRequest{
			NotificationSettings: subjects.NotificationSettings{Categories: subjects.CategoryPreferences{Integration: digest}},
		})
		r, other := newReceiver(t), newReceiver(t)
		r.answer(410)
		hook := f.register(t, ada, subjects.RegisterWebhookRequest{URL: r.URL})
		f.register(t, eve, subjects.RegisterWebhookRequest{URL: other.URL})
		f.finished(t, gone, "completed")
		r.await(t, 1)
		actortest.Eventually(t, "the webhook is disabled", func() bool { return f.webhook(t, ada, hook.ID).Status == "gone" })
		f.finished(t, user, "completed")
		other.await(t, 1)
	})
}
