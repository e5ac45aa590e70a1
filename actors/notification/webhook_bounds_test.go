package notification_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestPerMinuteOverTwoProcesses: two processes together make no more attempts to a webhook in a minute than it is set to. What is over waits,
// without counting as an attempt; a test is refused.
func TestPerMinuteOverTwoProcesses(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, database actortest.Database) {
		f := setupHooks(t, database, nil)
		second := f.run(t)
		user := actortest.User()
		ada, r := f.user(t, user), newReceiver(t)
		hook := f.register(t, ada, subjects.RegisterWebhookRequest{URL: r.URL, PerMinute: 6})
		var tests sync.WaitGroup
		var mu sync.Mutex
		codes := map[subjects.Code]int{}
		for range 8 {
			tests.Go(func() {
				_, err := mesh.Call(t.Context(), f.conn, subjects.TestWebhook, subjects.TestWebhookRequest{WebhookID: hook.ID}, ada)
				mu.Lock()
				defer mu.Unlock()
				codes[subjects.CodeOf(err)]++
			})
		}
		tests.Wait()
		if codes[""] != 6 || codes[subjects.CodeRateLimited] != 2 {
			t.Errorf("the tests ended with %v", codes)
		}
		f.finished(t, user, slices.Repeat([]string{"completed"}, 10)...)
		actortest.Eventually(t, "the deliveries wait", func() bool {
			throttled := f.host.Metric(t, "notification_webhook_throttled_total") + second.Metric(t, "notification_webhook_throttled_total")
			list := f.deliveries(t, ada, hook.ID)
			return throttled >= 3 && len(list) == 10 && slices.ContainsFunc(list, func(d subjects.WebhookDeliveryRecord) bool {
				return d.NextAttemptAt != nil && d.NextAttemptAt.After(time.Now())
			})
		})
		for _, d := range f.deliveries(t, ada, hook.ID) {
			if d.Status != "pending" || d.AttemptCount != 0 {
				t.Errorf("a delivery that waits is %+v", d)
			}
		}
		if n := len(r.all()); n != 6 {
			t.Errorf("%d requests in the minute", n)
		}
	})
}

// TestPendingBound: events beyond the bound of pending deliveries are dropped and counted, and the user's limits show it.
func TestPendingBound(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupHooks(t, database, func(c *notificationConfig) { c.Webhooks.MaxPendingPerUser = 3 })
		user := actortest.User()
		ada, r := f.user(t, user), newReceiver(t)
		no := false
		hook := f.register(t, ada, subjects.RegisterWebhookRequest{URL: r.URL, Enabled: &no})
		f.finished(t, user, slices.Repeat([]string{"completed"}, 5)...)
		actortest.Eventually(t, "two events are dropped", func() bool { return f.webhook(t, ada, hook.ID).Dropped == 2 })
		if n := len(f.deliveries(t, ada, hook.ID)); n != 3 {
			t.Errorf("%d deliveries", n)
		}
		if n := f.host.Metric(t, "notification_webhook_events_total", "dropped", "workflow.execution.completed"); n != 2 {
			t.Errorf("counted %v", n)
		}
		used := map[string]int64{}
		for _, l := range call(t, f.fixture, subjects.GetNotificationLimits, ada, subjects.Empty{}).Items {
			if strings.HasPrefix(l.Name, "notification.webhooks.") {
				used[l.Name] = *l.Used
			}
		}
		if used["notification.webhooks.max_pending_per_user"] != 3 || used["notification.webhooks.max_deliveries_per_day"] != 3 || used["notification.webhooks.max_bytes_per_day"] == 0 || used["notification.webhooks.per_user"] != 1 {
			t.Errorf("the limits are %v", used)
		}
	})
}

// TestDailyBound: events beyond the deliveries of a day are dropped until the next day.
func TestDailyBound(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setupHooks(t, database, func(c *notificationConfig) { c.Webhooks.MaxDeliveriesPerDay = 2 }, actortest.WithClock(clock.Now))
		user := actortest.User()
		r := newReceiver(t)
		hook := f.register(t, f.user(t, user), subjects.RegisterWebhookRequest{URL: r.URL})
		f.finished(t, user, "completed", "completed", "completed")
		r.await(t, 2)
		actortest.Eventually(t, "one event is dropped", func() bool { return f.webhook(t, f.user(t, user), hook.ID).Dropped == 1 })
		clock.Advance(24 * time.Hour)
		f.finished(t, user, "completed")
		r.await(t, 3)
	})
}

