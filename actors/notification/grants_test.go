package notification_test

import (
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestQueuedNotificationsNeedTheirGrant: what a service has sent under a consent is not delivered once that is revoked, though it was accepted
// before: neither what was scheduled, nor what waits for a retry, nor an item of a batch. What the user has sent is.
func TestQueuedNotificationsNeedTheirGrant(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		user := actortest.User()
		ada := f.user(t, user)
		const scope = subjects.ScopeWorkflowsExecute
		workflow := mesh.As{Service: true, UserID: user, Grant: f.mesh.Consent(t, user, scope)[scope]}
		later := clock.Now().Add(5 * time.Minute)
		send := func(as mesh.As, channel string, change func(*subjects.SendNotificationRequest)) string {
			r := subjects.SendNotificationRequest{Category: "workflow", Subject: "done", Channels: []string{channel}}
			if change != nil {
				change(&r)
			}
			conn := f.conn
			if as.Service {
				conn = f.mesh.Conn(t, "workflow")
			}
			return callOn(t, conn, subjects.SendNotification, as, r).NotificationID
		}
		scheduled := func(r *subjects.SendNotificationRequest) { r.SendAt = &later }
		collected := func(key string) func(*subjects.SendNotificationRequest) {
			return func(r *subjects.SendNotificationRequest) {
				r.Batch = &subjects.NotificationBatch{Key: key, Window: 300}
			}
		}
		f.sink.Refuse(&smtp.SMTPError{Code: 451, Message: "later"})
		retried := send(workflow, "email", nil)
		actortest.Eventually(t, "an attempt has failed", func() bool { return f.delivery(t, ada, retried, "email").Attempts == 1 })
		dropped := map[string]string{
			retried: "email", send(workflow, "email", scheduled): "email", send(workflow, "in_app", scheduled): "in_app",
			send(workflow, "email", collected("mixed")): "email", send(workflow, "in_app", collected("alone")): "in_app",
		}
		own := send(ada, "email", collected("mixed"))
		ownLater := send(ada, "in_app", scheduled)
		f.awaitDelivery(t, ada, own, "email", "batched")
		f.mesh.Revoke(t, user, scope)
		clock.Advance(6 * time.Minute)
		ada = f.user(t, user)
		for id, channel := range dropped {
			if d := f.awaitDelivery(t, ada, id, channel, "suppressed"); d.Reason != "consent_missing" {
				t.Errorf("%s: %+v", channel, d)
			}
		}
		f.awaitDelivery(t, ada, own, "email", "delivered")
		f.awaitDelivery(t, ada, ownLater, "in_app", "delivered")
		if mails, page := f.sink.Mails(), f.list(t, ada); len(mails) != 1 || page.UnreadCount != 1 {
			t.Errorf("%d mails, the inbox has %+v", len(mails), page)
		}
	})
}

// TestABatchThatWaitsForARetryNeedsItsGrants: the message of a batch is not delivered once the consent of an item is revoked.
func TestABatchThatWaitsForARetryNeedsItsGrants(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		user := actortest.User()
		ada := f.user(t, user)
		const scope = subjects.ScopeWorkflowsExecute
		workflow := mesh.As{Service: true, UserID: user, Grant: f.mesh.Consent(t, user, scope)[scope]}
		f.sink.Refuse(&smtp.SMTPError{Code: 451, Message: "later"})
		id := callOn(t, f.mesh.Conn(t, "workflow"), subjects.SendNotification, workflow, subjects.SendNotificationRequest{
			Category: "workflow", Subject: "done", Channels: []string{"email"}, Batch: &subjects.NotificationBatch{Key: "k", Window: 1, MaxItems: 1},
		}).NotificationID
		var message string
		actortest.Eventually(t, "an attempt to send the message has failed", func() bool {
			if message = f.delivery(t, ada, id, "email").BatchID; message == "" {
				return false
			}
			n, err := mesh.Call(t.Context(), f.conn, subjects.GetNotification, subjects.NotificationRequest{NotificationID: message}, ada)
			return err == nil && n.Channels[0].Attempts == 1
		})
		f.mesh.Revoke(t, user, scope)
		if d := f.awaitDelivery(t, ada, id, "email", "suppressed"); d.Reason != "consent_missing" {
			t.Errorf("%+v", d)
		}
		if mails := f.sink.Mails(); len(mails) != 0 {
			t.Errorf("%d mails", len(mails))
		}
	})
}
