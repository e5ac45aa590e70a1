package notification_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/subjects"
)

// gateway is a provider of SMS or push that answers what a test tells it, by address.
type gateway struct {
	mu      sync.Mutex
	sent    []channel.Message
	answers map[string]error
}

func (*gateway) Name() string { return "gateway" }

func (g *gateway) Send(_ context.Context, m channel.Message) (channel.Receipt, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sent = append(g.sent, m)
	if err := g.answers[m.Address.To]; err != nil {
		return channel.Receipt{}, err
	}
	return channel.Receipt{Provider: "gateway", MessageID: "id of " + m.ID}, nil
}

func (g *gateway) answer(to string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answers[to] = err
}

func (g *gateway) messages() []channel.Message {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.sent)
}

// TestRate: a recipient gets so many messages over a channel within any hour, the others later, none is lost, and security has a rate of its
// own. Messages by another channel and to other recipients are not concerned.
func TestRate(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, func(c *notification.Config) { c.Pipeline.EmailPerHour, c.Pipeline.SecurityPerHour = 3, 1 }, actortest.WithClock(clock.Now))
		user := actortest.User()
		ada, eve := f.user(t, user), f.user(t, actortest.User())
		var ids []string
		for range 8 {
			ids = append(ids, f.send(t, ada, "email", "in_app"))
		}
		count := func() map[string]int {
			counts := map[string]int{}
			for _, id := range ids {
				d := f.delivery(t, ada, id, "email")
				if counts[d.Status]++; d.Status == "deferred" && (d.Reason != "throttled" || !d.NextAttemptAt.After(d.UpdatedAt)) {
					t.Errorf("deferred: %+v", d)
				}
			}
			return counts
		}
		actortest.Eventually(t, "three are sent and five wait", func() bool {
			counts := count()
			return counts["delivered"] == 3 && counts["deferred"] == 5
		})
		security := func() string {
			return call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{
				Category: "security", Subject: "s", Channels: []string{"email"},
			}).NotificationID
		}
		f.awaitDelivery(t, ada, security(), "email", "delivered")
		f.awaitDelivery(t, ada, security(), "email", "deferred")
		f.awaitDelivery(t, eve, f.send(t, eve, "email"), "email", "delivered")
		for _, want := range []int{6, 8} {
			clock.Advance(time.Hour + time.Second)
			ada = f.user(t, user)
			actortest.Eventually(t, "the next ones are sent", func() bool { return count()["delivered"] == want })
		}
	})
}

// TestLateDeliveriesKeepTheRate: deliveries whose places in the rate have passed while no process ran are not sent at once.
func TestLateDeliveriesKeepTheRate(t *testing.T) {
	t.Parallel()
	var clock actortest.Clock
	f := setup(t, actortest.Databases(t)[0], func(c *notification.Config) { c.Pipeline.EmailPerHour = 2 }, actortest.WithClock(clock.Now))
	user := actortest.User()
	ada := f.user(t, user)
	ids := make([]string, 6)
	for n := range ids {
		ids[n] = f.send(t, ada, "email")
	}
	in := func(status string) (n int) {
		for _, id := range ids {
			if f.delivery(t, ada, id, "email").Status == status {
				n++
			}
		}
		return n
	}
	actortest.Eventually(t, "two are sent", func() bool { return in("delivered") == 2 && in("deferred") == 4 })
	f.stop(t)
	clock.Advance(5 * time.Hour)
	ada = f.user(t, user)
	f.start(t)
	actortest.Eventually(t, "two more are sent", func() bool { return in("delivered") == 4 && in("deferred") == 2 })
	if n := len(f.sink.Mails()); n != 4 {
		t.Errorf("%d mails", n)
	}
}