// TestErasureOfWebhooks: a deleted user's webhooks, their deliveries and their counts are deleted; another user's are not, and events that are
// still on their way are dropped.
func TestErasureOfWebhooks(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupHooks(t, database, nil)
		user, other := actortest.User(), actortest.User()
		r, theirs := newReceiver(t), newReceiver(t)
		f.register(t, f.user(t, user), subjects.RegisterWebhookRequest{URL: r.URL})
		hook := f.register(t, f.user(t, other), subjects.RegisterWebhookRequest{URL: theirs.URL})
		f.finished(t, user, "completed")
		f.finished(t, other, "completed")
		r.await(t, 1)
		theirs.await(t, 1)
		if answer := f.mesh.Forget(t, "notification", user); answer.Items != 1 {
			t.Errorf("answered %+v", answer)
		}
		f.finished(t, user, "completed")
		f.finished(t, other, "completed")
		theirs.await(t, 2)
		actortest.Eventually(t, "every event is settled", func() bool { return f.mesh.Unsettled(t, "notification") == 0 })
		if len(r.all()) != 1 || f.webhook(t, f.user(t, other), hook.ID).ID != hook.ID {
			t.Errorf("%d deliveries to the deleted user", len(r.all()))
		}
		f.stop(t)
		if tables := actortest.Dump(t, f.db); strings.Contains(tables, user) || !strings.Contains(tables, other) {
			t.Error("the tables hold something of the deleted user, or nothing of the other")
		}
	})
}

// TestBlockedAccount: the deliveries of a disabled account wait until it is enabled.
func TestBlockedAccount(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setupHooks(t, database, nil, actortest.WithClock(clock.Now))
		user := actortest.User()
		r := newReceiver(t)
		hook := f.register(t, f.user(t, user), subjects.RegisterWebhookRequest{URL: r.URL})
		f.mesh.Block(t, user, true)
		f.finished(t, user, "completed")
		actortest.Eventually(t, "the delivery is stored", func() bool {
			return f.host.Metric(t, "notification_webhook_events_total", "stored", "workflow.execution.completed") == 1
		})
		f.mesh.Block(t, user, false)
		clock.Advance(2 * time.Minute)
		r.await(t, 1)
		if list := f.deliveries(t, f.user(t, user), hook.ID); len(list) != 1 || list[0].AttemptCount > 1 {
			t.Errorf("the deliveries are %+v", list)
		}
	})
}

// TestUsersWithoutWebhooksCostNothing: events of users without webhooks make no statement, once their group is cached, also while others have
// webhooks; a user's first webhook is noticed at once.
func TestUsersWithoutWebhooksCostNothing(t *testing.T) {
	f := setupHooks(t, actortest.Databases(t)[0], nil)
	user := actortest.User()
	r := newReceiver(t)
	settle := func(n int) {
		t.Helper()
		for range n {
			f.finished(t, user, "completed", "faulted")
		}
		actortest.Eventually(t, "every event is settled", func() bool { return f.mesh.Unsettled(t, "notification") == 0 })
	}
	settle(1)
	before := f.host.Metric(t, "weft_row_cache_hits_total", "notification", "webhook_groups")
	misses := f.host.Metric(t, "weft_row_cache_misses_total", "notification", "webhook_groups")
	settle(50)
	actortest.Eventually(t, "the events are looked at", func() bool {
		return f.host.Metric(t, "weft_row_cache_hits_total", "notification", "webhook_groups") >= before+50
	})
	if more := f.host.Metric(t, "weft_row_cache_misses_total", "notification", "webhook_groups") - misses; more != 0 {
		t.Errorf("%v statements for 50 events", more)
	}
	f.register(t, f.user(t, user), subjects.RegisterWebhookRequest{URL: r.URL})
	f.finished(t, user, "completed")
	r.await(t, 1)
}
