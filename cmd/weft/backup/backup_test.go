package backup_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/cmd/weft/backup"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

// TestRestoreKeepsSequencesAndPositions: a stream whose beginning was deleted, and a durable that has acknowledged some messages, are the same after a restore, in
// another server with the same keys; and so are databases and files.
func TestRestoreKeepsSequencesAndPositions(t *testing.T) {
	t.Parallel()
	i := install(t)
	js := i.mesh.Conn(t, "workflow").JS
	for n := range 20 {
		if _, err := js.Publish(t.Context(), subjects.WorkflowLogSubject(n%2), fmt.Append(nil, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := js.Purge(t.Context(), subjects.WorkflowLog.Name, subjects.WorkflowLogSubject(0), 11); err != nil {
		t.Fatal(err)
	}
	consumed := consume(t, i.mesh)
	actortest.Exec(t, withoutLock(t, i, "auth"), "INSERT INTO things VALUES ('one')")
	target := i.target(t)
	a := open(t, i.create(t))
	if err := a.Restore(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"auth.db", "keys/auth.keyset.json", "nats/keys/workflow.nk", "nats/privileged.conf"} {
		if info, err := os.Stat(filepath.Join(target.Dir, file)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	dir := filepath.Join(target.Dir, "nats")
	server := serve(t, dir)
	conn := connect(t, dir, server.ClientURL(), "workflow")
	stream, err := conn.JS.Stream(t.Context(), subjects.WorkflowLog.Name)
	if err != nil {
		t.Fatal(err)
	}
	if s := stream.CachedInfo().State; s.FirstSeq != 2 || s.LastSeq != 20 || s.Msgs != 15 {
		t.Errorf("the log has %+v", s)
	}
	m, err := stream.GetMsg(t.Context(), 20)
	if err != nil || string(m.Data) != "19" || conn.JS.VerifyStored(m.Subject, m.Header, m.Data, m.Time) != nil {
		t.Errorf("the last entry is %v, %v", m, err)
	}
	durable, err := connect(t, dir, server.ClientURL(), consumed.Owner).JS.Consumer(t.Context(), consumed.Stream, consumed.Durable)
	if err != nil {
		t.Fatal(err)
	}
	if info := durable.CachedInfo(); info.AckFloor.Stream != 3 || info.NumPending+uint64(info.NumAckPending) != 2 {
		t.Errorf("the durable has %+v", info)
	}
	db, err := database.Open(t.Context(), database.Config{Actor: "auth", DataDir: target.Dir}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if n := actortest.Count(t, db, "things"); n != 1 {
		t.Errorf("%d rows", n)
	}
	if err := a.Restore(t.Context(), target); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("a second restore: %v", err)
	}
}

// withoutLock closes an actor's database, so that it can be opened again.
func withoutLock(t *testing.T, i *installation, actor string) database.Config {
	t.Helper()
	if err := i.dbs[actor].Close(); err != nil {
		t.Fatal(err)
	}
	return database.Config{Actor: actor, DataDir: i.data}
}

// consume publishes five events for a durable, which acknowledges three.
func consume(t *testing.T, m *actortest.Mesh) subjects.Consumer {
	t.Helper()
	for _, c := range subjects.Consumers() {
		if c.Stream != subjects.Events.Name {
			continue
		}
		subject := strings.NewReplacer("*", "x", ">", "x").Replace(c.Filter)
		author := mesh.StreamAuthor(subject)
		if author == "" {
			continue
		}
		for range 5 {
			if _, err := m.Conn(t, author).JS.Publish(t.Context(), subject, []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
		durable, err := m.Conn(t, c.Owner).JS.Consumer(t.Context(), c.Stream, c.Durable)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := durable.Fetch(3, jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for message := range batch.Messages() {
			if err := message.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	t.Fatal("no durable consumes events")
	return subjects.Consumer{}
}

// serve runs the NATS server of a restored folder on a free port.
func serve(t *testing.T, dir string) *embedded.Server {
	t.Helper()
	if _, err := embedded.Init(dir, embedded.Options{Port: -1}); err != nil {
		t.Fatal(err)
	}
	server, err := embedded.Start(t.Context(), dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	return server
}

func connect(t *testing.T, dir, url, user string) *mesh.Conn {
	t.Helper()
	seed, err := embedded.LoadSeed(dir, user)
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := embedded.LoadKeyring(dir)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := mesh.Connect(t.Context(), mesh.Options{URL: url, User: user, Seed: seed, Keyring: keyring, Wait: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// TestNoKeyIsLostWhileABucketIsRead changes every key of a bucket again and again while it is read, so that the revisions of the moment are deleted before
// they are read. After a restore each key has a value that is at least as late as the one that was acknowledged before.
func TestNoKeyIsLostWhileABucketIsRead(t *testing.T) {
	t.Parallel()
	i := install(t)
	spec := kv.AuthSessions
	bucket, err := kv.Open[[]int](t.Context(), i.mesh.Conn(t, "auth").JS, spec)
	if err != nil {
		t.Fatal(err)
	}
	const keys = 300
	padding := make([]int, 10_000) // 20 KB: the server sends no more than it may without an acknowledgement
	var latest [keys]atomic.Int64
	put := func(key, value int) {
		padding := append([]int{value}, padding...)
		if _, err := bucket.Put(t.Context(), fmt.Sprint("k", key), padding); err != nil {
			t.Error(err)
		}
		latest[key].Store(int64(value))
	}
	for key := range keys {
		put(key, 1)
	}
	var over atomic.Bool
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for value := 2; !over.Load() && !t.Failed(); value++ {
				for range keys / 4 { // at random, so that some are changed before the reader gets to them
					put(4*rand.IntN(keys/4)+w, value)
				}
			}
		})
	}
	var acknowledged [keys]int64
	for key := range keys {
		acknowledged[key] = latest[key].Load()
	}
	a := open(t, i.create(t))
	over.Store(true)
	writers.Wait()
	target := i.target(t)
	if err := a.Restore(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(target.Dir, "nats")
	server := serve(t, dir)
	restored, err := kv.Open[[]int](t.Context(), connect(t, dir, server.ClientURL(), "auth").JS, spec)
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for key := range keys {
		entry, err := restored.Get(t.Context(), fmt.Sprint("k", key))
		if err != nil || int64(entry.Value[0]) < acknowledged[key] || int64(entry.Value[0]) > latest[key].Load() {
			t.Errorf("key %d: %v, acknowledged was %d", key, err, acknowledged[key])
		} else if entry.Value[0] > 1 {
			changed++
		}
	}
	for _, s := range a.Manifest.Streams {
		if s.Name == spec.Stream() {
			t.Logf("%d keys changed, %d messages were added", changed, s.Added)
		}
	}
}

// TestDamageIsFound shortens an archive at several places, and changes a byte in each member and between them.
func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	i := install(t)
	consume(t, i.mesh)
	file := i.create(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if report, err := i.verify(t.Context(), t, file, i.identity); err != nil || report.Keys != "decrypted" || report.LedgerEntries != 0 || report.Messages != 5 {
		t.Fatalf("the whole archive: %+v, %v", report, err)
	}
	damaged := filepath.Join(t.TempDir(), "damaged.tar")
	expect := func(what string, content []byte) {
		t.Helper()
		if err := os.WriteFile(damaged, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := i.verify(t.Context(), t, damaged); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
		target := i.target(t)
		a, err := backup.Open(damaged)
		if err == nil {
			err = errors.Join(a.Restore(t.Context(), target), a.Close())
		}
		if _, exists := os.Stat(target.Dir); !errors.Is(err, backup.ErrDamaged) || exists == nil {
			t.Errorf("restoring %s: %v, %v", what, err, exists)
		}
	}
	for _, length := range []int{0, 1, 511, 512, 5000, len(whole) / 2, len(whole) - 2048, len(whole) - 2500} {
		expect(fmt.Sprintf("shortened to %d bytes", length), whole[:length])
	}
	a := open(t, file)
	for _, member := range a.Manifest.Members {
		at := bytes.Index(whole, []byte(member.Name+"\x00")) + 512 + int(member.Size)/2
		changed := bytes.Clone(whole)
		changed[at] ^= 1
		expect("a changed byte in "+member.Name, changed)
	}
	changed := bytes.Replace(whole, []byte(`"weft": "test"`), []byte(`"weft": "tess"`), 1)
	expect("a changed manifest", changed)
}

// TestRefusals: secrets that are others, formats and schemas that are newer, files that exist.
func TestRefusals(t *testing.T) {
	t.Parallel()
	i := install(t)
	file := i.create(t)
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.verify(t.Context(), t, file, other); !errors.Is(err, backup.ErrSecret) {
		t.Errorf("with another identity: %v", err)
	}
	target := i.target(t)
	for _, identities := range [][]age.Identity{nil, {other}} {
		target.Identities = identities
		if err := open(t, file).Restore(t.Context(), target); !errors.Is(err, backup.ErrSecret) {
			t.Errorf("restoring with %v: %v", identities, err)
		}
	}
	if _, err := backup.Create(t.Context(), file, i.source(t)); !errors.Is(err, backup.ErrExists) {
		t.Errorf("onto an existing file: %v", err)
	}
	older := migrations()
	older["consent"] = migrations()["auth"]
	a := open(t, file)
	_, err = a.Verify(t.Context(), backup.Check{Migrations: older, Temp: t.TempDir(), Say: func(string) {}})
	if !errors.Is(err, backup.ErrFormat) || !errors.Is(err, database.ErrSchemaNewer) {
		t.Errorf("a newer schema: %v", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	later := filepath.Join(t.TempDir(), "later.tar")
	if err := os.WriteFile(later, bytes.Replace(text, []byte(`"format": 1`), []byte(`"format": 9`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Open(later); !errors.Is(err, backup.ErrFormat) || !strings.Contains(err.Error(), "weft test made it") {
		t.Errorf("a later format: %v", err)
	}
	if text, err := json.Marshal(a.Manifest); err != nil || strings.Contains(string(text), "SUA") {
		t.Errorf("the manifest has a secret: %v", err)
	}
}

// TestPassphrase: the passphrase that encrypts the keys decrypts them.
func TestPassphrase(t *testing.T) {
	t.Parallel()
	i := install(t)
	source := i.source(t)
	recipient, err := backup.PassphraseRecipient("a passphrase")
	if err != nil {
		t.Fatal(err)
	}
	source.Recipients = []age.Recipient{recipient}
	file := filepath.Join(t.TempDir(), "weft.tar")
	if _, err := backup.Create(t.Context(), file, source); err != nil {
		t.Fatal(err)
	}
	for passphrase, want := range map[string]error{"a passphrase": nil, "another": backup.ErrSecret} {
		identities, err := backup.Identities("", passphrase)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, file).Keys(identities); !errors.Is(err, want) {
			t.Errorf("%s: %v", passphrase, err)
		}
	}
}

// TestTwoBackupsAtOnce makes several archives at the same time, two of them of the same name, of which one is made.
func TestTwoBackupsAtOnce(t *testing.T) {
	t.Parallel()
	i := install(t)
	dir := t.TempDir()
	left := filepath.Join(dir, ".weft-backup-123")
	if err := errors.Join(os.Mkdir(left, 0o700), os.WriteFile(filepath.Join(left, "archive"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	var made, refused atomic.Int64
	var all sync.WaitGroup
	for _, name := range []string{"one.tar", "same.tar", "same.tar"} {
		source := i.source(t)
		all.Go(func() {
			_, err := backup.Create(t.Context(), filepath.Join(dir, name), source)
			switch {
			case err == nil:
				made.Add(1)
			case errors.Is(err, backup.ErrExists):
				refused.Add(1)
			default:
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	all.Wait()
	if made.Load() != 2 || refused.Load() != 1 {
		t.Errorf("%d were made, %d refused", made.Load(), refused.Load())
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
	for _, name := range []string{"one.tar", "same.tar"} {
		if _, err := i.verify(t.Context(), t, filepath.Join(dir, name), i.identity); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAFailedBackupLeavesNothing: one whose context ends, or that cannot reach the streams.
func TestAFailedBackupLeavesNothing(t *testing.T) {
	t.Parallel()
	i := install(t)
	dir := t.TempDir()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	source := i.source(t)
	for what, try := range map[string]func() error{
		"an ended context": func() error {
			_, err := backup.Create(ended, filepath.Join(dir, "a.tar"), source)
			return err
		},
		"a user without the right": func() error {
			other := source
			other.Conn = i.mesh.Conn(t, "auth")
			limited, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_, err := backup.Create(limited, filepath.Join(dir, "b.tar"), other)
			return err
		},
	} {
		if err := try(); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
	// Writers are not held off any more.
	err := i.dbs["auth"].RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error {
		return actortest.AddThing(ctx, tx, "later")
	})
	if err != nil {
		t.Error(err)
	}
}
