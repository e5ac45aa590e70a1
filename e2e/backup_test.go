package e2e_test

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun/driver/pgdriver"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

// backupLoaded is how many operations of each kind are acknowledged before a backup begins.
const backupLoaded = 10

// backupSettings are those of a weft that is backed up.
func backupSettings() []string {
	return []string{"WEFT_AUTH_ACCESS_TTL=24h", "WEFT_LOG_LEVEL=warn", "WEFT_METRICS_PORT=-1", "WEFT_GATEWAY_LIMITS_ENABLED=false"}
}

// runWeft runs a weft command and returns what it prints, and its exit code.
func runWeft(t testing.TB, settings []string, args ...string) (out string, code int) {
	t.Helper()
	path, err := weftBinary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = cleanEnvironment(settings...)
	text, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// mustWeft is runWeft for a command that must succeed.
func mustWeft(t testing.TB, settings []string, args ...string) string {
	t.Helper()
	out, code := runWeft(t, settings, args...)
	if code != 0 {
		t.Fatalf("weft %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// passphraseFile writes a passphrase to a file.
func passphraseFile(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(file, []byte("correct horse battery staple\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestBackupUnderLoad backs up a running weft while clients sign in, run workflows, send notifications and change consents. A restored copy on other ports has
// everything that was acknowledged before the backup began, once.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	data, passphrase, file := t.TempDir(), passphraseFile(t), filepath.Join(t.TempDir(), "weft.tar")
	weft := startWeft(t, data, backupSettings()...)
	load := startBackupLoad(t, weft.ready.HTTP)
	defer load.stop()
	actortest.Eventually(t, "load", func() bool { return load.count() > backupLoaded || t.Failed() })
	began := time.Now()
	out := mustWeft(t, nil, "backup", "--data", data, "--passphrase-file", passphrase, file)
	load.stop()
	weft.kill()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the archive has %v, %v", info, err)
	}
	t.Log(out)
	if verdict := mustWeft(t, nil, "backup", "verify", "--passphrase-file", passphrase, file); !strings.Contains(verdict, "can be restored") {
		t.Error(verdict)
	}
	restored := filepath.Join(t.TempDir(), "data")
	mustWeft(t, nil, "restore", "--data", restored, "--passphrase-file", passphrase, file)
	again := startWeft(t, restored, backupSettings()...)
	load.verify(t, again.ready.HTTP, began)
	verifyLedger(t, again.ready.HTTP)
	if out, code := runWeft(t, nil, "restore", "--data", restored, "--passphrase-file", passphrase, file); code != 1 || !strings.Contains(out, "empty place") {
		t.Errorf("restoring into a folder that is in use: %d, %s", code, out)
	}
}

// verifyLedger verifies the ledger of a running weft.
func verifyLedger(t testing.TB, url string) {
	t.Helper()
	key := filepath.Join(t.TempDir(), "weft.key")
	if err := os.WriteFile(key, newClient(url).must(t, 200, "GET", "/v1/consents/ledger/key", nil).body, 0o600); err != nil {
		t.Fatal(err)
	}
	mustWeft(t, nil, "ledger", "verify", url, "--key", key)
}

// TestBackupUnderLoadOnPostgres is TestBackupUnderLoad with PostgreSQL: the archive has the streams and keys, and pg_dump the databases of the same moment.
func TestBackupUnderLoadOnPostgres(t *testing.T) {
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		if kind.Name == database.DialectPostgres {
			backUpPostgresUnderLoad(t, kind)
		}
	}
}

func backUpPostgresUnderLoad(t *testing.T, kind actortest.Database) {
	t.Helper()
	dsn := postgresSchemas(t, kind)
	server, prefix := splitSchemaPrefix(t, dsn)
	settings := append(backupSettings(), "WEFT_DATABASE_URL="+dsn)
	data, passphrase, dir := t.TempDir(), passphraseFile(t), t.TempDir()
	weft := startWeft(t, data, settings...)
	load := startBackupLoad(t, weft.ready.HTTP)
	defer load.stop()
	actortest.Eventually(t, "load", func() bool { return load.count() > backupLoaded || t.Failed() })
	file := filepath.Join(dir, "streams.tar")
	if out, code := runWeft(t, settings, "backup", "--data", data, "--passphrase-file", passphrase, file); code != 2 || !strings.Contains(out, "--streams-only") {
		t.Errorf("without --streams-only: %d, %s", code, out)
	}
	began := time.Now()
	dump := `pg_dump --dbname="` + server + `" --format=custom --snapshot="$WEFT_BACKUP_SNAPSHOT" --schema="` + prefix + `*" --file="` + dir + `/weft.dump"`
	t.Log(mustWeft(t, settings, "backup", "--streams-only", "--data", data, "--passphrase-file", passphrase, "--dump", dump, file))
	load.stop()
	weft.kill()
	mustWeft(t, settings, "backup", "verify", "--passphrase-file", passphrase, file)
	copied := newPostgresDatabase(t, server)
	restore := exec.CommandContext(t.Context(), "pg_restore", "--dbname="+copied, "--exit-on-error", filepath.Join(dir, "weft.dump"))
	if out, err := restore.CombinedOutput(); err != nil {
		t.Fatalf("pg_restore: %v\n%s", err, out)
	}
	again := append(backupSettings(), "WEFT_DATABASE_URL="+copied+"&schema_prefix="+prefix)
	restored := filepath.Join(t.TempDir(), "data")
	mustWeft(t, again, "restore", "--data", restored, "--passphrase-file", passphrase, file)
	copyOf := startWeft(t, restored, again...)
	load.verify(t, copyOf.ready.HTTP, began)
	verifyLedger(t, copyOf.ready.HTTP)
	copyOf.kill()
}

// newPostgresDatabase creates a database on a server until the test ends, and returns its URL.
func newPostgresDatabase(t testing.TB, server string) string {
	t.Helper()
	name := "weft_restored_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	admin := func(statement string) {
		t.Helper()
		pool := sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(server)))
		defer func() { _ = pool.Close() }()
		if _, err := pool.Exec(statement); err != nil {
			t.Error(err)
		}
	}
	admin("CREATE DATABASE " + name)
	t.Cleanup(func() { admin("DROP DATABASE " + name + " WITH (FORCE)") })
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}
