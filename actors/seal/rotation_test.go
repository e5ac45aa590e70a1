package seal_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/seal"
)

// secretsMigrations has a table with a sealed column of bytes and one of base64 text.
var secretsMigrations = fstest.MapFS{
	"0001_secrets.sqlite.sql":   {Data: []byte(secretsTable("BLOB"))},
	"0001_secrets.postgres.sql": {Data: []byte(secretsTable("BYTEA"))},
}

func secretsTable(bytes string) string {
	return `CREATE TABLE secrets (id TEXT NOT NULL, part TEXT NOT NULL, owner TEXT NOT NULL, value ` + bytes + `, text TEXT,
		PRIMARY KEY (id, part))`
}

// secretRow is a row of secrets.
type secretRow struct {
	bun.BaseModel `bun:"table:secrets"`

	ID, Part, Owner string
	Value           []byte
	Text            *string
}

var secretColumns = []seal.Column{
	{Table: "secrets", Column: "value", Key: []string{"id", "part"}, Associated: associated("value")},
	{Table: "secrets", Column: "text", Key: []string{"id", "part"}, With: []string{"owner"}, Base64: true, Associated: associated("text")},
}

func associated(column string) func([]string) []byte {
	return func(values []string) []byte { return []byte("secrets." + column + "/" + strings.Join(values, "/")) }
}

// vault is a database of secrets with its keyset file.
type vault struct {
	db   *database.DB
	path string
	said []string
}

func newVault(t *testing.T, kind actortest.Database) *vault {
	t.Helper()
	return &vault{db: kind.Open(t, "auth", secretsMigrations), path: filepath.Join(t.TempDir(), "keyset.json")}
}

func (v *vault) rotation() seal.Rotation {
	return seal.Rotation{
		DB: v.db, KeysetFile: v.path, Sealed: secretColumns, Now: time.Now, Say: func(line string) { v.said = append(v.said, line) },
	}
}

