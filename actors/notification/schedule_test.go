package notification_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestScheduled: a scheduled notification is neither listed nor counted nor delivered before its time, a restart
// notwithstanding, and by each of its channels after.
func TestScheduled(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		user := actortest.User()
		ada := f.user(t, user)
		later := clock.Now().Add(5 * time.Minute).Truncate(time.Microsecond)
		request := subjects.SendNotificationRequest{Category: "system", Subject: "later", Channels: []string{"in_app", "email"}, SendAt: &later, DedupeKey: "k"}
		id := call(t, f, subjects.SendNotification, ada, request).NotificationID
		if ref := call(t, f, subjects.SendNotification, ada, request); ref.Status != "duplicate" || ref.NotificationID != id {
			t.Errorf("the same again: %+v", ref)
		}
		f.stop(t)
		f.start(t)
		if page := f.list(t, ada); len(page.Items) != 0 || page.UnreadCount != 0 {
			t.Errorf("before its time: %+v", page)
		}
		call(t, f, subjects.MarkAllRead, ada, subjects.Empty{})
		got := f.get(t, ada, id)
		if got.Status != "scheduled" || got.SendAt == nil || !got.SendAt.Equal(later) || got.ReadAt != nil || len(f.sink.Mails()) != 0 || len(f.feed(t, user)) != 0 {
			t.Errorf("before its time: %+v, %d mails", got, len(f.sink.Mails()))
		}
		for _, d := range got.Channels {
			if d.Status != "pending" || d.Attempts != 0 {
				t.Errorf("before its time: %+v", d)
			}
		}
		clock.Advance(6 * time.Minute)
		f.await(t, ada, id, "delivered")
		if page := f.list(t, ada); len(page.Items) != 1 || page.UnreadCount != 1 || len(f.sink.Mails()) != 1 {
			t.Errorf("after its time: %+v, %d mails", page, len(f.sink.Mails()))
		}
		wantCode(t, f.conn, subjects.CodeConflict, subjects.CancelNotification, ada, subjects.NotificationRequest{NotificationID: id})
	})
}

func TestSendAtInThePast(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], nil)
	ada := f.user(t, actortest.User())
	past := time.Now().Add(-time.Hour)
	id := call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{Category: "system", Subject: "s", SendAt: &past}).NotificationID
	if got := f.get(t, ada, id); got.Status != "delivered" {
		t.Errorf("got %+v", got)
	}
}

// TestCancel: a scheduled notification can be cancelled, any number of times, and is not delivered; a started one cannot.
func TestCancel(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		ada := f.user(t, actortest.User())
		later := clock.Now().Add(time.Minute)
		request := subjects.SendNotificationRequest{Category: "system", Subject: "later", Channels: []string{"in_app", "email"}, SendAt: &later}
		kept, dropped := call(t, f, subjects.SendNotification, ada, request), call(t, f, subjects.SendNotification, ada, request)
		for range 2 {
			got := call(t, f, subjects.CancelNotification, ada, subjects.NotificationRequest{NotificationID: dropped.NotificationID})
			if got.Status != "cancelled" || got.Channels[0].Status != "cancelled" || got.Channels[1].Status != "cancelled" {
				t.Errorf("cancelled: %+v", got)
			}
		}
		clock.Advance(2 * time.Minute)
		f.await(t, ada, kept.NotificationID, "delivered")
		if got := f.get(t, ada, dropped.NotificationID); got.Status != "cancelled" {
			t.Errorf("after its time: %+v", got)
		}
		if page := f.list(t, ada); len(page.Items) != 1 || len(f.sink.Mails()) != 1 {
			t.Errorf("%d notifications and %d mails, want one of each", len(page.Items), len(f.sink.Mails()))
		}
		err := wantCode(t, f.conn, subjects.CodeConflict, subjects.CancelNotification, ada, subjects.NotificationRequest{NotificationID: kept.NotificationID})
		if !strings.Contains(err.Detail, "already") {
			t.Errorf("detail %q", err.Detail)
		}
	})
}

// TestCancelAtItsTime: where a notification is cancelled while it falls due, it is either cancelled or delivered.
func TestCancelAtItsTime(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		ada := f.user(t, actortest.User())
		later := clock.Now().Add(time.Minute)
		var ids []string
		for range 20 {
			ids = append(ids, call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{Category: "system", Subject: "s", SendAt: &later}).NotificationID)
		}
		clock.Advance(2 * time.Minute)
		cancelled := map[string]bool{}
		for _, id := range ids {
			_, err := mesh.Call(t.Context(), f.conn, subjects.CancelNotification, subjects.NotificationRequest{NotificationID: id}, ada)
			if code := subjects.CodeOf(err); code != "" && code != subjects.CodeConflict {
				t.Fatal(err)
			}
			cancelled[id] = err == nil
		}
		delivered := 0
		for _, id := range ids {
			want := "delivered"
			if cancelled[id] {
				want = "cancelled"
			} else {
				delivered++
			}
			if got := f.get(t, ada, id); got.Status != want {
				t.Errorf("%s, want %s", got.Status, want)
			}
		}
		if page := f.list(t, ada); len(page.Items) != delivered || page.UnreadCount != delivered {
			t.Errorf("%d listed and %d unread, want %d", len(page.Items), page.UnreadCount, delivered)
		}
	})
}

