package notification_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/subjects"
)

// TestKeyRotationKeepsWebhooks: after a rotation of the keys at rest, a webhook has its secrets and headers, sealed with the new key.
func TestKeyRotationKeepsWebhooks(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupHooks(t, database, nil)
		ada, r := f.user(t, actortest.User()), newReceiver(t)
		hook := f.register(t, ada, subjects.RegisterWebhookRequest{URL: r.URL, Headers: map[string]subjects.SecretText{"X-Tenant": "t-17"}})
		second := call(t, f.fixture, subjects.RotateWebhookSecret, ada, subjects.RotateWebhookSecretRequest{WebhookID: hook.ID})
		f.stop(t)
		before := actortest.Dump(t, f.db)

		db := actortest.OpenDatabase(t, f.db, notification.Migrations)
		var output []string
		rotation := seal.Rotation{
			DB: db, KeysetFile: f.keyset, Sealed: notification.Sealed, Settle: time.Millisecond, Now: time.Now, Say: func(line string) { output = append(output, line) },
		}
		if err := rotation.Run(t.Context()); err != nil {
			t.Fatalf("rotating: %v\n%s", err, strings.Join(output, "\n"))
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if actortest.Dump(t, f.db) == before {
			t.Error("nothing was sealed anew")
		}
		f.host = f.run(t)
		test := call(t, f.fixture, subjects.TestWebhook, ada, subjects.TestWebhookRequest{WebhookID: hook.ID})
		if !test.Succeeded {
			t.Fatalf("a test: %+v", test)
		}
		got := r.await(t, 1)[0]
		if got.verify(t, hook.Secret) != nil || got.verify(t, second.Secret) != nil || got.header.Get("X-Tenant") != "t-17" {
			t.Errorf("got %v", got.header)
		}
	})
}
