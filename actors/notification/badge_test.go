package notification_test

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// badgeRounds is how many drawn scripts run on each database.
const badgeRounds = 6

// TestBadgeCount: whatever is sent, collected, read, cancelled, pruned and erased at the same time, the last count in the feed is the number of
// unread notifications in the inbox.
func TestBadgeCount(t *testing.T) {
	scripts := rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom([]string{
		"send", "send", "send", "batch", "later", "read", "read all", "cancel", "prune", "erase",
	}), 1, 8), 2, 4)
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, func(c *notification.Config) { c.MaxKeptPerUser = 6 }, actortest.WithClock(clock.Now), actortest.Quiet())
		f.stop(t)
		f.connect = func(a *notification.Actor) { f.actor = a }
		f.start(t)
		for round := range badgeRounds {
			f.badgeRound(t, scripts.Example(int(time.Now().UnixNano())+round), &clock)
		}
	})
}

// badgeRound lets several goroutines each follow a script, for a user of their own, and compares the counts.
func (f *fixture) badgeRound(t *testing.T, scripts [][]string, clock *actortest.Clock) {
	t.Helper()
	user := actortest.User()
	ada := f.user(t, user)
	erased := false
	var wg sync.WaitGroup
	for _, script := range scripts {
		erased = erased || slices.Contains(script, "erase")
		wg.Go(func() {
			for _, step := range script {
				if err := f.badgeStep(t, ada, user, step, clock); err != nil {
					t.Errorf("%s: %v", step, err)
				}
			}
		})
	}
	wg.Wait()
	last, unread := 0, 0
	defer func() {
		if t.Failed() {
			t.Logf("scripts %q: the last count is %d, and %d are unread", scripts, last, unread)
		}
	}()
	actortest.Eventually(t, "the last count in the feed is that of the inbox", func() bool {
		page := f.list(t, ada)
		unread = 0
		for _, n := range page.Items {
			if n.ReadAt == nil {
				unread++
			}
		}
		feed := f.feed(t, user)
		if len(feed) == 0 { // nothing was shown yet, or the erasure has purged it
			return unread == page.UnreadCount && (erased || len(page.Items) == 0)
		}
		var event subjects.UnreadCount
		if err := json.Unmarshal(feed[len(feed)-1], &event); err != nil {
			t.Fatal(err)
		}
		last = event.UnreadCount
		return unread == page.UnreadCount && last == unread
	})
}

// badgeStep does one thing as a user.
func (f *fixture) badgeStep(t *testing.T, ada mesh.As, user, step string, clock *actortest.Clock) error {
	request := subjects.SendNotificationRequest{Category: "system", Subject: step}
	pick := func() string {
		page, err := mesh.Call(t.Context(), f.conn, subjects.ListNotifications, subjects.ListNotificationsRequest{}, ada)
		if err != nil || len(page.Items) == 0 {
			return actortest.User()
		}
		return page.Items[len(page.Items)/2].ID
	}
	var err error
	switch step {
	case "batch":
		request.Batch = &subjects.NotificationBatch{Key: "k", Window: 60, MaxItems: 2}
		_, err = mesh.Call(t.Context(), f.conn, subjects.SendNotification, request, ada)
	case "later":
		soon := clock.Now().Add(20 * time.Millisecond)
		request.SendAt, request.DedupeKey = &soon, "later"
		_, err = mesh.Call(t.Context(), f.conn, subjects.SendNotification, request, ada)
	case "read":
		_, err = mesh.Call(t.Context(), f.conn, subjects.MarkAsRead, subjects.NotificationRequest{NotificationID: pick()}, ada)
	case "read all":
		_, err = mesh.Call(t.Context(), f.conn, subjects.MarkAllRead, subjects.Empty{}, ada)
	case "cancel":
		_, err = mesh.Call(t.Context(), f.conn, subjects.CancelByKey, subjects.CancelByKeyRequest{DedupeKey: "later"}, ada)
	case "prune":
		err = f.actor.Prune(t.Context())
	case "erase":
		f.mesh.Forget(t, "notification", user)
	default:
		_, err = mesh.Call(t.Context(), f.conn, subjects.SendNotification, request, ada)
	}
	if code := subjects.CodeOf(err); code == subjects.CodeNotFound || code == subjects.CodeConflict {
		return nil
	}
	return err
}
