package notification_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// item sends a notification that is collected by a key, and returns its id.
func (f *fixture) item(t *testing.T, as mesh.As, subject string, b subjects.NotificationBatch, channels ...string) string {
	t.Helper()
	return call(t, f, subjects.SendNotification, as, subjects.SendNotificationRequest{
		Category: "workflow", Subject: subject, Body: "body of " + subject, Channels: channels, Batch: &b,
		Data: map[string]json.RawMessage{"name": json.RawMessage(strconv.Quote(subject))},
	}).NotificationID
}

// TestBatch: items with a key become one message once the window has been quiet. A retry of it has the same items; what arrives after it was
// made begins the next batch.
func TestBatch(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		ada, eve := f.user(t, actortest.User()), f.user(t, actortest.User())
		batch := subjects.NotificationBatch{Key: "build", Window: 60}
		var ids []string
		for n := range 3 {
			ids = append(ids, f.item(t, ada, fmt.Sprintf("item %d", n), batch, "email"))
		}
		other := f.item(t, ada, "another key", subjects.NotificationBatch{Key: "deploy", Window: 60}, "email")
		others := f.item(t, eve, "another user", batch, "email")
		var id string
		for _, n := range slices.Concat(ids, []string{other}) {
			d := f.awaitDelivery(t, ada, n, "email", "batched")
			if d.Reason != "batch" || d.BatchID == "" || d.Attempts != 0 || d.NextAttemptAt == nil || d.NextAttemptAt.After(clock.Now().Add(11*time.Minute)) {
				t.Errorf("an item: %+v", d)
			}
			if n == ids[0] {
				id = d.BatchID
			}
			if (d.BatchID == id) != (n != other) {
				t.Errorf("%s is in the batch %s", n, d.BatchID)
			}
		}
		f.awaitDelivery(t, eve, others, "email", "batched")
		later := &smtp.SMTPError{Code: 451, Message: "later"}
		f.sink.Refuse(later, later, later) // each of the three messages once
		clock.Advance(61 * time.Second)
		actortest.Eventually(t, "an attempt has failed", func() bool {
			_, err := mesh.Call(t.Context(), f.conn, subjects.GetNotification, subjects.NotificationRequest{NotificationID: id}, ada)
			return err == nil && f.delivery(t, ada, id, "email").Error != ""
		})
		late := f.item(t, ada, "late", batch, "email")
		next := f.awaitDelivery(t, ada, late, "email", "batched")
		for _, n := range ids {
			d := f.awaitDelivery(t, ada, n, "email", "delivered")
			if d.BatchID != id || d.Provider != "smtp" || d.AcceptedAt == nil || d.NextAttemptAt != nil {
				t.Errorf("an item after it was sent: %+v", d)
			}
		}
		f.awaitDelivery(t, ada, other, "email", "delivered")
		f.awaitDelivery(t, eve, others, "email", "delivered")
		whole := f.get(t, ada, id)
		var items []struct{ ID, Subject string }
		if err := json.Unmarshal(whole.Data["items"], &items); err != nil || len(items) != 3 || string(whole.Data["count"]) != "3" || whole.Subject != "3 new notifications" {
			t.Fatalf("the message: %+v, %v", whole, err)
		}
		for n, item := range items {
			if item.ID != ids[n] || !strings.Contains(whole.Body, "- "+item.Subject+"\n") {
				t.Errorf("item %d: %+v in %s", n, item, whole.Body)
			}
		}
		if next.BatchID == id || len(f.sink.Mails()) != 3 {
			t.Errorf("the late item is in %s, and there are %d mails", next.BatchID, len(f.sink.Mails()))
		}
		clock.Advance(61 * time.Second)
		f.awaitDelivery(t, ada, late, "email", "delivered")
		if mails := f.sink.Mails(); len(mails) != 4 || mails[3].Header.Get("Subject") != "late" {
			t.Errorf("%d mails", len(mails))
		}
	})
}

