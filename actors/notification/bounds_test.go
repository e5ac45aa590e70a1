package notification_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestScheduledNotificationsAreBounded: a user's notifications that wait for their time are bounded; a cancelled one frees its place,
// and what is sent at once is not concerned.
func TestScheduledNotificationsAreBounded(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, func(c *notification.Config) { c.MaxScheduledPerUser = 2 })
		ada, later := f.user(t, actortest.User()), time.Now().Add(time.Hour)
		schedule := func() (string, error) {
			ref, err := mesh.Call(t.Context(), f.conn, subjects.SendNotification, subjects.SendNotificationRequest{
				Category: "system", Subject: "subject", SendAt: &later,
			}, ada)
			return ref.NotificationID, err
		}
		var ids []string
		for range 2 {
			id, err := schedule()
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		if _, err := schedule(); subjects.CodeOf(err) != subjects.CodeRateLimited || !strings.Contains(err.Error(), "(notification.max_scheduled_per_user)") {
			t.Errorf("a third one: %v", err)
		}
		f.send(t, ada)
		call(t, f, subjects.CancelNotification, ada, subjects.NotificationRequest{NotificationID: ids[0]})
		if _, err := schedule(); err != nil {
			t.Errorf("after a cancellation: %v", err)
		}
	})
}
