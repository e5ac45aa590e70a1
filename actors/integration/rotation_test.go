package integration_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// keyset is the path of a keyset file.
type keyset string

func withKeyset(k keyset) option {
	return func(_ *integration.Config, host *[]actortest.HostOption) {
		*host = append(*host, func(c *runtime.HostConfig) { c.KeysetFile = string(k) })
	}
}

// keys returns the ids of the keys in the file, and the id of the primary key.
func (k keyset) keys(t *testing.T) (ids []uint32, primary uint32) {
	t.Helper()
	data, err := os.ReadFile(string(k))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		PrimaryKeyID uint32 `json:"primaryKeyId"`
		Key          []struct {
			KeyID uint32 `json:"keyId"`
		} `json:"key"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for _, key := range file.Key {
		ids = append(ids, key.KeyID)
	}
	return ids, file.PrimaryKeyID
}

// rotation is the rotation that `weft keys rotate` makes. Its output is appended to output.
func (b *fixture) rotation(t *testing.T, db *database.DB, k keyset, output *[]string) seal.Rotation {
	t.Helper()
	return seal.Rotation{
		DB: db, KeysetFile: string(k), Sealed: append(integration.Sealed, idempotency.Sealed), Settle: 50 * time.Millisecond, Now: time.Now,
		Say: func(line string) { *output = append(*output, line) },
	}
}

// sealingKeys counts the sealed values of the database by the id of the key that sealed them.
func sealingKeys(t *testing.T, db *database.DB) map[uint32]int {
	t.Helper()
	found := map[uint32]int{}
	for column, table := range map[string]string{
		"credentials": "connections", "tokens": "connections", "secret": "hooks", "old_secret": "hooks", "sealed": "weft_idempotency",
		"data_key": "objects",
	} {
		var values [][]byte
		if err := db.NewSelect().Table(table).Column(column).Where(column+" IS NOT NULL").Scan(t.Context(), &values); err != nil {
			t.Fatal(err)
		}
		if len(values) == 0 {
			t.Errorf("no sealed value in %s.%s", table, column)
		}
		for _, value := range values {
			found[binary.BigEndian.Uint32(value[1:5])]++
		}
	}
	return found
}

// TestKeyRotation tests that an interrupted rotation reseals all values with the new key, after which the new key suffices.
func TestKeyRotation(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		v, provider := newOAuthServer(t), newFakeProvider(t, respond(200, `{}`))
		k := keyset(filepath.Join(t.TempDir(), "keyset"))
		b := setup(t, kind, withAcme(t, v), withKeyset(k))
		_, ada := b.user(t)
		oauth, apiKey := b.authorize(t, v, ada, ""), b.connectTo(t, provider, ada, "")
		hook := call(t, b, subjects.CreateHook, ada, subjects.CreateHookRequest{IntegrationID: apiKey.ID})
		rotated := call(t, b, subjects.RotateHookSecret, ada, subjects.RotateHookSecretRequest{IntegrationID: apiKey.ID, HookID: hook.ID})
		answer := b.executeWithKey(t, ada, "a-key-of-ada", apiKey.ID)
		file := b.upload(t, ada, content(10), subjects.CreateObjectRequest{})
		_, first := k.keys(t)

		stopped := kind.Name == database.DialectSQLite // on PostgreSQL the actor keeps running
		if stopped {
			if err := b.host.Stop(t); err != nil {
				t.Fatal(err)
			}
		}
		db := actortest.OpenDatabase(t, b.db, integration.Migrations)
		if found := sealingKeys(t, db); len(found) != 1 || found[first] != 7 {
			t.Fatalf("sealed by %v, want key %d", found, first)
		}
		// Interrupt the rotation after each of its steps and resume it.
		var output []string
		interrupted := 0
		for done := 0; ; done++ {
			ctx, cancel := context.WithCancelCause(t.Context())
			r, n := b.rotation(t, db, k, &output), 0
			r.Say = func(line string) {
				if output = append(output, line); n == done {
					cancel(errors.New("interrupted"))
				}
				n++
			}
			err := r.Run(ctx)
			cancel(nil)
			if !stopped {
				// A running actor opens values of either key and seals with the primary one.
				call(t, b, subjects.ExecuteAction, ada, action(oauth.ID, "get", `{"id":"1"}`))
				call(t, b, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: oauth.ID})
			}
			if ids, _ := k.keys(t); err == nil && len(ids) == 1 {
				break
			}
			if interrupted++; interrupted > 20 {
				t.Fatalf("the rotation does not complete: %v\n%s", err, strings.Join(output, "\n"))
			}
		}
		ids, second := k.keys(t)
		if len(ids) != 1 || second == first || interrupted < 3 {
			t.Errorf("the keys are %v after %d interruptions, the old one was %d\n%s", ids, interrupted, first, strings.Join(output, "\n"))
		}
		if found := sealingKeys(t, db); len(found) != 1 || found[second] != 7 {
			t.Errorf("sealed by %v, want key %d\n%s", found, second, strings.Join(output, "\n"))
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}

		// A process that starts now has the new key only.
		if !stopped {
			if err := b.host.Stop(t); err != nil {
				t.Fatal(err)
			}
		}
		b.start()
		call(t, b, subjects.ExecuteAction, ada, action(oauth.ID, "get", `{"id":"1"}`))
		call(t, b, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: oauth.ID})
		call(t, b, subjects.ExecuteAction, ada, action(apiKey.ID, "get", `{"path":"/x"}`))
		call(t, b, subjects.ReceiveWebhook, mesh.As{}, standardDelivery(rotated, rotated.Secret, "d-1", time.Now(), `{"type":"a"}`))
		call(t, b, subjects.ReceiveWebhook, mesh.As{}, standardDelivery(rotated, hook.Secret, "d-2", time.Now(), `{"type":"a"}`))
		if again := b.executeWithKey(t, ada, "a-key-of-ada", apiKey.ID); again != answer {
			t.Errorf("the replies for one idempotency key are %s and %s", answer, again)
		}
		if got, _ := b.download(t, ada, file.ID); !bytes.Equal(got, content(10)) {
			t.Error("a file cannot be opened")
		}
	})
}

// executeWithKey executes an action with an idempotency key and returns the reply.
func (b *fixture) executeWithKey(t *testing.T, as mesh.As, key, connection string) string {
	t.Helper()
	data, err := json.Marshal(action(connection, "get", `{"path":"/keyed"}`))
	if err != nil {
		t.Fatal(err)
	}
	reply, err := b.caller.Forward(t.Context(), subjects.ExecuteAction.Subject, nats.Header{
		mesh.HeaderAuthorization: {"Bearer " + as.Token}, mesh.HeaderIdempotencyKey: {key},
	}, data)
	if err != nil {
		t.Fatal(err)
	}
	return string(reply.Data)
}

// TestKeyRotationByStep tests the rotation in single steps, between which operators copy the keyset file.
func TestKeyRotationByStep(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		k, db := keyset(filepath.Join(t.TempDir(), "keyset")), kind.Open(t, "integration", integration.Migrations)
		if _, err := seal.Open(string(k)); err != nil {
			t.Fatal(err)
		}
		_, first := k.keys(t)
		var output []string
		r := (&fixture{}).rotation(t, db, k, &output)
		r.Step, r.Settle = true, 0 // with it, the run after a copy only records the copy
		for step, want := range []func(ids []uint32, primary uint32) bool{
			func(ids []uint32, primary uint32) bool { return len(ids) == 2 && primary == first },
			func(ids []uint32, primary uint32) bool { return len(ids) == 2 && primary == ids[1] && primary != first },
			func(ids []uint32, primary uint32) bool { return len(ids) == 1 && primary == ids[0] && primary != first },
		} {
			if err := r.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if ids, primary := k.keys(t); !want(ids, primary) {
				t.Errorf("after step %d the keys are %v with primary %d; the old one was %d", step+1, ids, primary, first)
			}
		}
	})
}

// TestKeyRotationWithUnopenableValue tests that a key is not deleted while a value of it cannot be opened.
func TestKeyRotationWithUnopenableValue(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		provider := newFakeProvider(t, respond(200, `{}`))
		k := keyset(filepath.Join(t.TempDir(), "keyset"))
		b := setup(t, kind, withKeyset(k))
		_, ada := b.user(t)
		c := b.connectTo(t, provider, ada, "")
		if err := b.host.Stop(t); err != nil {
			t.Fatal(err)
		}
		db := actortest.OpenDatabase(t, b.db, integration.Migrations)
		set := func(user string) {
			t.Helper()
			err := db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error {
				_, err := tx.NewUpdate().Table("connections").Set("user_id = ?", user).Where("id = ?", c.ID).Exec(ctx)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		var owner string
		if err := db.NewSelect().Table("connections").Column("user_id").Where("id = ?", c.ID).Scan(t.Context(), &owner); err != nil {
			t.Fatal(err)
		}
		_, first := k.keys(t)
		set("another-user") // the sealed value does not belong to this row any more
		var output []string
		r := b.rotation(t, db, k, &output)
		if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "connections.credentials") || !strings.Contains(err.Error(), c.ID) {
			t.Errorf("with a moved value: %v", err)
		}
		if ids, _ := k.keys(t); !slices.Contains(ids, first) {
			t.Errorf("the keys are %v, without %d, which has sealed a value", ids, first)
		}
		set(owner)
		if err := r.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ids, _ := k.keys(t); len(ids) != 1 || ids[0] == first {
			t.Errorf("the keys are %v, want one other than %d", ids, first)
		}
	})
}
