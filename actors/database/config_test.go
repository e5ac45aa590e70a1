package database

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParsePostgresURL(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]postgresDSN{
		"postgres://user:secret@db.example/app": {
			network: "tcp", addr: "db.example:5432", user: "user", password: "secret", database: "app", schemaPrefix: "weft_", dialTimeout: pgDialTimeout,
		},
		"postgres://db.example:6432": {
			network: "tcp", addr: "db.example:6432", user: "postgres", database: "postgres", schemaPrefix: "weft_", dialTimeout: pgDialTimeout,
		},
		"postgresql://user@/app": {
			network: "tcp", addr: "localhost:5432", user: "user", database: "app", schemaPrefix: "weft_", dialTimeout: pgDialTimeout,
		},
		"postgres://user@[::1]:6432/app?connect_timeout=7&application_name=name&schema_prefix=x_": {
			network: "tcp", addr: "[::1]:6432", user: "user", database: "app", schemaPrefix: "x_", appName: "name", dialTimeout: 7 * time.Second,
		},
		"postgres://user@/app?host=/run/postgresql": {
			network: "unix", addr: "/run/postgresql/.s.PGSQL.5432", user: "user", database: "app", schemaPrefix: "weft_", dialTimeout: pgDialTimeout,
		},
		"postgres://user:p%40ss%2F@localhost/app": {
			network: "tcp", addr: "localhost:5432", user: "user", password: "p@ss/", database: "app", schemaPrefix: "weft_", dialTimeout: pgDialTimeout,
		},
	} {
		got, err := parsePostgresURL(raw)
		got.tls = nil // see TestDefaultSSLMode
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v, want %+v", raw, got, err, want)
		}
	}
}

func TestInvalidPostgresURLs(t *testing.T) {
	t.Parallel()
	for raw, message := range map[string]string{
		"postgres:app":                               "malformed",
		"postgres://h/app?a=%zz":                     "malformed",
		"postgres://h:port/app":                      "malformed",
		"postgres://h/app?connect_timeout=0":         "connect_timeout",
		"postgres://h/app?connect_timeout=-1":        "connect_timeout",
		"postgres://h/app?connect_timeout=1s":        "connect_timeout",
		"postgres://h/app?sslmode=prefer":            `sslmode "prefer"`,
		"postgres://h/app?sslmode=allow":             `sslmode "allow"`,
		"postgres://h/app?sslrootcert=/missing.pem":  "sslrootcert",
		"postgres://h/app?sslcert=/missing.pem":      "sslcert",
		"postgres://h/app?statement_timeout=1":       `"statement_timeout"`,
		"postgres://h/app?sslmode=disable&options=x": `"options"`,
	} {
		if _, err := parsePostgresURL(raw); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%s: %v, want an error about %s", raw, err, message)
		}
	}
}

func TestDefaultSSLMode(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"localhost": "disable", "127.0.0.1": "disable", "127.9.9.9": "disable", "::1": "disable", "/run/postgresql": "disable",
		"db.example": "verify-full", "10.0.0.1": "verify-full", "localhost.example": "verify-full", "::2": "verify-full", "": "verify-full",
	} {
		if got := defaultSSLMode(host); got != want {
			t.Errorf("the default for %q is %s, want %s", host, got, want)
		}
	}
}

// Verification by sslmode is tested with a server in TestTLSVerifies.
func TestPostgresTLS(t *testing.T) {
	t.Parallel()
	if c, err := postgresTLS("disable", "h", "", "", ""); c != nil || err != nil {
		t.Errorf("disable: %v, %v", c, err)
	}
	for mode, skips := range map[string]bool{"require": true, "verify-ca": true, "verify-full": false} {
		c, err := postgresTLS(mode, "db.example", "", "", "")
		if err != nil {
			t.Fatal(err)
		}
		if c.InsecureSkipVerify != skips || c.ServerName != "db.example" {
			t.Errorf("%s: InsecureSkipVerify %t for %s", mode, c.InsecureSkipVerify, c.ServerName)
		}
		if verifies := c.VerifyConnection != nil; verifies != (mode == "verify-ca") {
			t.Errorf("%s: VerifyConnection is set: %t", mode, verifies)
		}
	}
}

func TestSQLitePath(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"":                              filepath.Join(dir, "auth.db"),
		"sqlite:" + dir + "/x.db":       filepath.Join(dir, "x.db"),
		"file:" + dir + "/x.db":         filepath.Join(dir, "x.db"),
		"sqlite://" + dir + "/x.db":     filepath.Join(dir, "x.db"), // an empty host
		"sqlite:" + dir + "/./y/../x":   filepath.Join(dir, "x"),
		"sqlite:" + dir + "/missing/z":  filepath.Join(dir, "missing", "z"),
		"sqlite::memory:":               "",
		"sqlite:":                       "",
		"file://host/x.db":              "",
		"sqlite:" + dir + "/x.db?a=b":   "",
		"sqlite:" + dir + "/x.db#a":     "",
		"sqlite:" + dir + "/x.db?mode=": "",
	} {
		got, err := sqlitePath(Config{URL: url, Actor: "auth", DataDir: dir})
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v, want %q", url, got, err, want)
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	want := Config{
		MaxOpen: 30, MaxIdle: 10, MaxLifetime: 5 * time.Minute, Durability: DurabilityAlways, ConnectRetry: time.Minute,
	}
	if got := (Config{}).withDefaults(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	set := Config{MaxOpen: 1, MaxIdle: 2, MaxLifetime: 3, Durability: DurabilityInterval, ConnectRetry: -1}
	if got := set.withDefaults(); got != set {
		t.Errorf("%+v, want %+v", got, set)
	}
}

// Locks for different purposes and schemas have different keys.
func TestAdvisoryKey(t *testing.T) {
	t.Parallel()
	a, b := &DB{schema: "weft_auth"}, &DB{schema: "weft_consent"}
	if a.AdvisoryKey("outbox") != (&DB{schema: "weft_auth"}).AdvisoryKey("outbox") {
		t.Error("the key is not stable")
	}
	keys := map[int64]bool{a.AdvisoryKey("outbox"): true, a.AdvisoryKey("migrate"): true, b.AdvisoryKey("outbox"): true}
	if len(keys) != 3 {
		t.Errorf("%d distinct keys, want 3", len(keys))
	}
}
