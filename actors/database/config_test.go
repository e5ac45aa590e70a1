package database

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// variables returns a getenv of PG* variables.
func variables(list map[string]string) func(string) string {
	return func(name string) string { return list[name] }
}

func TestParsePostgres(t *testing.T) {
	t.Parallel()
	environment := variables(map[string]string{"PGHOST": "env.example", "PGPORT": "6000", "PGUSER": "env", "PGPASSWORD": "p w", "PGDATABASE": "envdb", "PGAPPNAME": "x"})
	none := variables(nil)
	base := postgresDSN{network: "tcp", schemaPrefix: "weft_", dialTimeout: pgDialTimeout}
	with := func(change func(*postgresDSN)) postgresDSN { d := base; change(&d); return d }
	plain := func(addr, user, password, database string) postgresDSN {
		return with(func(d *postgresDSN) { d.addr, d.user, d.password, d.database = addr, user, password, database })
	}
	socket := with(func(d *postgresDSN) {
		d.network, d.addr, d.user, d.database = "unix", "/run/postgresql/.s.PGSQL.5432", "user", "app"
	})
	for _, c := range []struct {
		text   string
		getenv func(string) string
		want   postgresDSN
	}{
		{"postgres://user:secret@db.example/app", none, plain("db.example:5432", "user", "secret", "app")},
		{"postgres://db.example:6432", none, plain("db.example:6432", "postgres", "", "postgres")},
		{"postgresql://user@/app", none, plain("localhost:5432", "user", "", "app")},
		{"postgresql:///app?user=user&password=a%26b&port=1", none, plain("localhost:1", "user", "a&b", "app")},
		{"postgres://user@[::1]:6432/app?connect_timeout=7&application_name=name&schema_prefix=x_", none, with(func(d *postgresDSN) {
			d.addr, d.user, d.database, d.schemaPrefix, d.appName, d.dialTimeout = "[::1]:6432", "user", "app", "x_", "name", 7*time.Second
		})},
		{"postgres://user@/app?host=/run/postgresql", none, socket},
		{"postgres://user@%2Frun%2Fpostgresql/app?sslmode=require", none, socket},
		{"host=/run/postgresql dbname=app user=user", none, socket},
		{"postgres://user:p%40ss%2F@localhost/app", none, plain("localhost:5432", "user", "p@ss/", "app")},
		{"postgres://user:p:w+#@localhost/app", none, plain("localhost:5432", "user", "p:w+#", "app")},
		{"host=db.example port=6432 user=user password=secret dbname=app", none, plain("db.example:6432", "user", "secret", "app")},
		{`  host = db.example  password = 'it\'s a \\ = secret' user='' dbname=app`, none, plain("db.example:5432", "postgres", `it's a \ = secret`, "app")},
		{"host=db.example hostaddr=10.0.0.7 user=u channel_binding=prefer gssencmode=disable", none, plain("10.0.0.7:5432", "u", "", "u")},
		{"postgres://", environment, with(func(d *postgresDSN) {
			d.addr, d.user, d.password, d.database, d.appName = "env.example:6000", "env", "p w", "envdb", "x"
		})},
		{"postgres://user:own@db.example/app", environment, with(func(d *postgresDSN) {
			d.addr, d.user, d.password, d.database, d.appName = "db.example:6000", "user", "own", "app", "x"
		})},
	} {
		got, err := parsePostgres(c.text, c.getenv)
		got.encryption = postgresEncryption{} // see TestSSLModes
		if err != nil || got != c.want {
			t.Errorf("%s is %+v, %v, want %+v", c.text, got, err, c.want)
		}
	}
}

// TestSSLModes checks which attempts each mode makes, with and without TLS.
func TestSSLModes(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string][]bool{
		"disable": {false}, "allow": {false, true}, "prefer": {true, false}, "require": {true}, "verify-ca": {true}, "verify-full": {true},
	} {
		for _, text := range []string{"postgres://u@db.example/app?sslmode=" + mode, "host=db.example sslmode='" + mode + "'", "postgres://db.example"} {
			d, err := parsePostgres(text, variables(map[string]string{"PGSSLMODE": mode}))
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			attempts, err := d.encryption.attempts()
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			var got []bool
			for _, encryption := range attempts {
				got = append(got, encryption != nil)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: attempts with TLS %v, want %v", text, got, want)
			}
		}
	}
}

// TestNoConnectionStringIsQuoted has the password hunter2 where a mistake may put it.
func TestNoConnectionStringIsQuoted(t *testing.T) {
	t.Parallel()
	for text, message := range map[string]string{
		"postgres:hunter2":                                 "malformed",
		"postgres://u:hunter2@h/app?a=%zz":                 "malformed",
		"postgres://u:hunter2@h:port/app":                  "one port",
		"postgres://u:a/hunter2@h/app":                     "malformed",
		"postgres://u:1?hunter2@h/app":                     "malformed",
		"postgres://u:1?x=hunter2":                         "unknown",
		"postgres://u:a@hunter2@h/app":                     "malformed",
		"postgres://u:a%hunter2@h/app":                     "malformed",
		"postgres://u:a&hunter2@h/app?a&hunter2=b":         "malformed",
		"postgres://h/app?connect_timeout=0":               "connect_timeout",
		"postgres://h/app?connect_timeout=hunter2":         "connect_timeout",
		"postgres://h/app?sslmode=hunter2":                 "sslmode",
		"postgres://h/app?sslrootcert=/hunter2.pem":        "sslrootcert",
		"postgres://h/app?sslcert=/hunter2.pem":            "sslcert",
		"postgres://h/app?hunter2=1":                       "unknown",
		"postgres://h/app?channel_binding=require&x=1":     "channel_binding",
		"postgres://h/app?sslmode=disable&options=hunter2": "options is not supported",
		"postgres://h1,h2/app?password=hunter2":            "one host",
		"host=h password='hunter2":                         "malformed",
		"host=h password=a hunter2":                        "malformed",
		"host=h password=a hunter2=b":                      "unknown",
		`host=h sslmode=require\ password=hunter2`:         "sslmode",
		"user=u password=hunter2 host=h service=hunter2":   "service is not supported",
		"hunter2":                    "unknown form",
		"u:hunter2@h/app":            "unknown form",
		"//u:hunter2@h/app":          "unknown form",
		"POSTGRES://u:hunter2@h/app": "unknown form",
		"mysql://u:hunter2@h/app":    "unknown form",
		"jdbc:postgresql://h/app?user=u&password=hunter2": "unknown form",
		"server=h;user id=u;password=hunter2":             "unknown",
		"Host=h;Username=u;Password=hunter2":              "unknown form",
	} {
		err := CheckURL(text)
		if err == nil || !strings.Contains(err.Error(), message) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want an error about %s", text, err, message)
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
	if c, err := (postgresEncryption{mode: "disable", host: "h"}).config(); c != nil || err != nil {
		t.Errorf("disable: %v, %v", c, err)
	}
	for mode, skips := range map[string]bool{"require": true, "verify-ca": true, "verify-full": false} {
		c, err := (postgresEncryption{mode: mode, host: "db.example"}).config()
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
		MaxOpen: 30, MaxIdle: 10, IdleTime: time.Minute, MaxLifetime: 5 * time.Minute, Durability: DurabilityAlways, ConnectRetry: time.Minute,
	}
	if got := (Config{}).withDefaults(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	set := Config{MaxOpen: 1, MaxIdle: 2, IdleTime: 4, MaxLifetime: 3, Durability: DurabilityInterval, ConnectRetry: -1}
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