func (v *vault) sealer(t *testing.T) *seal.Sealer {
	t.Helper()
	s, err := seal.Open(v.path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// add inserts rows whose values are sealed by s, and one row without values.
func (v *vault) add(t *testing.T, s *seal.Sealer, prefix string, rows int) {
	t.Helper()
	list := []secretRow{{ID: prefix + "-empty", Part: "a", Owner: "nobody"}}
	for i := range rows {
		row := secretRow{ID: fmt.Sprintf("%s-%03d", prefix, i/2), Part: string(rune('a' + i%2)), Owner: fmt.Sprint("owner", i)}
		value, err := s.Seal([]byte("value of "+row.ID+row.Part), associated("value")([]string{row.ID, row.Part}))
		if err != nil {
			t.Fatal(err)
		}
		text, err := s.Seal([]byte("text of "+row.ID+row.Part), associated("text")([]string{row.ID, row.Part, row.Owner}))
		if err != nil {
			t.Fatal(err)
		}
		encoded := base64.StdEncoding.EncodeToString(text)
		row.Value, row.Text = value, &encoded
		list = append(list, row)
	}
	err := v.db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(&list).Exec(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// check opens every value with s and returns the ids of the keys that have sealed them.
func (v *vault) check(t *testing.T, s *seal.Sealer) (keys []uint32) {
	t.Helper()
	var rows []secretRow
	if err := v.db.NewSelect().Model(&rows).Where("value IS NOT NULL").Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		text, err := base64.StdEncoding.DecodeString(*row.Text)
		if err != nil {
			t.Fatal(err)
		}
		for want, c := range map[string]struct{ sealed, associated []byte }{
			"value of " + row.ID + row.Part: {row.Value, associated("value")([]string{row.ID, row.Part})},
			"text of " + row.ID + row.Part:  {text, associated("text")([]string{row.ID, row.Part, row.Owner})},
		} {
			if plain, err := s.Open(c.sealed, c.associated); err != nil || string(plain) != want {
				t.Errorf("%q, %v, want %q", plain, err, want)
			}
			if key := binary.BigEndian.Uint32(c.sealed[1:5]); !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// keysetKeys returns the ids of the keys in the file, and the primary one.
func (v *vault) keysetKeys(t *testing.T) (ids []uint32, primary uint32) {
	t.Helper()
	data, err := os.ReadFile(v.path)
	if err != nil {
		t.Fatal(err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range handle.KeysetInfo().GetKeyInfo() {
		ids = append(ids, key.GetKeyId())
	}
	return ids, handle.KeysetInfo().GetPrimaryKeyId()
}

func TestRotation(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		v := newVault(t, kind)
		running := v.sealer(t)
		v.add(t, running, "s", 450) // three batches
		old := v.check(t, running)
		if err := v.rotation().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		ids, primary := v.keysetKeys(t)
		if len(ids) != 1 || ids[0] != primary || slices.Contains(old, primary) {
			t.Errorf("the keyset has %v with primary %d, want one new key", ids, primary)
		}
		for name, s := range map[string]*seal.Sealer{"a new sealer": v.sealer(t), "a running sealer": running} {
			if keys := v.check(t, s); !slices.Equal(keys, ids) {
				t.Errorf("%s: the values are sealed with %v, want %v", name, keys, ids)
			}
		}
		if said := strings.Join(v.said, "\n"); !strings.Contains(said, "secrets.value: 450 seen, 450 sealed again") ||
			!strings.Contains(said, "secrets.text: 450 seen, 450 sealed again") {
			t.Errorf("it reports:\n%s", said)
		}
		if n := actortest.Count(t, v.db, "secrets"); n != 451 {
			t.Errorf("%d rows", n)
		}
	})
}

// Step makes one step per run, so that the file can be copied to other machines in between. At no time a machine with the file of the
// step before or after has a value that it cannot open.
func TestRotationBySteps(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		v := newVault(t, kind)
		before := v.sealer(t)
		v.add(t, before, "first", 2)
		r := v.rotation()
		r.Step = true
		_, firstKey := v.keysetKeys(t)
		step := func() (ids []uint32, primary uint32) {
			t.Helper()
			if err := r.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			return v.keysetKeys(t)
		}
		ids, primary := step()
		if len(ids) != 2 || primary != firstKey {
			t.Fatalf("after adding a key: %v, primary %d, want the old key %d as primary", ids, primary, firstKey)
		}
		v.add(t, v.sealer(t), "second", 2)
		if ids, primary = step(); len(ids) != 2 || primary != ids[1] {
			t.Fatalf("after the second step: %v, primary %d, want the new key", ids, primary)
		}
		v.add(t, v.sealer(t), "third", 2)
		if keys := v.check(t, v.sealer(t)); len(keys) != 2 {
			t.Errorf("values are sealed with %v, want both keys", keys)
		}
		if ids, primary = step(); len(ids) != 1 || ids[0] != primary || primary == firstKey {
			t.Fatalf("after the third step: %v, primary %d", ids, primary)
		}
		if keys := v.check(t, v.sealer(t)); !slices.Equal(keys, ids) {
			t.Errorf("values are sealed with %v, want %v", keys, ids)
		}
	})
}

// Another machine may seal with the old key until the operator has copied the file to it, so the old key is kept for Settle from
// the run after the copy on.
func TestRotationByStepsWaitsForTheCopies(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, kind actortest.Database) {
		v := newVault(t, kind)
		other := v.sealer(t)
		v.add(t, other, "first", 2)
		now := time.Now()
		r := v.rotation()
		r.Step, r.Settle, r.Now = true, time.Hour, func() time.Time { return now }
		run := func() int {
			t.Helper()
			if err := r.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			ids, _ := v.keysetKeys(t)
			return len(ids)
		}
		run()
		if n := run(); n != 2 {
			t.Fatalf("%d keys after the second step", n)
		}
		now = now.Add(3 * time.Hour) // the operator copies the file now
		if n := run(); n != 2 {
			t.Fatalf("%d keys at the first run after the copy, want both", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		r.Say = func(line string) {
			if strings.HasPrefix(line, "waiting ") {
				cancel()
			}
		}
		if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("at once after that run: %v, want a wait", err)
		}
		r.Say = func(string) {}
		now = now.Add(2 * time.Hour)
		if n := run(); n != 1 {
			t.Errorf("%d keys in the end", n)
		}
		if _, err := os.Stat(v.path + ".copied"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the record of the copy is left: %v", err)
		}
	})
}

// A value that cannot be opened with its key stops the rotation and keeps the old key.
func TestRotationKeepsKeysOfUnreadableValues(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		v := newVault(t, kind)
		v.add(t, v.sealer(t), "s", 4)
		err := v.db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error { // moves a value to another row
			_, err := tx.ExecContext(ctx, "UPDATE secrets SET value = (SELECT value FROM secrets WHERE id = 's-000' AND part = 'a') WHERE id = 's-001' AND part = 'b'")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := v.rotation().Run(t.Context()); err == nil || !strings.Contains(err.Error(), "row [s-001 b]") {
				t.Errorf("%v, want an error that names the row", err)
			}
			if ids, primary := v.keysetKeys(t); len(ids) != 2 || primary != ids[1] {
				t.Errorf("the keyset has %v with primary %d, want both keys", ids, primary)
			}
		}
	})
}

// Values of keys that are not in the file cannot be opened before and after: they are reported and left unchanged.
func TestRotationLeavesForeignValues(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		v := newVault(t, kind)
		foreign := actortest.Sealer(t)
		v.sealer(t)
		v.add(t, foreign, "foreign", 3)
		if err := v.rotation().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		v.check(t, foreign)
		if said := strings.Join(v.said, "\n"); !strings.Contains(said, "secrets.value: 3 are sealed with keys that are not in the file") {
			t.Errorf("it reports:\n%s", said)
		}
	})
}