// TestBatchBounds: a batch is sent with max_items at once, and after max_wait although items keep arriving. None of its items is lost or sent
// twice, whatever happens at the same time.
func TestBatchBounds(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		user := actortest.User()
		ada := f.user(t, user)
		var wg sync.WaitGroup
		ids := make([]string, 24)
		for n := range ids {
			wg.Go(func() {
				ref, err := mesh.Call(t.Context(), f.conn, subjects.SendNotification, subjects.SendNotificationRequest{
					Category: "system", Subject: strconv.Itoa(n), Channels: []string{"email", "in_app"},
					Batch: &subjects.NotificationBatch{Key: "k", Window: 600, MaxItems: 5},
				}, ada)
				if err != nil {
					t.Error(err)
				}
				ids[n] = ref.NotificationID
			})
		}
		wg.Wait()
		actortest.Eventually(t, "four full batches are sent on each channel", func() bool {
			return len(f.sink.Mails()) == 4 && len(f.list(t, ada).Items) == 4
		})
		seen := map[string]int{}
		for _, n := range f.list(t, ada).Items {
			var items []struct{ Subject string }
			if err := json.Unmarshal(n.Data["items"], &items); err != nil || len(items) != 5 {
				t.Errorf("a message of %d: %v", len(items), err)
			}
			for _, item := range items {
				seen[item.Subject]++
			}
		}
		for subject, times := range seen {
			if times != 1 {
				t.Errorf("%s was sent %d times", subject, times)
			}
		}
		if page := f.list(t, ada); len(seen) != 20 || page.UnreadCount != 4 {
			t.Errorf("%d items were sent, %d are unread", len(seen), page.UnreadCount)
		}
		clock.Advance(8 * time.Minute)
		last := f.item(t, ada, "last", subjects.NotificationBatch{Key: "other", Window: 60, MaxWait: 90}, "email")
		f.awaitDelivery(t, ada, last, "email", "batched")
		for range 2 {
			clock.Advance(50 * time.Second)
			last = f.item(t, ada, "further", subjects.NotificationBatch{Key: "other", Window: 60, MaxWait: 90}, "email")
			f.awaitDelivery(t, ada, last, "email", "batched")
		}
		actortest.Eventually(t, "the batch is sent after max_wait", func() bool { return len(f.sink.Mails()) == 5 })
		clock.Advance(3 * time.Minute)
		ada = f.user(t, user)
		actortest.Eventually(t, "the rest is sent", func() bool {
			return f.delivery(t, ada, ids[0], "email").Status == "delivered" && f.delivery(t, ada, last, "email").Status == "delivered" && len(f.list(t, ada).Items) == 5
		})
		for _, id := range ids {
			f.await(t, ada, id, "delivered")
		}
	})
}

// TestDigest: what a recipient wants in a digest is collected until its time, and sent as one message for each category and channel.
func TestDigest(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		user := actortest.User()
		ada := f.user(t, user)
		at := clock.Now().UTC().Add(3 * time.Hour).Truncate(time.Minute)
		f.settings(t, ada, subjects.NotificationSettings{
			Categories: subjects.CategoryPreferences{
				System: &subjects.ChannelPreferences{Email: preference("digest", ""), InApp: preference("digest", "")},
			},
			Digest: &subjects.Digest{Frequency: "weekly", Day: strings.ToLower(at.Weekday().String()[:3]), Time: at.Format("15:04")},
		})
		var ids []string
		for range 3 {
			ids = append(ids, f.send(t, ada, "email", "in_app"))
		}
		for _, id := range ids {
			for _, channel := range []string{"email", "in_app"} {
				if d := f.awaitDelivery(t, ada, id, channel, "batched"); d.Reason != "digest" || d.NextAttemptAt == nil || !d.NextAttemptAt.Equal(at) {
					t.Errorf("%s: %+v, want until %v", channel, d, at)
				}
			}
		}
		if page := f.list(t, ada); page.UnreadCount != 0 || len(page.Items) != 0 {
			t.Errorf("before its time: %+v", page)
		}
		clock.Advance(3*time.Hour + time.Minute)
		ada = f.user(t, user)
		for _, id := range ids {
			f.await(t, ada, id, "delivered")
		}
		if page := f.list(t, ada); page.UnreadCount != 1 || len(page.Items) != 1 || page.Items[0].Subject != "3 new notifications" || len(f.sink.Mails()) != 1 {
			t.Errorf("after its time: %+v, %d mails", page, len(f.sink.Mails()))
		}
	})
}

// TestCancelWaiting: what waits in quiet hours, in a batch or for its time is cancelled, by id and by the caller's key, and nothing is sent. What
// was delivered stays so.
func TestCancelWaiting(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		user := actortest.User()
		ada, eve := f.user(t, user), f.user(t, actortest.User())
		send := func(key string, b *subjects.NotificationBatch, at *time.Time, channels ...string) string {
			return call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{
				Category: "workflow", Subject: "s", Channels: channels, DedupeKey: key, Batch: b, SendAt: at,
			}).NotificationID
		}
		batch := &subjects.NotificationBatch{Key: "k", Window: 60}
		first, second := send("first", batch, nil, "email"), send("second", batch, nil, "email")
		f.awaitDelivery(t, ada, first, "email", "batched")
		f.awaitDelivery(t, ada, second, "email", "batched")
		f.settings(t, ada, subjects.NotificationSettings{QuietHours: quietNow(clock.Now())})
		deferred := send("deferred", nil, nil, "email", "in_app")
		f.awaitDelivery(t, ada, deferred, "email", "deferred")
		later := clock.Now().Add(time.Hour)
		send("scheduled", nil, &later, "email", "in_app")
		for key, want := range map[string]string{"first": "email", "deferred": "email", "scheduled": "email in_app"} {
			for range 2 {
				got := call(t, f, subjects.CancelByKey, ada, subjects.CancelByKeyRequest{DedupeKey: key})
				if strings.Join(got.Channels, " ") != want {
					t.Errorf("%s: %+v", key, got)
				}
			}
		}
		if n := f.get(t, ada, deferred); n.Status != "delivered" || n.Channels[0].Status != "cancelled" || n.Channels[1].Status != "delivered" {
			t.Errorf("the deferred one: %+v", n)
		}
		delivered := send("delivered", nil, nil, "in_app")
		wantCode(t, f.conn, subjects.CodeConflict, subjects.CancelByKey, ada, subjects.CancelByKeyRequest{DedupeKey: "delivered"})
		wantCode(t, f.conn, subjects.CodeConflict, subjects.CancelNotification, ada, subjects.NotificationRequest{NotificationID: delivered})
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.CancelByKey, ada, subjects.CancelByKeyRequest{DedupeKey: "unknown"})
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.CancelByKey, eve, subjects.CancelByKeyRequest{DedupeKey: "second"})
		wantCode(t, f.conn, subjects.CodeForbidden, subjects.CancelByKey, eve, subjects.CancelByKeyRequest{UserID: user, DedupeKey: "second"})
		f.settings(t, ada, subjects.NotificationSettings{})
		clock.Advance(2 * time.Hour)
		ada = f.user(t, user)
		f.await(t, ada, second, "delivered")
		if mails := f.sink.Mails(); len(mails) != 1 {
			t.Errorf("%d mails, want the second item's", len(mails))
		}
		whole := f.get(t, ada, f.delivery(t, ada, second, "email").BatchID)
		if string(whole.Data["count"]) != "1" {
			t.Errorf("the batch has %s items", whole.Data["count"])
		}
		if n := f.get(t, ada, first); n.Status != "cancelled" {
			t.Errorf("the first item: %+v", n)
		}
	})
}

