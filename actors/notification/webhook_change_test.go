package notification_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// TestRegisterRefuses: what a webhook must not be is refused with the name of its field.
func TestRegisterRefuses(t *testing.T) {
	f := setupHooks(t, actortest.Databases(t)[0], nil)
	ada, r := f.user(t, actortest.User()), newReceiver(t)
	for field, request := range map[string]subjects.RegisterWebhookRequest{
		"events[0]":          {URL: r.URL, Events: []string{"workflow.execution.started"}},
		"condition":          {URL: r.URL, Condition: ".data.status =="},
		"per_minute":         {URL: r.URL, PerMinute: 601},
		"headers.Host":       {URL: r.URL, Headers: map[string]subjects.SecretText{"Host": "x"}},
		"signature":          {URL: r.URL, Signature: "v2"},
		"schedule":           {URL: r.URL, Schedule: "weeks"},
		"payload_version":    {URL: r.URL, PayloadVersion: 2},
		"description":        {URL: r.URL, Description: strings.Repeat("x", 201)},
		"headers.webhook-id": {URL: r.URL, Headers: map[string]subjects.SecretText{"webhook-id": "x"}},
	} {
		refused := wantCode(t, f.conn, subjects.CodeInvalid, subjects.RegisterWebhook, ada, request)
		if len(refused.Fields) == 0 || refused.Fields[0].Field != field {
			t.Errorf("%s: refused with %v", field, refused.Fields)
		}
	}
	for _, address := range []string{
		"", "example.com", "ftp://127.0.0.1/", "http://ada:pw@127.0.0.1/", "http://10.0.0.1/", "http://169.254.169.254/latest/meta-data", "http://[::1]/",
		"http://[::ffff:10.0.0.1]/", "http://[fd00:ec2::254]/", "http://192.168.1.1:8080/", "http://0.0.0.0/", "http://no-such-name.invalid/",
	} {
		refused := wantCode(t, f.conn, subjects.CodeInvalid, subjects.RegisterWebhook, ada, subjects.RegisterWebhookRequest{URL: address})
		if len(refused.Fields) == 0 || refused.Fields[0].Field != "url" {
			t.Errorf("%s: refused with %v", address, refused.Fields)
		}
	}
	hook := f.register(t, ada, subjects.RegisterWebhookRequest{URL: r.URL})
	refused := wantCode(t, f.conn, subjects.CodeInvalid, subjects.UpdateWebhook, ada, subjects.UpdateWebhookRequest{
		WebhookID: hook.ID, URL: subjects.Some("http://10.0.0.1/"),
	})
	if refused.Fields[0].Field != "url" || f.webhook(t, ada, hook.ID).URL != r.URL {
		t.Errorf("an update: %v", refused)
	}
}

// TestHTTPIsRefusedByDefault: without the operator's exceptions neither plain http nor this machine is registered.
func TestHTTPIsRefusedByDefault(t *testing.T) {
	f := setup(t, actortest.Databases(t)[0], nil)
	f.stop(t)
	f.strict = true
	f.start(t)
	ada := f.user(t, actortest.User())
	for address, message := range map[string]string{"http://example.com/": "https", "https://127.0.0.1/": "public address", "https://localhost/": "public address"} {
		refused := wantCode(t, f.conn, subjects.CodeInvalid, subjects.RegisterWebhook, ada, subjects.RegisterWebhookRequest{URL: address})
		if len(refused.Fields) != 1 || refused.Fields[0].Field != "url" || !strings.Contains(refused.Fields[0].Message, message) {
			t.Errorf("%s: refused with %v", address, refused.Fields)
		}
	}
}

