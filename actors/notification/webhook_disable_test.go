package notification_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// informed returns the subjects of a user's notifications, newest first.
func (f *hooksFixture) informed(t *testing.T, as mesh.As) (texts []string) {
	t.Helper()
	for _, n := range f.list(t, as).Items {
		if n.Category != "integration" {
			t.Errorf("a notification of the category %s", n.Category)
		}
		texts = append(texts, n.Subject)
	}
	return texts
}

// TestGone: a webhook that answers 410 is disabled at once, its owner is notified, the owner's other webhooks receive webhook.disabled, its
// events are kept, and enabling it delivers them.
func TestGone(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupHooks(t, database, nil)
		user := actortest.User()
		ada, r, watcher := f.user(t, user), newReceiver(t), newReceiver(t)
		hook := f.register(t, ada, subjects.RegisterWebhookRequest{URL: r.URL, Description: "orders"})
		f.register(t, ada, subjects.RegisterWebhookRequest{URL: watcher.URL, Events: []string{"webhook.*"}})
		r.answer(410)
		f.finished(t, user, "completed")
		told := watcher.await(t, 1)[0]
		if told.payload.Type != "webhook.disabled" || told.payload.Data["webhook_id"] != hook.ID || told.payload.Data["status"] != "gone" {
			t.Errorf("told %s", told.body)
		}
		w := f.webhook(t, ada, hook.ID)
		if w.Status != "gone" || w.Enabled || w.DisabledAt == nil || !strings.Contains(w.DisabledReason, "410") {
			t.Errorf("the webhook is %+v", w)
		}
		actortest.Eventually(t, "the owner is informed", func() bool { return len(f.informed(t, ada)) > 0 })
		if texts := f.informed(t, ada); len(texts) != 1 || texts[0] != "Your webhook orders was disabled" {
			t.Errorf("informed of %q", texts)
		}
		if n := f.host.Metric(t, "notification_webhooks_disabled_total", "gone"); n != 1 {
			t.Errorf("counted %v", n)
		}

		f.finished(t, user, "completed", "faulted")
		actortest.Eventually(t, "the events are kept", func() bool {
			kept := 0
			for _, d := range f.deliveries(t, ada, hook.ID) {
				if d.Status == "kept" {
					kept++
				}
			}
			return kept == 2
		})
		r.answer(200)
		if n := len(r.all()); n != 1 {
			t.Errorf("%d requests to a webhook that is gone", n)
		}
		if w := f.update(t, ada, subjects.UpdateWebhookRequest{WebhookID: hook.ID, Enabled: subjects.Some(true)}); w.Status != "enabled" || w.DisabledAt != nil || w.FailingSince != nil {
			t.Errorf("enabled: %+v", w)
		}
		r.await(t, 3)
	})
}

// TestGoneWithoutAuth: attempts are recorded although the owner's notification cannot be started, since its digest needs a time zone that auth
// does not tell.
func TestGoneWithoutAuth(t *testing.T) {
	t.Parallel()
	f := setupHooks(t, actortest.Databases(t)[0], nil)
	user := actortest.User()
	ada, r := f.user(t, user), newReceiver(t)
	f.settings(t, ada, subjects.NotificationSettings{
		Categories: subjects.CategoryPreferences{Integration: &subjects.ChannelPreferences{InApp: preference("digest", "")}},
	})
	contact := f.contact
	f.setContact(func(string) (subjects.Contact, error) {
		return subjects.Contact{}, subjects.Errorf(subjects.CodeUnavailable, "auth is not available")
	})
	hook := f.register(t, ada, subjects.RegisterWebhookRequest{URL: r.URL})
	r.answer(410)
	f.finished(t, user, "completed")
	actortest.Eventually(t, "the webhook is gone", func() bool { return f.webhook(t, ada, hook.ID).Status == "gone" })
	f.settings(t, ada, subjects.NotificationSettings{})
	f.setContact(contact)
	actortest.Eventually(t, "the owner is informed", func() bool { return len(f.informed(t, ada)) == 1 })
}

// TestDisabledByFailures: a webhook that fails for five days is disabled, after warnings when it has failed for one day and for four; a
// success in between would begin anew. Time is injected.
func TestDisabledByFailures(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setupHooks(t, database, nil, actortest.WithClock(clock.Now))
		user := actortest.User()
		r := newReceiver(t)
		hook := f.register(t, f.user(t, user), subjects.RegisterWebhookRequest{URL: r.URL, Description: "orders"})
		r.answer(500)
		attempts := 0
		fail := func() {
			t.Helper()
			f.finished(t, user, "completed")
			actortest.Eventually(t, "a further attempt has failed", func() bool { return len(r.all()) > attempts })
			attempts = len(r.all())
		}
		fail()
		actortest.Eventually(t, "the failure is recorded", func() bool { return f.webhook(t, f.user(t, user), hook.ID).FailingSince != nil })
		for day, want := range [][]string{
			1: {"Your webhook orders fails"}, 4: {"Your webhook orders fails", "Your webhook orders fails"},
			5: {"Your webhook orders was disabled", "Your webhook orders fails", "Your webhook orders fails"},
		} {
			if want == nil {
				continue
			}
			before := map[int]int{1: 1, 4: 3, 5: 1}[day]
			clock.Advance(time.Duration(before)*24*time.Hour + time.Minute)
			fail()
			ada := f.user(t, user)
			actortest.Eventually(t, "the owner is informed", func() bool { return len(f.informed(t, ada)) == len(want) })
			if got := f.informed(t, ada); strings.Join(got, "|") != strings.Join(want, "|") {
				t.Errorf("after %d days: %q", day, got)
			}
			if w := f.webhook(t, ada, hook.ID); w.Enabled == (day == 5) {
				t.Errorf("after %d days the webhook is %s", day, w.Status)
			}
		}
		w := f.webhook(t, f.user(t, user), hook.ID)
		if w.Status != "disabled_by_failures" || w.DisabledReason != "no delivery has succeeded for 5 days" || !strings.Contains(w.LastError, "500") {
			t.Errorf("the webhook is %+v", w)
		}
	})
}

