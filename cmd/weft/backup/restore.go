package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
)

// Target says how an archive is restored into a data folder.
type Target struct {
	// Dir is the data folder: absent or empty.
	Dir string
	// Migrations are those of each actor.
	Migrations map[string]fs.FS
	// Identities decrypt the keys. If the archive has none, KeysFrom is a folder that has them as a data folder has: nats/keys and keys.
	Identities []age.Identity
	KeysFrom   string
	Log        *zap.Logger
	Say        func(string)
}

// restoreFolder is where a data folder is made before its parts get their names.
const restoreFolder = ".weft-restore"

// Restore makes a data folder of an archive, for `weft up`, without databases that are on PostgreSQL. It reads all of the archive first, and
// puts nothing into the folder before everything is restored. What an interrupted restore leaves is the folder .weft-restore.
func (a *Archive) Restore(ctx context.Context, t Target) error {
	if err := checkEmpty(t.Dir); err != nil {
		return err
	}
	if len(a.Manifest.Databases) == 0 {
		return errors.New("the archive has streams only; --streams-only restores them into a running NATS server")
	}
	if err := errors.Join(a.Check(ctx, t.Say), a.checkVersions(t.Migrations)); err != nil {
		return err
	}
	keys, err := a.restoredKeys(t)
	if err != nil {
		return err
	}
	work := filepath.Join(t.Dir, restoreFolder)
	if err := os.MkdirAll(work, 0o700); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	if err := a.fill(ctx, work, keys, t); err != nil {
		return errors.Join(err, os.RemoveAll(work))
	}
	if err := moveInto(work, t.Dir); err != nil {
		return err // CheckComplete refuses the folder
	}
	// The configuration names the folder.
	if _, err := embedded.Init(filepath.Join(t.Dir, "nats"), embedded.Options{}); err != nil {
		return fmt.Errorf("writing the NATS server's configuration: %w", err)
	}
	return errors.Join(os.Remove(work), syncDir(t.Dir))
}

// CheckComplete returns an error for a data folder that a restore did not complete.
func CheckComplete(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, restoreFolder)); err == nil {
		return fmt.Errorf("the restore into %s was interrupted: remove the folder and restore again", dir)
	}
	return nil
}

// fill restores everything into a folder.
func (a *Archive) fill(ctx context.Context, work string, keys map[string][]byte, t Target) error {
	if err := writeKeys(work, keys); err != nil {
		return err
	}
	for actor, d := range a.Manifest.Databases {
		if d.Dialect != database.DialectSQLite {
			t.Say("the database of " + actor + " is on PostgreSQL, whose tools restore it")
			continue
		}
		if err := a.extractDatabase(ctx, actor, filepath.Join(work, actor+".db")); err != nil {
			return err
		}
		t.Say("restored the database of " + actor)
	}
	return a.restoreServer(ctx, filepath.Join(work, "nats"), t)
}

// checkEmpty returns ErrNotEmpty for a folder that has something in it.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking into %s: %w", dir, err)
	}
	for _, e := range entries {
		switch e.Name() {
		case "lost+found": // of a file system
		case restoreFolder:
			return fmt.Errorf("%w: %s has %s, which an interrupted restore has left; remove it", ErrNotEmpty, dir, restoreFolder)
		default:
			return fmt.Errorf("%w: %s has %s", ErrNotEmpty, dir, e.Name())
		}
	}
	return nil
}

// restoredKeys returns the keys of the archive, or those of another folder.
func (a *Archive) restoredKeys(t Target) (map[string][]byte, error) {
	if a.Manifest.Encrypted() && t.KeysFrom == "" {
		return a.Keys(t.Identities)
	}
	if t.KeysFrom == "" {
		return nil, fmt.Errorf("%w: the archive has no keys; --keys-from names a folder with nats/keys and keys, kept apart", ErrSecret)
	}
	names, err := KeyFiles(filepath.Join(t.KeysFrom, "nats"), "", filepath.Join(t.KeysFrom, "keys"))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for name, file := range names {
		if files[name], err = os.ReadFile(filepath.Clean(file)); err != nil {
			return nil, fmt.Errorf("reading the keys: %w", err)
		}
	}
	return files, nil
}

// RestoreKeys writes the keys of an archive into a folder as a data folder has them, with the configuration of a NATS server: nats and keys.
func (a *Archive) RestoreKeys(ctx context.Context, t Target, server embedded.Options) error {
	for _, name := range []string{"nats", "keys"} {
		if err := checkEmpty(filepath.Join(t.Dir, name)); err != nil {
			return err
		}
	}
	if err := a.Check(ctx, t.Say); err != nil {
		return err
	}
	keys, err := a.restoredKeys(t)
	if err != nil {
		return err
	}
	if err := writeKeys(t.Dir, keys); err != nil {
		return err
	}
	if _, err := embedded.Init(filepath.Join(t.Dir, "nats"), server); err != nil {
		return fmt.Errorf("writing the NATS server's configuration: %w", err)
	}
	return nil
}

// writeKeys writes the keys below a folder; those that are secret with mode 0600.
func writeKeys(dir string, keys map[string][]byte) error {
	for name, data := range keys {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("writing the keys: %w", err)
		}
		err := writeFile(path, bytes.NewReader(data))
		if err == nil && strings.HasPrefix(name, natsKeys) && strings.HasSuffix(name, ".json") {
			err = os.Chmod(path, 0o644) //nolint:gosec // public keys, which every process reads
		}
		if err != nil {
			return fmt.Errorf("writing the keys: %w", err)
		}
	}
	return nil
}

// restoreServer restores the streams by a NATS server that runs for that time only, on a free port.
func (a *Archive) restoreServer(ctx context.Context, dir string, t Target) error {
	if _, err := embedded.Init(dir, embedded.Options{Port: -1, Sync: embedded.SyncInterval}); err != nil {
		return fmt.Errorf("preparing a NATS server: %w", err)
	}
	nats, err := embedded.Start(ctx, dir, t.Log)
	if err != nil {
		return fmt.Errorf("starting a NATS server: %w", err)
	}
	if err := a.restoreInto(ctx, dir, nats, t); err != nil {
		nats.Shutdown()
		return err
	}
	nats.Shutdown()
	return syncAll(dir)
}

func (a *Archive) restoreInto(ctx context.Context, dir string, nats *embedded.Server, t Target) error {
	seed, err := embedded.LoadSeed(dir, mesh.UserMigrate)
	if err != nil {
		return err
	}
	keyring, err := embedded.LoadKeyring(dir)
	if err != nil {
		return err
	}
	conn, err := mesh.Connect(ctx, mesh.Options{
		URL: nats.ClientURL(), InProcess: nats, User: mesh.UserMigrate, Seed: seed, Keyring: keyring, Wait: 10 * time.Second,
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	return a.RestoreStreams(ctx, conn, 1, t.Say)
}

// syncAll writes every file below a folder to the disk: the server has synced them at intervals.
func syncAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncDir(path) // files are synced as folders are
	})
}

// moveInto gives the parts their names.
func moveInto(work, dir string) error {
	entries, err := os.ReadDir(work)
	if err != nil {
		return fmt.Errorf("naming the restored files: %w", err)
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(work, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("naming the restored files: %w", err)
		}
	}
	return nil
}
