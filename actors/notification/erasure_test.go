package notification_test

import (
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// accountMail sends an e-mail as auth does to an address under a one-time id.
func (f *fixture) accountMail(t *testing.T, to, dedupeKey string) string {
	t.Helper()
	return callOn(t, f.mesh.Conn(t, "auth"), subjects.SendNotification, mesh.As{Service: true, UserID: to}, subjects.SendNotificationRequest{
		UserID: to, Category: "security", Channels: []string{"email"}, Subject: "Verify", Body: "…", DedupeKey: dedupeKey,
	}).NotificationID
}

// TestErasure: a deleted user's notifications, scheduled ones and those to an alias included, and the user's feed are
// deleted; another user's are not.
func TestErasure(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		user, other, alias := actortest.User(), actortest.User(), actortest.User()
		ada, eve := f.user(t, user), f.user(t, other)
		soon := time.Now().Add(time.Hour)
		for _, as := range []mesh.As{ada, eve} {
			f.send(t, as, "in_app")
			call(t, f, subjects.SendNotification, as, subjects.SendNotificationRequest{
				Category: "workflow", Channels: []string{"in_app", "email"}, Subject: "Later", SendAt: &soon,
			})
		}
		f.accountMail(t, alias, "auth."+alias)
		actortest.Eventually(t, "the feeds are filled", func() bool { return len(f.feed(t, user)) == 2 && len(f.feed(t, other)) == 2 })

		if answer := f.mesh.Forget(t, "notification", user, alias); answer.Items != 3 {
			t.Errorf("answered %+v", answer)
		}
		if again := f.mesh.Forget(t, "notification", user, alias); again.Items != 0 {
			t.Errorf("a second erasure answered %+v", again)
		}
		if got := f.list(t, ada); len(got.Items) != 0 || got.UnreadCount != 0 {
			t.Errorf("notifications are left: %+v", got)
		}
		if got := f.list(t, eve); len(got.Items) != 1 {
			t.Errorf("another user's are %+v", got)
		}
		if len(f.feed(t, user)) != 0 || len(f.feed(t, other)) != 2 {
			t.Errorf("the feeds hold %d and %d messages", len(f.feed(t, user)), len(f.feed(t, other)))
		}
		f.stop(t)
		tables := actortest.Dump(t, f.db)
		if strings.Contains(tables, user) || strings.Contains(tables, alias) || !strings.Contains(tables, other) {
			t.Error("the tables hold something of the deleted user, or nothing of the other")
		}
	})
}

// TestErasureOfPendingDelivery: a retry whose notification was erased sends nothing and settles its job.
func TestErasureOfPendingDelivery(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil, actortest.Quiet())
		user := actortest.User()
		ada := f.user(t, user)
		f.sink.Refuse(&smtp.SMTPError{Code: 451, Message: "later"})
		id := f.send(t, ada, "email")
		actortest.Eventually(t, "the first attempt has failed", func() bool { return f.get(t, ada, id).Channels[0].Attempts == 1 })
		if answer := f.mesh.Forget(t, "notification", user); answer.Items != 1 {
			t.Errorf("answered %+v", answer)
		}
		actortest.Eventually(t, "no job is left", func() bool { return f.jobs(t) == 0 })
		if n := len(f.sink.Mails()); n != 0 || len(f.deadLetters(t, subjects.Deliver.Consumer())) != 0 {
			t.Errorf("%d mails after the erasure", n)
		}
	})
}

// TestAccountMailIsDeleted: account mail under a one-time id is deleted after a week; a mail to a user is kept.
func TestAccountMailIsDeleted(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		user, oneTime, recent := actortest.User(), actortest.User(), actortest.User()
		kept := f.accountMail(t, user, "auth."+actortest.User())
		deleted := f.accountMail(t, oneTime, "auth."+oneTime)
		clock.Advance(8 * 24 * time.Hour)
		young := f.accountMail(t, recent, "auth."+recent)
		f.stop(t)
		f.start(t) // deletes at the start
		code := func(of, id string) subjects.Code {
			_, err := mesh.Call(t.Context(), f.conn, subjects.GetNotification, subjects.NotificationRequest{NotificationID: id}, f.user(t, of))
			return subjects.CodeOf(err)
		}
		actortest.Eventually(t, "the old account mail is deleted", func() bool { return code(oneTime, deleted) == subjects.CodeNotFound })
		if a, b := code(user, kept), code(recent, young); a != "" || b != "" {
			t.Errorf("a user's mail: %q, a recent one: %q", a, b)
		}
		f.stop(t)
		if tables := actortest.Dump(t, f.db); strings.Contains(tables, oneTime) || !strings.Contains(tables, recent) {
			t.Error("the tables hold something of the old account mail, or nothing of the recent one")
		}
	})
}