// TestDeliveryIsGuarded: a webhook that was registered while its address was allowed is not called once it is not, by a test or a delivery, and
// the recorded error does not tell the address. A redirect is a failure and not followed.
func TestDeliveryIsGuarded(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupHooks(t, database, nil)
		user := actortest.User()
		ada, r := f.user(t, user), newReceiver(t)
		hook := f.register(t, ada, subjects.RegisterWebhookRequest{URL: r.URL})
		r.answer(307)
		r.Config.Handler = redirecting(r.Config.Handler, r.URL+"/other")
		if test := call(t, f.fixture, subjects.TestWebhook, ada, subjects.TestWebhookRequest{WebhookID: hook.ID}); test.Succeeded || test.Attempt.Status != 307 {
			t.Errorf("a redirect: %+v", test)
		}
		if n := len(r.all()); n != 1 {
			t.Errorf("%d requests after a redirect", n)
		}
		f.stop(t)
		f.allow = nil
		f.host = f.run(t)
		test := call(t, f.fixture, subjects.TestWebhook, ada, subjects.TestWebhookRequest{WebhookID: hook.ID})
		if test.Succeeded || test.Attempt.Status != 0 || test.Attempt.Error == "" {
			t.Errorf("a test: %+v", test)
		}
		f.finished(t, user, "completed")
		actortest.Eventually(t, "the attempt is recorded", func() bool {
			list := f.deliveries(t, ada, hook.ID)
			return len(list) == 1 && len(list[0].Attempts) > 0 && list[0].Attempts[0].Status == 0 && list[0].Attempts[0].Error != ""
		})
		if len(r.all()) != 1 {
			t.Error("the receiver was reached")
		}
		if w := f.webhook(t, ada, hook.ID); w.FailingSince == nil || w.LastError == "" {
			t.Errorf("the webhook is %+v", w)
		}
	})
}

// TestUpdateWebhook: a field that is absent stays, null sets the default, and a value replaces.
func TestUpdateWebhook(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupHooks(t, database, nil)
		ada, r := f.user(t, actortest.User()), newReceiver(t)
		full := f.register(t, ada, subjects.RegisterWebhookRequest{
			URL: r.URL, Description: "orders", Events: []string{"workflow.*"}, Condition: `.data.name == "orders"`, Ordered: true, PerMinute: 120,
			Schedule: "days", Headers: map[string]subjects.SecretText{"X-A": "1"},
		})
		id := full.ID
		same := f.update(t, ada, subjects.UpdateWebhookRequest{WebhookID: id})
		if same.Description != "orders" || same.Condition == "" || !same.Ordered || same.PerMinute != 120 || same.Schedule != "days" ||
			len(same.Events) != 1 || len(same.HeaderNames) != 1 || !same.Enabled {
			t.Errorf("an empty change: %+v", same)
		}
		null := subjects.UpdateWebhookRequest{
			WebhookID: id, Description: subjects.Optional[string]{Set: true, Null: true}, Events: subjects.Optional[[]string]{Set: true, Null: true},
			Condition: subjects.Optional[string]{Set: true, Null: true}, Ordered: subjects.Optional[bool]{Set: true, Null: true},
			PerMinute: subjects.Optional[int]{Set: true, Null: true}, Schedule: subjects.Optional[string]{Set: true, Null: true},
			Headers: subjects.Optional[map[string]subjects.SecretText]{Set: true, Null: true},
		}
		defaults := f.update(t, ada, null)
		if defaults.Description != "" || len(defaults.Events) != 0 || defaults.Condition != "" || defaults.Ordered || defaults.PerMinute != 60 ||
			defaults.Schedule != "default" || len(defaults.HeaderNames) != 0 || defaults.URL != r.URL {
			t.Errorf("nulls: %+v", defaults)
		}
		refused := wantCode(t, f.conn, subjects.CodeInvalid, subjects.UpdateWebhook, ada, subjects.UpdateWebhookRequest{
			WebhookID: id, URL: subjects.Optional[string]{Set: true, Null: true},
		})
		if refused.Fields[0].Field != "url" {
			t.Errorf("a null URL: %v", refused)
		}
		changed := f.update(t, ada, subjects.UpdateWebhookRequest{WebhookID: id, Events: subjects.Some([]string{"consent.*"}), PerMinute: subjects.Some(5)})
		if len(changed.Events) != 1 || changed.PerMinute != 5 || changed.Secret != "" {
			t.Errorf("values: %+v", changed)
		}
		if again := f.webhook(t, ada, id); again.PerMinute != 5 || again.Secret != "" {
			t.Errorf("read again: %+v", again)
		}
	})
}

