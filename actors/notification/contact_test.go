package notification_test

import (
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// TestContactIsAskedOnce: an attempt asks auth once for the time zone, the address and the language together, and so does a batch for all of
// its items.
func TestContactIsAskedOnce(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], nil)
	var asked atomic.Int64
	f.setContact(func(id string) (subjects.Contact, error) {
		asked.Add(1)
		return subjects.Contact{UserID: id, Email: id + "@example.com"}, nil
	})
	ada := f.user(t, actortest.User())
	f.settings(t, ada, subjects.NotificationSettings{Windows: []subjects.SendWindow{{Start: "00:00", End: "24:00"}}})
	send := func(b *subjects.NotificationBatch) string {
		return call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{
			Category: "system", Channels: []string{"email"}, Template: subjects.TemplateMFAOn, Batch: b,
		}).NotificationID
	}
	f.await(t, ada, send(nil), "delivered")
	if n := asked.Swap(0); n != 1 {
		t.Errorf("auth was asked %d times for one delivery", n)
	}
	var last string
	for range 3 {
		last = send(&subjects.NotificationBatch{Key: "k", Window: 600, MaxItems: 3})
	}
	f.await(t, ada, last, "delivered")
	if n := asked.Load(); n != 3+1+1 { // each item's windows, the batch's message, and its delivery
		t.Errorf("auth was asked %d times for a batch of three", n)
	}
}
