package database_test

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/uptrace/bun/driver/pgdriver"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh/pki"
)

// securePostgres is a PostgreSQL with TLS whose user certified must present a certificate of the authority.
type securePostgres struct {
	t         *testing.T
	data, url string
	pool      *sql.DB
	// root, cert and key are the client's files.
	root, cert, key string
}

// startSecurePostgres starts one until the test ends; nil if PostgreSQL's programs are not installed.
func startSecurePostgres(t *testing.T) *securePostgres {
	t.Helper()
	if installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); actortest.Postgres(t).Name == "" || len(installed) == 0 && os.Getenv("CI") == "" {
		return nil
	}
	parent := t.TempDir()
	for dir := parent; strings.HasPrefix(dir, os.TempDir()) && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(parent, "cluster")
	start := exec.CommandContext(t.Context(), "../../scripts/postgres.sh", "start", dir)
	start.Stderr = t.Output()
	out, err := start.Output()
	if err != nil {
		t.Fatalf("starting PostgreSQL in %s: %v", dir, err)
	}
	t.Cleanup(func() { _ = exec.Command("../../scripts/postgres.sh", "stop", dir).Run() })
	s := &securePostgres{t: t, data: filepath.Join(dir, "data"), url: strings.TrimSpace(string(out))}
	s.pool = sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(s.url)))
	t.Cleanup(func() { _ = s.pool.Close() })
	files := t.TempDir()
	s.root, s.cert, s.key = filepath.Join(files, "root.crt"), filepath.Join(files, "client.crt"), filepath.Join(files, "client.key")
	s.write("pg_hba.conf", []byte("hostssl all certified 127.0.0.1/32 cert\nhostnossl all certified 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 trust\n"))
	s.certify()
	for _, statement := range []string{"CREATE ROLE certified SUPERUSER LOGIN", "ALTER SYSTEM SET ssl_ca_file = 'ca.crt'", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"} {
		s.exec(statement)
	}
	return s
}

// certify gives server and client certificates of a new authority.
func (s *securePostgres) certify() {
	s.t.Helper()
	authority, err := pki.NewAuthority("test", time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	root, _, err := authority.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	cert, key, err := authority.Issue(pki.Request{Name: "db", Hosts: []string{"127.0.0.1"}, Uses: pki.Server}, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("ca.crt", root)
	s.write("server.crt", cert)
	s.write("server.key", key)
	cert, key, err = authority.Issue(pki.Request{Name: "certified", Uses: pki.Client}, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	for path, text := range map[string][]byte{s.root: root, s.cert: cert, s.key: key} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// write writes a file of the server's, which belongs to its user.
func (s *securePostgres) write(name string, text []byte) {
	s.t.Helper()
	info, err := os.Stat(s.data)
	if err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(s.data, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *securePostgres) exec(statement string) {
	s.t.Helper()
	if _, err := s.pool.ExecContext(s.t.Context(), statement); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

func (s *securePostgres) open(query string) (*database.DB, error) {
	return database.Open(s.t.Context(), database.Config{
		Actor: "auth", URL: strings.NewReplacer("//postgres@", "//certified@", "sslmode=disable", query).Replace(s.url), ConnectRetry: -1, MaxOpen: 4,
	}, zap.NewNop())
}

// TestTLSWithPostgres connects to a real server with and without a certificate, with a wrong authority and without TLS, and replaces the
// certificates of both sides while a database is open.
func TestTLSWithPostgres(t *testing.T) {
	t.Parallel()
	s := startSecurePostgres(t)
	if s == nil {
		return
	}
	own := fmt.Sprintf("sslmode=verify-full&sslrootcert=%s&sslcert=%s&sslkey=%s", s.root, s.cert, s.key)
	var db *database.DB
	// The server applies its new configuration a moment after the reload.
	actortest.Eventually(t, "a connection with certificates", func() (connected bool) {
		var err error
		db, err = s.open(own)
		return err == nil
	})
	defer func() { _ = db.Close() }()
	encrypted := func() bool {
		var is bool
		err := db.NewRaw("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(t.Context(), &is)
		if err != nil {
			t.Log(err)
		}
		return err == nil && is
	}
	if !encrypted() {
		t.Error("the connection is not encrypted")
	}
	foreign, err := pki.NewAuthority("foreign", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, _, _ := foreign.Encode()
	wrong := filepath.Join(t.TempDir(), "wrong.crt")
	if err := os.WriteFile(wrong, other, 0o600); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"sslmode=disable": "pg_hba",
		"sslmode=verify-full&sslrootcert=" + s.root: "certificate",
		"sslmode=verify-full&sslrootcert=" + wrong:  "unknown authority",
		"sslmode=verify-full":                       "certificate",
	} {
		if opened, err := s.open(query); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error about %s", query, err, want)
			if err == nil {
				_ = opened.Close()
			}
		}
	}
	s.certify()
	s.exec("SELECT pg_reload_conf()")
	actortest.Eventually(t, "a connection with the new certificates, of a database that was open", func() bool {
		s.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'certified'")
		return encrypted()
	})
	if root, cert, key := database.TLSFiles(strings.Replace(s.url, "sslmode=disable", own, 1)); root != s.root || cert != s.cert || key != s.key {
		t.Errorf("the files are %s, %s, %s", root, cert, key)
	}
}
