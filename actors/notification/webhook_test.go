package notification_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestWebhookDeliveries: a registered webhook receives the events of its user that it takes, once each and signed, and no others.
func TestWebhookDeliveries(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupHooks(t, database, nil)
		user, other := actortest.User(), actortest.User()
		ada := f.user(t, user)
		all, some, foreign := newReceiver(t), newReceiver(t), newReceiver(t)
		everything := f.register(t, ada, subjects.RegisterWebhookRequest{URL: all.URL + "/hook?a=1", Headers: map[string]subjects.SecretText{"authorization": "Bearer s3cr3t"}})
		faults := f.register(t, ada, subjects.RegisterWebhookRequest{URL: some.URL, Events: []string{"workflow.execution.faulted", "consent.*"}})
		f.register(t, f.user(t, other), subjects.RegisterWebhookRequest{URL: foreign.URL})
		if !strings.HasPrefix(everything.Secret, "whsec_") || everything.Status != "enabled" || !everything.Enabled || everything.PerMinute != 60 ||
			!slices.Equal(everything.HeaderNames, []string{"Authorization"}) {
			t.Errorf("registered %+v", everything)
		}

		ids := f.finished(t, user, "completed", "faulted", "cancelled")
		got := all.await(t, 3)
		types := map[string]string{}
		for _, r := range got {
			if err := r.verify(t, everything.Secret); err != nil {
				t.Errorf("the signature of %s: %v", r.body, err)
			}
			if r.verify(t, faults.Secret) == nil {
				t.Error("the secret of another webhook verifies")
			}
			if r.header.Get("Authorization") != "Bearer s3cr3t" || strings.Contains(r.header.Get("Webhook-Id"), ".") {
				t.Errorf("the headers are %v", r.header)
			}
			id, _ := r.payload.Data["execution_id"].(string)
			types[r.payload.Type] = id
		}
		if types["workflow.execution.completed"] != ids[0] || types["workflow.execution.faulted"] != ids[1] || types["workflow.execution.cancelled"] != ids[2] {
			t.Errorf("got %v", types)
		}
		fault := some.await(t, 1)[0]
		if fault.payload.Type != "workflow.execution.faulted" || fault.verify(t, faults.Secret) != nil {
			t.Errorf("got %s", fault.body)
		}
		for _, r := range got { // the same event has the same id and payload at every webhook
			if r.payload.Type == fault.payload.Type && (r.header.Get("Webhook-Id") != fault.header.Get("Webhook-Id") || !bytes.Equal(r.body, fault.body)) {
				t.Errorf("the webhooks got different events: %s and %s", r.body, fault.body)
			}
		}
		if len(foreign.all()) != 0 {
			t.Error("another user's webhook got something")
		}

		var deliveries []subjects.WebhookDeliveryRecord
		actortest.Eventually(t, "the attempts are recorded", func() bool {
			deliveries = f.deliveries(t, ada, everything.ID)
			return len(deliveries) == 3 && !slices.ContainsFunc(deliveries, func(d subjects.WebhookDeliveryRecord) bool { return d.Status != "succeeded" })
		})
		if d := deliveries[0]; len(d.Attempts) != 1 || d.Attempts[0].Status != 204 || d.Attempts[0].Error != "" || d.NextAttemptAt != nil || d.FinishedAt == nil {
			t.Errorf("a delivery is %+v", d)
		}
		if w := f.webhook(t, ada, everything.ID); w.LastSuccessAt == nil || w.FailingSince != nil || w.Secret != "" {
			t.Errorf("the webhook is %+v", w)
		}
		f.stop(t)
		if tables := actortest.Dump(t, f.db); strings.Contains(tables, strings.TrimPrefix(everything.Secret, "whsec_")) || strings.Contains(tables, "s3cr3t") {
			t.Error("the tables hold a secret in clear")
		}
	})
}