// On PostgreSQL the old key is kept until other processes can no longer write values sealed with it. On SQLite there is no other
// process.
func TestRotationWaitsForOtherProcesses(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		v := newVault(t, kind)
		v.add(t, v.sealer(t), "s", 2)
		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		r := v.rotation()
		r.Settle = time.Hour
		r.Say = func(line string) {
			if strings.HasPrefix(line, "waiting ") {
				cancel(stopped)
			}
		}
		err := r.Run(ctx)
		ids, _ := v.keysetKeys(t)
		if kind.Name == database.DialectSQLite {
			if err != nil || len(ids) != 1 {
				t.Errorf("%v, %d keys, want a finished rotation", err, len(ids))
			}
			return
		}
		if !errors.Is(err, stopped) || len(ids) != 2 {
			t.Errorf("%v, %d keys, want both keys while it waits", err, len(ids))
		}
		r.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
		if err := r.Run(t.Context()); err != nil {
			t.Errorf("two hours later: %v", err)
		}
		if ids, _ := v.keysetKeys(t); len(ids) != 1 {
			t.Errorf("two hours later there are %d keys", len(ids))
		}
	})
}

func TestRotationRefuses(t *testing.T) {
	t.Parallel()
	v := newVault(t, actortest.Databases(t)[0])
	if err := v.rotation().Run(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a keyset: %v", err)
	}
	v.sealer(t)
	release, err := database.LockFile(v.path + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	if err := v.rotation().Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another rotation") {
		t.Errorf("during another rotation: %v", err)
	}
	_ = release()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.rotation().Run(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("with a canceled context: %v", err)
	}

	// Values of a key without a prefix do not tell which key has sealed them.
	handle, err := keyset.NewHandle(aead.AES256GCMNoPrefixKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&raw)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(v.path, raw.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.rotation().Run(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be rotated") {
		t.Errorf("with a key without a prefix: %v", err)
	}
}