// TestManyDueAtOnce: more notifications than are read at a time are all started.
func TestManyDueAtOnce(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		ada := f.user(t, actortest.User())
		later := clock.Now().Add(time.Minute)
		const count, senders = 208, 8
		var wg sync.WaitGroup
		for sender := range senders {
			wg.Go(func() {
				for n := range count / senders {
					if _, err := mesh.Call(t.Context(), f.conn, subjects.SendNotification, subjects.SendNotificationRequest{
						Category: "system", Subject: strconv.Itoa(sender*senders + n), SendAt: &later,
					}, ada); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		clock.Advance(2 * time.Minute)
		actortest.Eventually(t, "all are delivered", func() bool { return f.list(t, ada).UnreadCount == count })
	})
}

// TestUnreadableContent: a scheduled notification whose content cannot be decrypted fails alone: it does not block the ones
// after it, and is not in the inbox.
func TestUnreadableContent(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now), actortest.Quiet())
		user := actortest.User()
		ada := f.user(t, user)
		send := func(in time.Duration) string {
			at := clock.Now().Add(in)
			return call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{
				Category: "system", Subject: "s", Data: map[string]json.RawMessage{"x": json.RawMessage(`1`)}, SendAt: &at,
			}).NotificationID
		}
		bad, good := send(time.Minute), send(2*time.Minute)
		f.stop(t)
		actortest.Exec(t, f.db, `UPDATE notifications SET content = 'bm90IHNlYWxlZA==' WHERE id = ?`, bad)
		clock.Advance(3 * time.Minute)
		f.start(t)
		f.await(t, ada, good, "delivered")
		n := f.await(t, ada, bad, "failed")
		if n.Subject != "" || n.Data != nil || len(n.Channels) != 1 || n.Channels[0].Reason != "start_failed" {
			t.Errorf("the unreadable one: %+v", n)
		}
		if c := f.counts(t, ada); c.Failed != 1 || c.Sent != 1 {
			t.Errorf("counted %+v", c)
		}
		page := f.list(t, ada)
		if len(page.Items) != 1 || page.Items[0].ID != good || page.Items[0].Subject != "s" {
			t.Errorf("the inbox: %+v", page)
		}
		call(t, f, subjects.MarkAllRead, ada, subjects.Empty{})
		if page := f.list(t, ada); page.UnreadCount != 0 {
			t.Errorf("unread: %d", page.UnreadCount)
		}
	})
}

// TestNotificationsToABlockedAccountAreHeld: what falls due, and what is on its way by mail, waits while the account is disabled, and
// arrives once afterwards. The other accounts' are not held.
func TestNotificationsToABlockedAccountAreHeld(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		user := actortest.User()
		ada, eve := f.user(t, user), f.user(t, actortest.User())
		later := clock.Now().Add(5 * time.Minute)
		scheduled := subjects.SendNotificationRequest{Category: "system", Subject: "later", Channels: []string{"in_app", "email"}, SendAt: &later}
		due := call(t, f, subjects.SendNotification, ada, scheduled).NotificationID
		others := call(t, f, subjects.SendNotification, eve, scheduled).NotificationID
		f.mesh.Block(t, user, true)
		admin := mesh.As{Token: f.mesh.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleUser, subjects.RoleAdmin))}
		now := call(t, f, subjects.SendNotification, admin, subjects.SendNotificationRequest{
			UserID: user, Category: "system", Subject: "now", Channels: []string{"in_app", "email"},
		}).NotificationID
		clock.Advance(6 * time.Minute)
		f.await(t, eve, others, "delivered")
		if mails := f.sink.Mails(); len(mails) != 1 {
			t.Errorf("%d mails were sent, want eve's", len(mails))
		}
		f.mesh.Block(t, user, false)
		for _, id := range []string{due, now} {
			f.await(t, ada, id, "delivered")
		}
		if mails := f.sink.Mails(); len(mails) != 3 {
			t.Errorf("%d mails were sent, want three", len(mails))
		}
		if page := f.list(t, ada); len(page.Items) != 2 || page.UnreadCount != 2 {
			t.Errorf("the inbox has %+v", page)
		}
	})
}

// TestScheduledMarketingNeedsConsentAtItsTime: a consent that is revoked before the time holds for what was accepted under it.
func TestScheduledMarketingNeedsConsentAtItsTime(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		user := actortest.User()
		ada := f.user(t, user)
		f.mesh.Consent(t, user, subjects.ScopeNotificationsMarketing)
		later := clock.Now().Add(5 * time.Minute)
		id := call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{
			Category: "marketing", Subject: "news", Channels: []string{"email"}, SendAt: &later,
		}).NotificationID
		var items []string
		for range 2 {
			items = append(items, call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{
				Category: "marketing", Subject: "news", Channels: []string{"email"}, Batch: &subjects.NotificationBatch{Key: "k", Window: 300},
			}).NotificationID)
		}
		for _, item := range items {
			f.awaitDelivery(t, ada, item, "email", "batched")
		}
		f.mesh.Revoke(t, user, subjects.ScopeNotificationsMarketing)
		clock.Advance(6 * time.Minute)
		for _, id := range append(items, id) {
			if n := f.await(t, ada, id, "suppressed"); n.Channels[0].Reason != "consent_missing" || n.Channels[0].Detail == "" {
				t.Errorf("%+v", n.Channels)
			}
		}
		if c := f.counts(t, ada); c.Suppressed != 2 || c.Sent != 0 { // a batch counts as one
			t.Errorf("counted %+v", c)
		}
		if mails := f.sink.Mails(); len(mails) != 0 {
			t.Errorf("%d mails were sent", len(mails))
		}
	})
}