// TestPushGoesToDevices: a delivery to several devices succeeds if one accepts, and addresses that the provider no longer accepts are dropped.
func TestPushGoesToDevices(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil, actortest.Quiet())
		f.stop(t)
		push := &gateway{answers: map[string]error{}}
		var mu sync.Mutex
		var devices, dropped []string
		f.connect = func(a *notification.Actor) {
			a.Connect(channel.Push, push, func(context.Context, string) (list []channel.Address, err error) {
				mu.Lock()
				defer mu.Unlock()
				for _, token := range devices {
					list = append(list, channel.Address{To: token, DeviceID: "device-" + token})
				}
				return list, nil
			})
			a.OnDropped(func(_ context.Context, _, _ string, address channel.Address) error {
				mu.Lock()
				defer mu.Unlock()
				dropped = append(dropped, address.DeviceID)
				devices = slices.DeleteFunc(devices, func(token string) bool { return token == address.To })
				return nil
			})
		}
		f.start(t)
		push.answer("old", &channel.Error{Class: channel.Suppressed, Code: "410", Detail: "the token is invalid"})
		push.answer("busy", &channel.Error{Class: channel.Transient, Code: "503", Detail: "later"})
		push.answer("full", &channel.Error{Class: channel.Throttled, Code: "429", Detail: "later", RetryAfter: time.Hour})
		push.answer("bad", &channel.Error{Class: channel.Permanent, Code: "400", Detail: "the message is too large"})
		for name, test := range map[string]struct {
			devices, status, reason, dropped string
		}{
			"none":                       {"", "suppressed", "no_address", ""},
			"one of three accepts":       {"old good bad", "delivered", "", "device-old"},
			"the only one is invalid":    {"old", "suppressed", "address_suppressed", "device-old"},
			"one may accept later":       {"bad busy", "pending", "attempt_failed", ""},
			"the provider takes no more": {"full", "deferred", "provider_throttled", ""},
			"none will accept":           {"old bad", "failed", "refused", "device-old"},
		} {
			mu.Lock()
			devices, dropped = strings.Fields(test.devices), nil
			mu.Unlock()
			ada := f.user(t, actortest.User())
			before := len(push.messages())
			id := f.send(t, ada, "push", "in_app")
			var d subjects.ChannelDelivery
			actortest.Eventually(t, name+": an attempt is over", func() bool {
				d = f.delivery(t, ada, id, "push")
				return d.Attempts > 0 && (d.Status != "pending" || d.Error != "")
			})
			mu.Lock()
			if d.Status != test.status || d.Reason != test.reason || strings.Join(dropped, " ") != test.dropped {
				t.Errorf("%s: %+v, dropped %v", name, d, dropped)
			}
			mu.Unlock()
			if (d.NextAttemptAt != nil) != (d.Status == "pending" || d.Status == "deferred") || d.NextAttemptAt != nil && !d.NextAttemptAt.After(time.Now()) {
				t.Errorf("%s: next attempt at %v", name, d.NextAttemptAt)
			}
			for _, m := range push.messages()[before:] {
				if m.ID != id+".push."+m.Address.DeviceID || m.Unread != 1 || m.NotificationID != id || m.Category != "system" || m.Subject != "subject" || m.Text != "body" {
					t.Errorf("%s: message %+v", name, m)
				}
			}
			if f.delivery(t, ada, id, "in_app").Status != "delivered" {
				t.Errorf("%s: the other channel: %+v", name, f.get(t, ada, id).Channels)
			}
			if d.Status == "delivered" && d.ProviderMessageID != "id of "+id+".push.device-good" {
				t.Errorf("%s: %+v", name, d)
			}
		}
	})
}

// TestChannelsWithoutProvider: SMS, push and webhook are accepted, and suppressed where the recipient has no address.
func TestChannelsWithoutProvider(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], nil)
	ada := f.user(t, actortest.User())
	n := f.await(t, ada, f.send(t, ada, "sms", "push", "webhook"), "suppressed")
	for _, d := range n.Channels {
		if d.Status != "suppressed" || d.Reason != "no_address" || d.Detail == "" {
			t.Errorf("%+v", d)
		}
	}
}

// TestWebhookHandOver: the webhook's delivery is recorded in the transaction that hands it over, or suppressed where there is no webhook.
func TestWebhookHandOver(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], nil, actortest.Quiet())
	f.stop(t)
	with, without := actortest.User(), actortest.User()
	type handed struct {
		id, subject string
		inTx        bool
	}
	taken := make(chan handed, 8)
	f.connect = func(a *notification.Actor) {
		a.ToWebhooks(func(userID, id, subject string) (func(context.Context, database.Tx) error, error) {
			if userID != with {
				return nil, nil
			}
			return func(ctx context.Context, tx database.Tx) error {
				taken <- handed{id, subject, a.DB.InTx(ctx, tx)}
				return nil
			}, nil
		})
	}
	f.start(t)
	ada, eve := f.user(t, with), f.user(t, without)
	id := f.send(t, ada, "webhook")
	if got := actortest.Receive(t, "a notification", taken); got != (handed{id, "subject", true}) {
		t.Errorf("handed over: %+v", got)
	}
	if d := f.awaitDelivery(t, ada, id, "webhook", "delivered"); d.Attempts != 1 || d.Provider != "webhook" || d.AcceptedAt == nil {
		t.Errorf("%+v", d)
	}
	if d := f.awaitDelivery(t, eve, f.send(t, eve, "webhook"), "webhook", "suppressed"); d.Reason != "no_address" {
		t.Errorf("%+v", d)
	}
}