// TestBatchesLoseNothing: while several senders add items, batches fall due, the process is restarted and the mail server refuses a message
// for a while, each item is in exactly one message.
func TestBatchesLoseNothing(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now), actortest.Quiet())
		user := actortest.User()
		ada := f.user(t, user)
		const senders, each = 4, 8
		ids := make([][]string, senders)
		var wg sync.WaitGroup
		for sender := range senders {
			wg.Go(func() {
				for n := range each {
					request := subjects.SendNotificationRequest{
						Category: "system", Subject: fmt.Sprintf("<item %d.%d>", sender, n), Channels: []string{"email"},
						DedupeKey: fmt.Sprintf("%d.%d", sender, n),
						Batch:     &subjects.NotificationBatch{Key: strconv.Itoa(n % 2), Window: 30, MaxItems: 6},
					}
					// A request that meets the restart may stay unanswered. The key makes its repetition safe.
					actortest.Eventually(t, "the item is accepted", func() bool {
						ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
						defer cancel()
						ref, err := mesh.Call(ctx, f.conn, subjects.SendNotification, request, ada)
						if err == nil {
							ids[sender] = append(ids[sender], ref.NotificationID)
						}
						return err == nil
					})
					clock.Advance(5 * time.Second)
				}
			})
		}
		f.stop(t)
		f.start(t)
		f.sink.Refuse(&smtp.SMTPError{Code: 451, Message: "later"})
		wg.Wait()
		for _, id := range slices.Concat(ids...) {
			actortest.Eventually(t, "the item is collected", func() bool { return f.delivery(t, ada, id, "email").BatchID != "" })
		}
		clock.Advance(6 * time.Minute)
		for _, id := range slices.Concat(ids...) {
			f.await(t, ada, id, "delivered")
		}
		text := ""
		for _, m := range f.sink.Mails() {
			text += m.Header.Get("Subject") + "\n" + m.Body
		}
		for sender := range senders {
			for n := range each {
				if times := strings.Count(text, fmt.Sprintf("<item %d.%d>", sender, n)); times != 1 {
					t.Errorf("item %d.%d is in %d messages", sender, n, times)
				}
			}
		}
	})
}

// TestBatchesOfLargeItems: a batch renders as many items, as long and as deeply nested, as the requests that added them may have.
func TestBatchesOfLargeItems(t *testing.T) {
	t.Parallel()
	var clock actortest.Clock
	f := setup(t, actortest.Databases(t)[0], nil, actortest.WithClock(clock.Now))
	ada := f.user(t, actortest.User())
	large := subjects.SendNotificationRequest{
		Category: "workflow", Subject: "large", Body: strings.Repeat("word ", 100), Batch: &subjects.NotificationBatch{Key: "large", Window: 60},
	}
	deep := large
	deep.Batch = &subjects.NotificationBatch{Key: "deep", Window: 60}
	deep.Data = map[string]json.RawMessage{"x": json.RawMessage(strings.Repeat("[", 63) + strings.Repeat("]", 63))}
	var ids []string
	for range 100 {
		ids = append(ids, call(t, f, subjects.SendNotification, ada, large).NotificationID)
	}
	for range 2 {
		ids = append(ids, call(t, f, subjects.SendNotification, ada, deep).NotificationID)
	}
	clock.Advance(61 * time.Second)
	for _, id := range ids {
		f.awaitDelivery(t, ada, id, "in_app", "delivered")
	}
}
