package notification_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestADeletedAccountIsForgotten: notifications go, those written to an alias and those that wait among them, and with
// them what live streams would replay.
func TestADeletedAccountIsForgotten(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, nil)
		user, other, letter := actortest.User(), actortest.User(), actortest.User()
		conn := b.mesh.Conn(t, "gateway")
		ada, eve := mesh.As{Token: b.mesh.Token(t, user)}, mesh.As{Token: b.mesh.Token(t, other)}
		soon := time.Now().Add(time.Hour)
		for _, as := range []mesh.As{ada, eve} {
			call(t, conn, subjects.SendNotification, as, subjects.SendNotificationRequest{
				Category: "workflow", Channels: []string{"in_app"}, Subject: "Done", Body: "Well done.",
			})
			call(t, conn, subjects.SendNotification, as, subjects.SendNotificationRequest{
				Category: "workflow", Channels: []string{"in_app", "email"}, Subject: "Later", Body: "Well done.", SendAt: &soon,
			})
		}
		call(t, b.mesh.Conn(t, "auth"), subjects.SendNotification, mesh.As{Service: true, UserID: letter}, subjects.SendNotificationRequest{
			UserID: letter, Category: "security", Channels: []string{"email"}, Subject: "Verify", Body: "…", DedupeKey: "auth." + letter,
		})
		feed := func(id string) int { return len(b.mesh.Messages(t, subjects.Feed.Name, subjects.FeedSubject(id))) }
		actortest.Eventually(t, "the feeds are filled", func() bool { return feed(user) == 2 && feed(other) == 2 })

		if answer := b.mesh.Forget(t, "notification", user, letter); answer.Items != 3 {
			t.Errorf("answered %+v", answer)
		}
		if again := b.mesh.Forget(t, "notification", user, letter); again.Items != 0 {
			t.Errorf("forgetting twice answered %+v", again)
		}
		if got := call(t, conn, subjects.ListNotifications, ada, subjects.ListNotificationsRequest{}); len(got.Items) != 0 || got.UnreadCount != 0 {
			t.Errorf("notifications are left: %+v", got)
		}
		if got := call(t, conn, subjects.ListNotifications, eve, subjects.ListNotificationsRequest{}); len(got.Items) != 1 {
			t.Errorf("another's are %+v", got)
		}
		if feed(user) != 0 || feed(other) != 2 {
			t.Errorf("the feeds hold %d and %d messages", feed(user), feed(other))
		}
		if err := b.host.Stop(t); err != nil {
			t.Fatal(err)
		}
		tables := actortest.Dump(t, b.db)
		if strings.Contains(tables, user) || strings.Contains(tables, letter) || !strings.Contains(tables, other) {
			t.Error("the tables hold something of who was forgotten, or nothing of the other")
		}
	})
}

func TestOldLettersGo(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var ahead atomic.Int64
		b := setup(t, database, nil, actortest.WithClock(func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }))
		user, letter := actortest.User(), actortest.User()
		held := map[string]string{}
		for to, key := range map[string]string{user: actortest.User(), letter: letter} {
			held[to] = call(t, b.mesh.Conn(t, "auth"), subjects.SendNotification, mesh.As{Service: true, UserID: to}, subjects.SendNotificationRequest{
				UserID: to, Category: "security", Channels: []string{"email"}, Subject: "Verify", Body: "…", DedupeKey: "auth." + key,
			}).NotificationID
		}
		ahead.Store(int64(8 * 24 * time.Hour))
		if err := b.host.Stop(t); err != nil {
			t.Fatal(err)
		}
		b.host = b.start(t) // looks for old letters
		get := func(of string) subjects.Code {
			_, err := mesh.Call(t.Context(), b.mesh.Conn(t, "gateway"), subjects.GetNotification,
				subjects.NotificationRequest{NotificationID: held[of]}, mesh.As{Token: b.mesh.Token(t, of)})
			return subjects.CodeOf(err)
		}
		actortest.Eventually(t, "the letter is gone", func() bool { return get(letter) == subjects.CodeNotFound })
		if code := get(user); code != "" {
			t.Errorf("a user's notification: %s", code)
		}
	})
}