// TestEventsBecomePublicOnce: every internal event becomes its public one, with data of its own, and a redelivered one is not delivered again.
func TestEventsBecomePublicOnce(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupHooks(t, database, nil)
		user := actortest.User()
		ada, r := f.user(t, user), newReceiver(t)
		hook := f.register(t, ada, subjects.RegisterWebhookRequest{URL: r.URL, PerMinute: 600, Signature: "v1a"})
		if !strings.HasPrefix(hook.Secret, "whsk_") || !strings.HasPrefix(hook.PublicKey, "whpk_") || f.webhook(t, ada, hook.ID).PublicKey != hook.PublicKey {
			t.Errorf("registered %+v", hook)
		}
		now := f.mesh.Now()
		for range 2 { // the second round has other ids at NATS, and the same event ids
			const event = "01936f1c-8a57-7c33-9d52-00000000000"
			f.publish(t, "workflow", subjects.RunRefused.Subject, subjects.RunRefused.New("refused."+event+"1", user, now, subjects.RunRefusal{WorkflowID: "w", Name: "n", Trigger: "event", Code: "forbidden", Reason: "r"}))
			change := subjects.ConnectionChange{IntegrationID: "i", Provider: "github", Label: "l"}
			f.publish(t, "integration", subjects.IntegrationConnected.Subject, subjects.IntegrationConnected.New(event+"2", user, now, change))
			f.publish(t, "integration", subjects.IntegrationDisconnected.Subject, subjects.IntegrationDisconnected.New(event+"3", user, now, change))
			f.publish(t, "integration", subjects.IntegrationNeedsReauth.Subject, subjects.IntegrationNeedsReauth.New(event+"4", user, now, change))
			for i, kind := range []string{"granted", "revoked", "superseded", "refused", "renewal_required", "gpc"} {
				f.publish(t, "consent", subjects.ConsentChanged.Subject, subjects.ConsentChanged.New(event+string('g'+rune(i)), user, now, subjects.ConsentChange{ConsentEntry: subjects.ConsentEntry{ID: "e", ConsentID: "c", Change: kind, At: now}, Scope: "workflows.read"}))
			}
			f.publish(t, "consent", subjects.PrivacyRequestChanged.Subject, subjects.PrivacyRequestChanged.New(event+"b", user, now, subjects.PrivacyRequestChange{RequestID: "p", Kind: "access", Change: "received", DueAt: now}))
			f.publish(t, "auth", subjects.SessionStartedEvent.Subject, subjects.SessionStartedEvent.New(event+"8", user, now, subjects.SessionStarted{SessionID: "s", Method: "passkey"}))
			f.publish(t, "auth", subjects.SessionEndedEvent.Subject, subjects.SessionEndedEvent.New(event+"9", user, now, subjects.SessionEnded{SessionID: "s", Reason: "logout"}))
			f.publish(t, "auth", subjects.UserUpdatedEvent.Subject, subjects.UserUpdatedEvent.New(event+"a", user, now, subjects.UserUpdated{UserID: user, Fields: []string{"name"}}))
		}
		call(t, f.fixture, subjects.SendNotification, ada, subjects.SendNotificationRequest{Category: "system", Channels: []string{"webhook"}, Subject: "Hello", Body: actortest.User()})
		f.finished(t, user, "completed", "faulted", "cancelled")
		want := len(subjects.PublicEvents()) - 1 // webhook.disabled is for other webhooks
		got := r.await(t, want)
		seen := map[string]bool{}
		for _, one := range got {
			seen[one.payload.Type] = true
			if one.payload.Version != 1 || one.payload.Test || !strings.HasPrefix(one.header.Get("Webhook-Signature"), "v1a,") {
				t.Errorf("got %s with %s", one.body, one.header.Get("Webhook-Signature"))
			}
		}
		if len(seen) != want {
			t.Errorf("got %v", seen)
		}
		if n := f.mesh.Unsettled(t, "notification"); n != 0 {
			actortest.Eventually(t, "every event is settled", func() bool { return f.mesh.Unsettled(t, "notification") == 0 })
		}
		if len(r.all()) != want {
			t.Errorf("%d deliveries after the redelivery", len(r.all()))
		}
	})
}