// TestSuccessClearsFailures: the first success after failures ends failing_since.
func TestSuccessClearsFailures(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupHooks(t, database, nil)
		user := actortest.User()
		ada, r := f.user(t, user), newReceiver(t)
		hook := f.register(t, ada, subjects.RegisterWebhookRequest{URL: r.URL})
		r.answer(503)
		f.finished(t, user, "completed")
		actortest.Eventually(t, "the failure is recorded", func() bool { return f.webhook(t, ada, hook.ID).FailingSince != nil })
		r.answer(200)
		f.finished(t, user, "completed")
		actortest.Eventually(t, "the success is recorded", func() bool {
			w := f.webhook(t, ada, hook.ID)
			return w.FailingSince == nil && w.LastSuccessAt != nil
		})
	})
}

// TestOwnerDisables: a webhook that its owner has disabled keeps its events until it is enabled.
func TestOwnerDisables(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupHooks(t, database, nil)
		user := actortest.User()
		ada, r := f.user(t, user), newReceiver(t)
		no := false
		hook := f.register(t, ada, subjects.RegisterWebhookRequest{URL: r.URL, Enabled: &no})
		if hook.Status != "disabled" || hook.Enabled {
			t.Errorf("registered %+v", hook)
		}
		f.finished(t, user, "completed")
		actortest.Eventually(t, "the event is kept", func() bool {
			list := f.deliveries(t, ada, hook.ID)
			return len(list) == 1 && list[0].Status == "kept"
		})
		if test := call(t, f.fixture, subjects.TestWebhook, ada, subjects.TestWebhookRequest{WebhookID: hook.ID, Type: "consent.revoked"}); !test.Succeeded || test.Type != "consent.revoked" {
			t.Errorf("a test: %+v", test)
		}
		r.await(t, 1)
		f.update(t, ada, subjects.UpdateWebhookRequest{WebhookID: hook.ID, Enabled: subjects.Some(true)})
		r.await(t, 2)
	})
}

// TestReplay: finished deliveries are made again, by their ids or by a filter, with the same webhook-id and payload.
func TestReplay(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupHooks(t, database, nil)
		user := actortest.User()
		ada, r := f.user(t, user), newReceiver(t)
		hook := f.register(t, ada, subjects.RegisterWebhookRequest{URL: r.URL})
		begin := f.mesh.Now().Add(-time.Second)
		f.finished(t, user, "completed", "faulted", "cancelled")
		first := r.await(t, 3)
		var done []subjects.WebhookDeliveryRecord
		actortest.Eventually(t, "the attempts are recorded", func() bool {
			done = call(t, f.fixture, subjects.ListDeliveries, ada, subjects.ListDeliveriesRequest{WebhookRequest: subjects.WebhookRequest{WebhookID: hook.ID}, Status: "succeeded"}).Items
			return len(done) == 3
		})
		replay := func(r subjects.ReplayDeliveriesRequest) int {
			t.Helper()
			r.WebhookID = hook.ID
			return call(t, f.fixture, subjects.ReplayDeliveries, ada, r).Count
		}
		if n := replay(subjects.ReplayDeliveriesRequest{Status: "succeeded", Type: "workflow.execution.faulted", Since: &begin}); n != 1 {
			t.Errorf("%d of a type", n)
		}
		again := r.await(t, 4)[3]
		if n := replay(subjects.ReplayDeliveriesRequest{IDs: []string{done[0].ID, done[1].ID, actortest.User()}}); n < 1 || n > 2 {
			t.Errorf("%d by their ids", n) // the one of before may still be under way
		}
		for _, one := range first {
			if one.payload.Type == again.payload.Type && (one.header.Get("Webhook-Id") != again.header.Get("Webhook-Id") || !bytes.Equal(one.body, again.body)) {
				t.Errorf("replayed %s as %s", one.body, again.body)
			}
		}
		past := begin.Add(-time.Hour)
		if n := replay(subjects.ReplayDeliveriesRequest{Status: "succeeded", Since: &past, Until: &begin}); n != 0 {
			t.Errorf("%d of an empty range", n)
		}
		for field, request := range map[string]subjects.ReplayDeliveriesRequest{
			"since": {Status: "failed"}, "until": {Since: &begin, Until: &past}, "ids": {IDs: []string{done[0].ID}, Type: "consent.revoked"},
		} {
			request.WebhookID = hook.ID
			refused := wantCode(t, f.conn, subjects.CodeInvalid, subjects.ReplayDeliveries, ada, request)
			if len(refused.Fields) == 0 || refused.Fields[0].Field != field {
				t.Errorf("%s: refused with %v", field, refused.Fields)
			}
		}
	})
}
