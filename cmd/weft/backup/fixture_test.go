package backup_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"filippo.io/age"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/cmd/weft/backup"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// installation is a NATS server, the databases of all actors, and keys.
type installation struct {
	mesh      *actortest.Mesh
	data      string
	databases []database.Config
	dbs       map[string]*database.DB
	identity  *age.X25519Identity
}

// migrations has what a test needs of each actor.
func migrations() map[string]fs.FS {
	list := map[string]fs.FS{"consent": consent.Migrations}
	for _, actor := range subjects.Actors() {
		if list[actor] == nil {
			list[actor] = fstest.MapFS{"0001_things.sql": {Data: []byte("CREATE TABLE things (id TEXT PRIMARY KEY)")}}
		}
	}
	return list
}

func install(t *testing.T) *installation {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	i := &installation{mesh: actortest.Start(t, actortest.Quiet()), data: t.TempDir(), dbs: map[string]*database.DB{}, identity: identity}
	if err := os.Mkdir(filepath.Join(i.data, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, actor := range subjects.Actors() {
		cfg := database.Config{Actor: actor, DataDir: i.data}
		i.databases = append(i.databases, cfg)
		i.dbs[actor] = actortest.OpenDatabase(t, cfg, migrations()[actor])
		if err := os.WriteFile(filepath.Join(i.data, "keys", actor+".keyset.json"), []byte(actor), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

// source is what a backup of the installation is made of.
func (i *installation) source(t *testing.T) backup.Source {
	t.Helper()
	keys, err := backup.KeyFiles(i.mesh.Dir, "", filepath.Join(i.data, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	return backup.Source{
		Conn: i.mesh.Conn(t, mesh.UserBackup), Databases: i.databases, Keys: keys, Recipients: []age.Recipient{i.identity.Recipient()},
		Config: []byte("data: x\n"), Weft: "test", Say: func(string) {},
	}
}

// create makes an archive.
func (i *installation) create(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "weft.tar")
	if _, err := backup.Create(t.Context(), file, i.source(t)); err != nil {
		t.Fatal(err)
	}
	return file
}

func open(t *testing.T, file string) *backup.Archive {
	t.Helper()
	a, err := backup.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// verify opens and verifies an archive.
func (i *installation) verify(ctx context.Context, t *testing.T, file string, identities ...age.Identity) (backup.Report, error) {
	t.Helper()
	a, err := backup.Open(file)
	if err != nil {
		return backup.Report{}, err
	}
	defer func() { _ = a.Close() }()
	return a.Verify(ctx, backup.Check{Migrations: migrations(), Identities: identities, Temp: t.TempDir(), Say: func(string) {}})
}

// target is a new data folder to restore into.
func (i *installation) target(t *testing.T) backup.Target {
	t.Helper()
	return backup.Target{
		Dir: filepath.Join(t.TempDir(), "data"), Migrations: migrations(), Identities: []age.Identity{i.identity}, Log: zap.NewNop(), Say: func(string) {},
	}
}