// TestWebhooksAreTheirOwners: every request for another user's webhook is answered as for one that does not exist.
func TestWebhooksAreTheirOwners(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupHooks(t, database, nil)
		ada, eve, r := f.user(t, actortest.User()), f.user(t, actortest.User()), newReceiver(t)
		id := f.register(t, ada, subjects.RegisterWebhookRequest{URL: r.URL}).ID
		since := f.mesh.Now()
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.GetWebhook, eve, subjects.WebhookRequest{WebhookID: id})
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.UpdateWebhook, eve, subjects.UpdateWebhookRequest{WebhookID: id, Enabled: subjects.Some(false)})
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.RotateWebhookSecret, eve, subjects.RotateWebhookSecretRequest{WebhookID: id})
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.TestWebhook, eve, subjects.TestWebhookRequest{WebhookID: id})
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.ListDeliveries, eve, subjects.ListDeliveriesRequest{WebhookRequest: subjects.WebhookRequest{WebhookID: id}})
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.ReplayDeliveries, eve, subjects.ReplayDeliveriesRequest{WebhookID: id, Since: &since})
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.DeleteWebhook, eve, subjects.WebhookRequest{WebhookID: id})
		if list := call(t, f.fixture, subjects.ListWebhooks, eve, subjects.PageRequest{}); len(list.Items) != 0 {
			t.Errorf("listed %+v", list)
		}
		wantCode(t, f.conn, subjects.CodeUnauthenticated, subjects.ListWebhooks, mesh.As{}, subjects.PageRequest{})
		if len(r.all()) != 0 {
			t.Error("a delivery was made")
		}
		call(t, f.fixture, subjects.DeleteWebhook, ada, subjects.WebhookRequest{WebhookID: id})
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.GetWebhook, ada, subjects.WebhookRequest{WebhookID: id})
	})
}

// TestListWebhooks pages through a user's webhooks, newest first.
func TestListWebhooks(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupHooks(t, database, func(c *notificationConfig) { c.Webhooks.PerUser = 5 })
		ada, r := f.user(t, actortest.User()), newReceiver(t)
		var want []string
		for range 5 {
			want = append([]string{f.register(t, ada, subjects.RegisterWebhookRequest{URL: r.URL}).ID}, want...)
		}
		refused := wantCode(t, f.conn, subjects.CodeRateLimited, subjects.RegisterWebhook, ada, subjects.RegisterWebhookRequest{URL: r.URL})
		if refused.Reason != subjects.ReasonLimitReached || !strings.Contains(refused.Detail, "notification.webhooks.per_user") {
			t.Errorf("refused with %v", refused)
		}
		var got []string
		for page := (subjects.PageRequest{Limit: 2}); ; {
			list := call(t, f.fixture, subjects.ListWebhooks, ada, page)
			for _, w := range list.Items {
				got = append(got, w.ID)
				if w.Secret != "" {
					t.Error("a list has a secret")
				}
			}
			if page.Cursor = list.NextCursor; page.Cursor == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("listed %v, want %v", got, want)
		}
		limits := call(t, f.fixture, subjects.GetNotificationLimits, ada, subjects.Empty{})
		i := slices.IndexFunc(limits.Items, func(l subjects.UserLimit) bool { return l.Name == "notification.webhooks.per_user" })
		if i < 0 || limits.Items[i].Limit != 5 || *limits.Items[i].Used != 5 {
			t.Errorf("the limits are %+v", limits)
		}
	})
}

// TestListEventTypes: every public event is listed with an example that matches its schema.
func TestListEventTypes(t *testing.T) {
	f := setupHooks(t, actortest.Databases(t)[0], nil)
	list := call(t, f.fixture, subjects.ListEventTypes, f.user(t, actortest.User()), subjects.Empty{})
	if len(list.Items) != len(subjects.PublicEvents()) {
		t.Errorf("%d types", len(list.Items))
	}
	for _, e := range list.Items {
		if err := matchesSchema(e.Schema, e.Example); err != nil || e.Doc == "" || e.Version != 1 {
			t.Errorf("%s: %v", e.Name, err)
		}
	}
}