// TestRotation: both secrets sign for a day, then the new one alone; at once there is no overlap.
func TestRotation(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setupHooks(t, database, nil, actortest.WithClock(clock.Now))
		user := actortest.User()
		ada, r := f.user(t, user), newReceiver(t)
		first := f.register(t, ada, subjects.RegisterWebhookRequest{URL: r.URL})
		signed := func(secrets ...string) (valid []bool, signatures int) {
			t.Helper()
			before := len(r.all())
			if test := call(t, f.fixture, subjects.TestWebhook, ada, subjects.TestWebhookRequest{WebhookID: first.ID}); !test.Succeeded || !strings.Contains(string(test.Payload), `"test":true`) {
				t.Fatalf("a test: %+v", test)
			}
			got := r.await(t, before+1)[before]
			for _, secret := range secrets {
				valid = append(valid, verifyAnyTime(t, got, secret) == nil)
			}
			return valid, len(strings.Fields(got.header.Get("Webhook-Signature")))
		}
		second := call(t, f.fixture, subjects.RotateWebhookSecret, ada, subjects.RotateWebhookSecretRequest{WebhookID: first.ID})
		if second.Secret == first.Secret || !strings.HasPrefix(second.Secret, "whsec_") || second.OldSecretUntil == nil {
			t.Errorf("rotated: %+v", second)
		}
		if valid, n := signed(first.Secret, second.Secret); !valid[0] || !valid[1] || n != 2 {
			t.Errorf("in the overlap: %v, %d signatures", valid, n)
		}
		clock.Advance(24*time.Hour + time.Minute)
		ada = f.user(t, user)
		if valid, n := signed(first.Secret, second.Secret); valid[0] || !valid[1] || n != 1 {
			t.Errorf("after a day: %v, %d signatures", valid, n)
		}
		if w := f.webhook(t, ada, first.ID); w.OldSecretUntil != nil {
			t.Errorf("after a day: %+v", w)
		}
		third := call(t, f.fixture, subjects.RotateWebhookSecret, ada, subjects.RotateWebhookSecretRequest{WebhookID: first.ID, AtOnce: true})
		if valid, n := signed(second.Secret, third.Secret); valid[0] || !valid[1] || n != 1 || third.OldSecretUntil != nil {
			t.Errorf("at once: %v, %d signatures", valid, n)
		}
	})
}

// TestRotationOfKeys: both public keys are published in the overlap.
func TestRotationOfKeys(t *testing.T) {
	f := setupHooks(t, actortest.Databases(t)[0], nil)
	ada, r := f.user(t, actortest.User()), newReceiver(t)
	first := f.register(t, ada, subjects.RegisterWebhookRequest{URL: r.URL, Signature: "v1a"})
	second := call(t, f.fixture, subjects.RotateWebhookSecret, ada, subjects.RotateWebhookSecretRequest{WebhookID: first.ID})
	if second.PublicKey == first.PublicKey || second.OldPublicKey != first.PublicKey || f.webhook(t, ada, first.ID).OldPublicKey != first.PublicKey {
		t.Errorf("rotated %+v to %+v", first, second)
	}
}

// TestCondition: an event for which the condition is false, or fails, is not delivered; a failure is counted at the webhook.
func TestCondition(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupHooks(t, database, nil)
		user := actortest.User()
		ada, r := f.user(t, user), newReceiver(t)
		hook := f.register(t, ada, subjects.RegisterWebhookRequest{
			URL: r.URL, Events: []string{"integration.connected"}, Condition: `if .data.label == "bad" then error("no") else .data.label != "other" end`,
		})
		f.connected(t, user, "bad")
		f.connected(t, user, "other")
		good := f.connected(t, user, "good")
		got := r.await(t, 1)
		if got[0].payload.Data["integration_id"] != good {
			t.Errorf("got %s", got[0].body)
		}
		actortest.Eventually(t, "the error is counted", func() bool { return f.webhook(t, ada, hook.ID).ConditionErrors == 1 })
		if w := f.webhook(t, ada, hook.ID); !strings.Contains(w.LastConditionError, "no") || w.FailingSince != nil {
			t.Errorf("the webhook is %+v", w)
		}
		changed := f.update(t, ada, subjects.UpdateWebhookRequest{WebhookID: hook.ID, Condition: subjects.Some("true")})
		if changed.ConditionErrors != 0 || changed.LastConditionError != "" {
			t.Errorf("with another condition: %+v", changed)
		}
		f.connected(t, user, "bad")
		r.await(t, 2)
	})
}
