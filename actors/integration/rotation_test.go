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

// keyset is a keyset file of a test's.
type keyset string

func withKeyset(k keyset) option {
	return func(_ *integration.Config, host *[]actortest.HostOption) {
		*host = append(*host, func(c *runtime.HostConfig) { c.KeysetFile = string(k) })
	}
}

// keys are the ids in the file, and the one that seals.
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

// rotation is what `weft keys rotate` does; said are its lines.
func (b *bundle) rotation(t *testing.T, db *database.DB, k keyset, said *[]string) seal.Rotation {
	t.Helper()
	return seal.Rotation{
		DB: db, KeysetFile: string(k), Sealed: append(integration.Sealed, idempotency.Sealed), Settle: 50 * time.Millisecond, Now: time.Now,
		Say: func(line string) { *said = append(*said, line) },
	}
}

// sealedBy counts the sealed values of the database by the key that sealed them.
func sealedBy(t *testing.T, db *database.DB) map[uint32]int {
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
			t.Errorf("nothing is sealed in %s.%s", table, column)
		}
		for _, value := range values {
			found[binary.BigEndian.Uint32(value[1:5])]++
		}
	}
	return found
}

// TestKeyRotation: what one key sealed is sealed with the next, through interruptions, and opens with that one alone.
func TestKeyRotation(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		v, vendor := newAuthorizer(t), newVendor(t, says(200, `{}`))
		k := keyset(filepath.Join(t.TempDir(), "keyset"))
		b := setup(t, kind, withAcme(t, v), withKeyset(k))
		_, ada := b.user(t)
		signedIn, withKey := b.signIn(t, v, ada, ""), b.connectTo(t, vendor, ada, "")
		hook := call(t, b, subjects.CreateHook, ada, subjects.CreateHookRequest{IntegrationID: withKey.ID})
		rotated := call(t, b, subjects.RotateHookSecret, ada, subjects.RotateHookSecretRequest{IntegrationID: withKey.ID, HookID: hook.ID})
		answer := b.keyed(t, ada, "a-key-of-ada", withKey.ID)
		file := b.upload(t, ada, content(10), subjects.CreateObjectRequest{})
		_, first := k.keys(t)

		stopped := kind.Name == database.DialectSQLite // beside a running weft on PostgreSQL
		if stopped {
			if err := b.host.Stop(t); err != nil {
				t.Fatal(err)
			}
		}
		db := actortest.OpenDatabase(t, b.db, integration.Migrations)
		if found := sealedBy(t, db); len(found) != 1 || found[first] != 7 {
			t.Fatalf("sealed by %v, with the key %d", found, first)
		}
		// Interrupted after each thing that it does, and gone on with.
		var said []string
		interrupted := 0
		for done := 0; ; done++ {
			ctx, cancel := context.WithCancelCause(t.Context())
			r, n := b.rotation(t, db, k, &said), 0
			r.Say = func(line string) {
				if said = append(said, line); n == done {
					cancel(errors.New("interrupted"))
				}
				n++
			}
			err := r.Run(ctx)
			cancel(nil)
			if !stopped {
				// Whoever runs meanwhile opens what there is, and seals with the key of the moment.
				call(t, b, subjects.ExecuteAction, ada, action(signedIn.ID, "get", `{"id":"1"}`))
				call(t, b, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: signedIn.ID})
			}
			if ids, _ := k.keys(t); err == nil && len(ids) == 1 {
				break
			}
			if interrupted++; interrupted > 20 {
				t.Fatalf("the rotation does not end: %v\n%s", err, strings.Join(said, "\n"))
			}
		}
		ids, second := k.keys(t)
		if len(ids) != 1 || second == first || interrupted < 3 {
			t.Errorf("the keys are %v, after %d interruptions; before it was %d\n%s", ids, interrupted, first, strings.Join(said, "\n"))
		}
		if found := sealedBy(t, db); len(found) != 1 || found[second] != 7 {
			t.Errorf("sealed by %v, with the key %d\n%s", found, second, strings.Join(said, "\n"))
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}

		// What starts now knows the second key alone.
		if !stopped {
			if err := b.host.Stop(t); err != nil {
				t.Fatal(err)
			}
		}
		b.start()
		call(t, b, subjects.ExecuteAction, ada, action(signedIn.ID, "get", `{"id":"1"}`))
		call(t, b, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: signedIn.ID})
		call(t, b, subjects.ExecuteAction, ada, action(withKey.ID, "get", `{"path":"/x"}`))
		call(t, b, subjects.ReceiveWebhook, mesh.As{}, standard(rotated, rotated.Secret, "d-1", time.Now(), `{"type":"a"}`))
		call(t, b, subjects.ReceiveWebhook, mesh.As{}, standard(rotated, hook.Secret, "d-2", time.Now(), `{"type":"a"}`))
		if again := b.keyed(t, ada, "a-key-of-ada", withKey.ID); again != answer {
			t.Errorf("under its key %s was answered, then %s", answer, again)
		}
		if got, _ := b.download(t, ada, file.ID); !bytes.Equal(got, content(10)) {
			t.Error("a file does not open any more")
		}
	})
}

// keyed executes under an idempotency key and is what that answered.
func (b *bundle) keyed(t *testing.T, as mesh.As, key, connection string) string {
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

// TestKeyRotationByStep: each run does one thing, for files that are copied in between.
func TestKeyRotationByStep(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		k, db := keyset(filepath.Join(t.TempDir(), "keyset")), kind.Open(t, "integration", integration.Migrations)
		if _, err := seal.Open(string(k)); err != nil {
			t.Fatal(err)
		}
		_, first := k.keys(t)
		var said []string
		r := (&bundle{}).rotation(t, db, k, &said)
		r.Step = true
		for step, want := range []func(ids []uint32, primary uint32) bool{
			func(ids []uint32, primary uint32) bool { return len(ids) == 2 && primary == first },
			func(ids []uint32, primary uint32) bool { return len(ids) == 2 && primary == ids[1] && primary != first },
			func(ids []uint32, primary uint32) bool { return len(ids) == 1 && primary == ids[0] && primary != first },
		} {
			if err := r.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if ids, primary := k.keys(t); !want(ids, primary) {
				t.Errorf("after step %d the keys are %v, and %d seals; first it was %d", step+1, ids, primary, first)
			}
		}
	})
}

// TestKeyRotationKeepsWhatItCannotOpen: a value that its own key does not open keeps that key.
func TestKeyRotationKeepsWhatItCannotOpen(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		vendor := newVendor(t, says(200, `{}`))
		k := keyset(filepath.Join(t.TempDir(), "keyset"))
		b := setup(t, kind, withKeyset(k))
		_, ada := b.user(t)
		c := b.connectTo(t, vendor, ada, "")
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
		set("somebody else") // a sealed value that was moved
		var said []string
		r := b.rotation(t, db, k, &said)
		if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "connections.credentials") || !strings.Contains(err.Error(), c.ID) {
			t.Errorf("what was moved: %v", err)
		}
		if ids, _ := k.keys(t); !slices.Contains(ids, first) {
			t.Errorf("the keys are %v, without %d, which has sealed something", ids, first)
		}
		set(owner)
		if err := r.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ids, _ := k.keys(t); len(ids) != 1 || ids[0] == first {
			t.Errorf("the keys are %v, want another one than %d", ids, first)
		}
	})
}
