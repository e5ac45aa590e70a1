package actortest

import (
	"context"
	"database/sql"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun/driver/pgdriver"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/weftmesh/weft/actors/database"
)

// defaultPostgres is where a developer's PostgreSQL is looked for when WEFT_TEST_POSTGRES is not set.
const defaultPostgres = "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable"

// Database is one of the kinds of database that a store must work on.
type Database struct {
	Name string // "sqlite" or "postgres": the subtest's name
	url  string // of the server; empty for SQLite
}

// Databases are SQLite and PostgreSQL: a store's test runs once on each.
//
//	for _, kind := range actortest.Databases(t) {
//		t.Run(kind.Name, func(t *testing.T) { db := kind.Open(t, "auth", auth.Migrations) … })
//	}
//
// Without a PostgreSQL the test fails where one must be (CI or WEFT_TEST_POSTGRES is set); elsewhere the list is SQLite
// alone, and the log says how to get the other.
func Databases(t testing.TB) []Database {
	t.Helper()
	list := []Database{{Name: database.DialectSQLite}}
	url := os.Getenv("WEFT_TEST_POSTGRES")
	wanted := url != "" || os.Getenv("CI") != ""
	if url == "" {
		url = defaultPostgres
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	pool := sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(url)))
	defer pool.Close()
	if err := pool.PingContext(ctx); err != nil {
		if wanted {
			t.Fatalf("PostgreSQL does not answer at WEFT_TEST_POSTGRES or 127.0.0.1:5432: %v", err)
		}
		t.Logf("NOT TESTED ON POSTGRESQL, there is none (%v). To get one:\n"+
			"\tdocker run -d -p 127.0.0.1:5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres:17\n"+
			"or set WEFT_TEST_POSTGRES to the URL of one.", err)
		return list
	}
	return append(list, Database{Name: database.DialectPostgres, url: url})
}

// Config names a fresh database for actor: a file in the test's folder, or a schema that is dropped at the test's end.
func (d Database) Config(t testing.TB, actor string) database.Config {
	t.Helper()
	cfg := database.Config{Actor: actor, DataDir: t.TempDir(), MaxOpen: 16, ConnectRetry: -1}
	if d.url == "" {
		return cfg
	}
	prefix := "t" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12] + "_"
	cfg.URL = withParameter(d.url, "schema_prefix="+prefix)
	t.Cleanup(func() { dropSchema(t, d.url, prefix+actor) })
	return cfg
}

// Open opens a fresh database for actor, migrated with each of migrations, and closes it at the test's end.
func (d Database) Open(t testing.TB, actor string, migrations ...fs.FS) *database.DB {
	t.Helper()
	return OpenDatabase(t, d.Config(t, actor), migrations...)
}

// OpenDatabase opens the database of cfg, migrated, and closes it at the test's end: for a second copy of an actor.
func OpenDatabase(t testing.TB, cfg database.Config, migrations ...fs.FS) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), cfg, zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if len(migrations) == 0 {
		migrations = []fs.FS{nil}
	}
	for _, m := range migrations {
		if err := database.Migrate(t.Context(), db, m); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

func withParameter(url, parameter string) string {
	if strings.Contains(url, "?") {
		return url + "&" + parameter
	}
	return url + "?" + parameter
}

func dropSchema(t testing.TB, url, schema string) {
	pool := sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(url)))
	defer pool.Close()
	if _, err := pool.ExecContext(context.Background(), `DROP SCHEMA IF EXISTS "`+schema+`" CASCADE`); err != nil {
		t.Errorf("dropping schema: %v", err)
	}
}
