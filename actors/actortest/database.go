package actortest

import (
	"context"
	"database/sql"
	"fmt"
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

// defaultPostgres is the URL that is tried where WEFT_TEST_POSTGRES is not set.
const defaultPostgres = "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable"

// Database is a kind of database that a store must work on.
type Database struct {
	Name string // "sqlite" or "postgres", the subtest's name
	url  string // the server's; empty for SQLite
}

// Databases returns SQLite and PostgreSQL, on each of which a store's test runs once.
//
//	for _, kind := range actortest.Databases(t) {
//		t.Run(kind.Name, func(t *testing.T) { db := kind.Open(t, "auth", auth.Migrations) … })
//	}
//
// Where no PostgreSQL answers and CI or WEFT_TEST_POSTGRES is set, the test fails. Otherwise Databases returns SQLite alone
// and logs how to start a PostgreSQL.
func Databases(t testing.TB) []Database {
	t.Helper()
	list := []Database{{Name: database.DialectSQLite}}
	url := os.Getenv("WEFT_TEST_POSTGRES")
	required := url != "" || os.Getenv("CI") != ""
	if url == "" {
		url = defaultPostgres
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	pool := sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(url)))
	defer pool.Close()
	if err := pool.PingContext(ctx); err != nil {
		if required {
			t.Fatalf("no PostgreSQL at WEFT_TEST_POSTGRES or 127.0.0.1:5432: %v", err)
		}
		t.Logf("NOT TESTED ON POSTGRESQL: none answers (%v). To start one:\n"+
			"\tdocker run -d -p 127.0.0.1:5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres:17\n"+
			"or set WEFT_TEST_POSTGRES to the URL of a running one.", err)
		return list
	}
	return append(list, Database{Name: database.DialectPostgres, url: url})
}

// Config returns the configuration of a new database for actor: a file in a temporary directory, or a schema that is dropped
// when the test ends.
func (d Database) Config(t testing.TB, actor string) database.Config {
	t.Helper()
	cfg := database.Config{Actor: actor, DataDir: t.TempDir(), MaxOpen: 16, ConnectRetry: -1}
	if recorded.actor == actor {
		cfg.Hook = recorded
	}
	if d.url == "" {
		return cfg
	}
	prefix := "t" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12] + "_"
	cfg.URL = withParameter(d.url, "schema_prefix="+prefix)
	t.Cleanup(func() { dropSchema(t, d.url, prefix+actor) })
	return cfg
}

// Open opens a new database for actor with the given migrations applied, and closes it when the test ends.
func (d Database) Open(t testing.TB, actor string, migrations ...fs.FS) *database.DB {
	t.Helper()
	return OpenDatabase(t, d.Config(t, actor), migrations...)
}

// OpenDatabase opens the database of cfg with the given migrations applied, and closes it when the test ends. Two copies of an
// actor can share a PostgreSQL database this way.
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

// Write runs fn in a transaction of an actor's database and commits it, for rows that no endpoint writes. On SQLite the actor
// must have stopped.
func Write(t testing.TB, cfg database.Config, fn func(ctx context.Context, tx database.Tx) error) {
	t.Helper()
	ctx := deadline(t)
	db, err := database.Open(ctx, cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	err = db.RunInTx(ctx, fn)
	if e := db.Close(); err == nil {
		err = e
	}
	if err != nil {
		t.Fatalf("writing to the database of %s: %v", cfg.Actor, err)
	}
}

// Exec runs one statement as Write does, with its arguments in place of question marks.
func Exec(t testing.TB, cfg database.Config, statement string, args ...any) {
	t.Helper()
	Write(t, cfg, func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, statement, args...)
		return err
	})
}

func withParameter(url, parameter string) string {
	if strings.Contains(url, "?") {
		return url + "&" + parameter
	}
	return url + "?" + parameter
}

func dropSchema(t testing.TB, url, schema string) {
	if err := removeSchema(url, schema); err != nil {
		t.Error(err)
	}
}

func removeSchema(url, schema string) error {
	pool := sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(url)))
	defer pool.Close()
	if _, err := pool.ExecContext(context.Background(), `DROP SCHEMA IF EXISTS "`+schema+`" CASCADE`); err != nil {
		return fmt.Errorf("dropping schema %s: %w", schema, err)
	}
	return nil
}