// TestLostJobs: a delivery whose job was lost gets another one, and one whose process has ended in every attempt fails. A job that was made
// twice sends one message.
func TestLostJobs(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, func(c *notification.Config) {
			c.Pipeline.Sweep, c.Pipeline.SweepAfter = 10*time.Millisecond, 10*time.Minute
		}, actortest.WithClock(clock.Now), actortest.Quiet())
		user := actortest.User()
		ada := f.user(t, user)
		later := clock.Now().Add(time.Hour)
		ids := make([]string, 3)
		for n := range ids {
			ids[n] = call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{
				Category: "system", Subject: "s", Channels: []string{"email"}, SendAt: &later,
			}).NotificationID
		}
		f.stop(t)
		// As after a start whose jobs were lost with the stream, and, of the second, after a process that was killed in its last attempt.
		actortest.Exec(t, f.db, `UPDATE notifications SET started = ?`, true)
		actortest.Exec(t, f.db, `UPDATE deliveries SET next_attempt_at = ?`, clock.Now().Add(-9*time.Minute).UnixMicro())
		actortest.Exec(t, f.db, `UPDATE deliveries SET attempts = 6 WHERE notification_id = ?`, ids[1])
		f.start(t)
		if f.jobs(t) != 0 || len(f.sink.Mails()) != 0 {
			t.Errorf("before SweepAfter: %d jobs, %d mails", f.jobs(t), len(f.sink.Mails()))
		}
		clock.Advance(2 * time.Minute)
		for range 3 {
			f.publish(t, "notification", subjects.Deliver.Subject, subjects.DeliverNotification{NotificationID: ids[2], UserID: user, Channel: "email"})
		}
		for n, status := range []string{"delivered", "failed", "delivered"} {
			d := f.awaitDelivery(t, ada, ids[n], "email", status)
			if status == "failed" && (d.Reason != "attempts_exhausted" || d.Attempts != 6) || status == "delivered" && d.Attempts != 1 {
				t.Errorf("%d: %+v", n, d)
			}
		}
		actortest.Eventually(t, "no job is left", func() bool { return f.jobs(t) == 0 })
		if n := len(f.sink.Mails()); n != 2 {
			t.Errorf("%d mails", n)
		}
		if n := f.host.Metric(t, "notification_requeued_total"); n < 2 {
			t.Errorf("%v jobs made again", n)
		}
	})
}

// TestWaitingIsBounded: a user with as many waiting deliveries as one may have gets no more, except security.
func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	var clock actortest.Clock
	f := setup(t, actortest.Databases(t)[0], func(c *notification.Config) { c.Pipeline.MaxWaitingPerUser = 2 }, actortest.WithClock(clock.Now))
	ada := f.user(t, actortest.User())
	f.settings(t, ada, subjects.NotificationSettings{QuietHours: quietNow(clock.Now())})
	for range 2 {
		f.awaitDelivery(t, ada, f.send(t, ada, "email"), "email", "deferred")
	}
	request := subjects.SendNotificationRequest{Category: "system", Subject: "s", Channels: []string{"email"}}
	err := wantCode(t, f.conn, subjects.CodeRateLimited, subjects.SendNotification, ada, request)
	if !strings.Contains(err.Detail, "notification.pipeline.max_waiting_per_user") {
		t.Errorf("detail %q", err.Detail)
	}
	request.Category = "security"
	call(t, f, subjects.SendNotification, ada, request)
	limits := call(t, f, subjects.GetNotificationLimits, ada, subjects.Empty{})
	if i := slices.IndexFunc(limits.Items, func(l subjects.UserLimit) bool { return strings.HasSuffix(l.Name, "max_waiting_per_user") }); i < 0 || *limits.Items[i].Used != 2 {
		t.Errorf("limits: %+v", limits.Items)
	}
}

// TestRateOverProcesses: two processes on one database keep one rate.
func TestRateOverProcesses(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, func(c *notification.Config) { c.Pipeline.EmailPerHour = 5 })
		f.start(t) // a second one, on the same database and keyset
		ada := f.user(t, actortest.User())
		ids := make([]string, 20)
		var wg sync.WaitGroup
		for n := range ids {
			wg.Go(func() { ids[n] = f.send(t, ada, "email") })
		}
		wg.Wait()
		actortest.Eventually(t, "five are sent and the others wait", func() bool {
			counts := map[string]int{}
			for _, id := range ids {
				counts[f.delivery(t, ada, id, "email").Status]++
			}
			return counts["delivered"] == 5 && counts["deferred"] == 15
		})
		if n := len(f.sink.Mails()); n != 5 {
			t.Errorf("%d mails", n)
		}
	})
}

// TestRevokedMarketingIsNotCollected: what was collected for a digest is suppressed where the consent is revoked before its time.
func TestRevokedMarketingIsNotCollected(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		user := actortest.User()
		ada := f.user(t, user)
		f.mesh.Consent(t, user, subjects.ScopeNotificationsMarketing)
		id := call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{
			Category: "marketing", Subject: "news", Channels: []string{"email", "in_app", "sms"}, Batch: &subjects.NotificationBatch{Key: "k", Window: 60},
		}).NotificationID
		f.awaitDelivery(t, ada, id, "email", "batched")
		if d := f.awaitDelivery(t, ada, id, "sms", "suppressed"); d.Reason != "preference_off" {
			t.Errorf("by SMS: %+v", d)
		}
		f.mesh.Revoke(t, user, subjects.ScopeNotificationsMarketing)
		clock.Advance(2 * time.Minute)
		n := f.await(t, ada, id, "suppressed")
		for _, d := range n.Channels[:2] {
			if d.Reason != "consent_missing" || d.Status != "suppressed" {
				t.Errorf("%+v", d)
			}
		}
		if page := f.list(t, ada); len(page.Items) != 0 || page.UnreadCount != 0 || len(f.sink.Mails()) != 0 {
			t.Errorf("something was delivered: %+v", page)
		}
	})
}
