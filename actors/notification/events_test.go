package notification_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// TestReauthNotification: integration.needs_reauth notifies once however often the event is delivered.
func TestReauthNotification(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil, actortest.Quiet())
		user, connection := actortest.User(), actortest.User()
		ada := f.user(t, user)
		change := subjects.ConnectionChange{IntegrationID: connection, Provider: "slack", Label: "work", Reason: "token revoked"}
		event := subjects.IntegrationNeedsReauth.New(actortest.User(), user, time.Now(), change)
		for range 3 {
			f.publish(t, "integration", subjects.IntegrationNeedsReauth.Subject, event)
		}
		f.publish(t, "integration", subjects.IntegrationNeedsReauth.Subject,
			subjects.IntegrationNeedsReauth.New(actortest.User(), user, time.Now(), change))
		actortest.Eventually(t, "both events are in the inbox", func() bool { return len(f.list(t, ada).Items) >= 2 })
		f.publish(t, "integration", subjects.IntegrationNeedsReauth.Subject, []byte("no event"))
		actortest.Eventually(t, "what is no event is a dead letter", func() bool {
			return len(f.deadLetters(t, subjects.NotifyReauth.Consumer())) == 1
		})
		page := f.list(t, ada)
		if len(page.Items) != 2 || page.UnreadCount != 2 {
			t.Errorf("the inbox: %+v", page)
		}
		n := page.Items[0]
		var id string
		if err := json.Unmarshal(n.Data["integration_id"], &id); err != nil || id != connection {
			t.Errorf("data: %s, %v", n.Data, err)
		}
		if n.Category != "integration" || n.Subject != "Connect slack again" || !strings.Contains(n.Body, `"work"`) || !strings.Contains(n.Body, "token revoked") {
			t.Errorf("notification: %+v", n)
		}
		if len(n.Channels) != 1 || n.Channels[0].Channel != "in_app" || n.Status != "delivered" || len(f.sink.Mails()) != 0 {
			t.Errorf("channels: %+v, %d mails", n.Channels, len(f.sink.Mails()))
		}
	})
}

// TestPrivacyRequestNotification: each change of a privacy request notifies once, with its date.
func TestPrivacyRequestNotification(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		user := actortest.User()
		ada := f.user(t, user)
		due := time.Date(2027, 1, 31, 23, 0, 0, 0, time.UTC)
		for _, change := range []string{"received", "extended", "completed", "completed"} {
			f.publish(t, "consent", subjects.PrivacyRequestChanged.Subject, subjects.PrivacyRequestChanged.New(change, user, time.Now(), subjects.PrivacyRequestChange{
				RequestID: "r", Kind: subjects.PrivacyAccess, Change: change, DueAt: due,
			}))
		}
		var page subjects.NotificationPage
		actortest.Eventually(t, "all are in the inbox", func() bool {
			page = call(t, f, subjects.ListNotifications, ada, subjects.ListNotificationsRequest{Category: "consent"})
			return len(page.Items) == 3
		})
		var texts string
		for _, n := range page.Items {
			texts += n.Subject + ": " + n.Body + "\n"
		}
		for _, want := range []string{"received", "until 2027-01-31", "needs more time", "is answered"} {
			if !strings.Contains(texts, want) {
				t.Errorf("no notification says %q:\n%s", want, texts)
			}
		}
	})
}

// TestRefusedRunNotification: workflow.run_refused notifies once an event.
func TestRefusedRunNotification(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		user, workflow := actortest.User(), actortest.User()
		ada := f.user(t, user)
		for _, id := range []string{"first", "first", "second"} {
			f.publish(t, "workflow", subjects.RunRefused.Subject, subjects.RunRefused.New(id, user, time.Now(), subjects.RunRefusal{
				WorkflowID: workflow, Name: "report", Trigger: "schedule", Code: subjects.CodeConsentRequired, Reason: "no consent: " + id,
			}))
		}
		var page subjects.NotificationPage
		actortest.Eventually(t, "both are in the inbox", func() bool {
			page = call(t, f, subjects.ListNotifications, ada, subjects.ListNotificationsRequest{Category: "workflow"})
			return len(page.Items) == 2 && strings.Contains(page.Items[0].Body+page.Items[1].Body, "no consent: second")
		})
		n := page.Items[0]
		if n.Subject != "Your workflow report could not be started" || string(n.Data["workflow_id"]) != `"`+workflow+`"` ||
			string(n.Data["code"]) != `"consent_required"` || !strings.Contains(n.Body, "schedule") {
			t.Errorf("notification: %+v", n)
		}
	})
}
