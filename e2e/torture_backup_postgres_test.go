//go:build torture

package e2e_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun/driver/pgdriver"

	"github.com/weftmesh/weft/actors/actortest"
)

// TestRecoveryToARestorePoint takes a base backup of PostgreSQL and then, under load, an archive of the streams. PostgreSQL is recovered to the archive's restore
// point from its archived log, the streams are restored, and everything that was acknowledged before the archive began is there, once.
func TestRecoveryToARestorePoint(t *testing.T) {
	p := newPostgresCluster(t)
	p.configure("data", p.port, "archive_mode = on", "archive_command = 'cp %p "+p.dir+"/wal/%f'")
	p.start("data")
	settings := append(backupSettings(), "WEFT_DATABASE_URL="+p.url(p.port))
	data, passphrase, file := t.TempDir(), passphraseFile(t), filepath.Join(t.TempDir(), "streams.tar")
	weft := startWeft(t, data, settings...)
	load := startBackupLoad(t, weft.ready.HTTP)
	defer load.stop()
	p.run("pg_basebackup", "--host=127.0.0.1", "--port="+p.port, "--username=postgres", "--pgdata="+p.dir+"/base", "--wal-method=none", "--checkpoint=fast", "--no-sync")
	actortest.Eventually(t, "load", func() bool { return load.count() > backupLoaded || t.Failed() })
	began := time.Now()
	out := mustWeft(t, settings, "backup", "--streams-only", "--json", "--data", data, "--passphrase-file", passphrase, file)
	var result struct {
		PostgreSQL struct {
			RestorePoint string `json:"restore_point"`
		} `json:"postgresql"`
	}
	_, text, _ := strings.Cut(out, "{")
	if err := json.Unmarshal([]byte("{"+text), &result); err != nil || result.PostgreSQL.RestorePoint == "" {
		t.Fatalf("%s: %v", out, err)
	}
	later := load.count()
	actortest.Eventually(t, "load after the archive", func() bool { return load.count() > later+5 || t.Failed() })
	load.stop()
	weft.kill()
	p.query(p.port, "SELECT pg_switch_wal()")
	p.run("pg_ctl", "stop", "--pgdata", p.dir+"/data", "--mode=fast", "--wait")

	again := strings.TrimPrefix(freePort(t), "127.0.0.1:")
	p.configure("base", again, "archive_mode = off", "restore_command = 'cp "+p.dir+"/wal/%f %p'", "recovery_target_action = 'promote'",
		"recovery_target_name = '"+result.PostgreSQL.RestorePoint+"'")
	if err := os.WriteFile(filepath.Join(p.dir, "base", "recovery.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p.start("base")
	actortest.Eventually(t, "the recovery to end", func() bool { return p.query(again, "SELECT pg_is_in_recovery()") == "false" })
	settings = append(backupSettings(), "WEFT_DATABASE_URL="+p.url(again))
	restored := filepath.Join(t.TempDir(), "data")
	mustWeft(t, settings, "restore", "--data", restored, "--passphrase-file", passphrase, file)
	copied := startWeft(t, restored, settings...)
	load.verify(t, copied.ready.HTTP, began)
	verifyLedger(t, copied.ready.HTTP)
	copied.kill()
}

// postgresCluster is a PostgreSQL of the test's own.
type postgresCluster struct {
	t             *testing.T
	dir, bin      string
	port          string
	as            []string // what runs a command as a user that may own a cluster
	ownerID, grID int
}

func newPostgresCluster(t *testing.T) *postgresCluster {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Fatal("the test needs PostgreSQL's server programs")
	}
	slices.Sort(found)
	dir, err := os.MkdirTemp("", "weft-postgres-") //nolint:usetesting // PostgreSQL's user must be able to enter it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &postgresCluster{t: t, dir: dir, bin: filepath.Dir(found[len(found)-1]), port: strings.TrimPrefix(freePort(t), "127.0.0.1:")}
	if os.Geteuid() == 0 {
		owner, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		p.as = []string{"setpriv", "--reuid=" + owner.Uid, "--regid=" + owner.Gid, "--clear-groups"}
		p.ownerID, _ = strconv.Atoi(owner.Uid)
		p.grID, _ = strconv.Atoi(owner.Gid)
		if err := os.Chown(dir, p.ownerID, p.grID); err != nil {
			t.Fatal(err)
		}
	}
	p.run("initdb", "--pgdata="+dir+"/data", "--username=postgres", "--auth=trust", "--no-sync")
	p.command("mkdir", dir+"/wal")
	return p
}

// run runs one of PostgreSQL's programs, which must succeed.
func (p *postgresCluster) run(program string, args ...string) {
	p.command(filepath.Join(p.bin, program), args...)
}

func (p *postgresCluster) command(program string, args ...string) {
	p.t.Helper()
	line := append(append(slices.Clone(p.as), program), args...)
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Dir = p.dir
	var out bytes.Buffer
	log, err := os.OpenFile(filepath.Join(p.dir, "output"), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o666)
	if err != nil {
		p.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log // a server that is started keeps them
	err = cmd.Run()
	_, _ = log.Seek(0, 0)
	_, _ = out.ReadFrom(log)
	_ = log.Close()
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", program, err, out.String())
	}
}

// configure adds settings to a cluster's configuration.
func (p *postgresCluster) configure(cluster, port string, settings ...string) {
	p.t.Helper()
	file, err := os.OpenFile(filepath.Join(p.dir, cluster, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	settings = append(settings, "port = "+port, "listen_addresses = '127.0.0.1'", "unix_socket_directories = ''", "fsync = off", "max_connections = 200")
	if _, err := fmt.Fprintln(file, "\n"+strings.Join(settings, "\n")); err != nil {
		p.t.Fatal(err)
	}
	_ = file.Close()
}

func (p *postgresCluster) start(cluster string) {
	p.t.Helper()
	p.run("pg_ctl", "start", "--pgdata", filepath.Join(p.dir, cluster), "--wait", "--log", filepath.Join(p.dir, cluster+".log"))
	p.t.Cleanup(func() {
		line := append(slices.Clone(p.as), filepath.Join(p.bin, "pg_ctl"), "stop", "--pgdata", filepath.Join(p.dir, cluster), "--mode=immediate")
		stop := exec.CommandContext(context.Background(), line[0], line[1:]...)
		stop.Dir = p.dir
		_ = stop.Run() // it may have been stopped already
	})
}

func (*postgresCluster) url(port string) string {
	return "postgres://postgres@127.0.0.1:" + port + "/postgres?sslmode=disable"
}

// query returns the text of the only value that a query returns.
func (p *postgresCluster) query(port, query string) (text string) {
	p.t.Helper()
	pool := sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(p.url(port))))
	defer func() { _ = pool.Close() }()
	if err := pool.QueryRow(query).Scan(&text); err != nil {
		p.t.Fatal(err)
	}
	return text
}
