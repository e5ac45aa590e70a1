package actortest

import (
	"context"
	"io/fs"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/seal"
)

// Things are the migrations of a database with one table, for tests of what is below the actors.
var Things fs.FS = fstest.MapFS{"0001_things.sql": {Data: []byte(
	"CREATE TABLE things (id TEXT NOT NULL PRIMARY KEY, n BIGINT NOT NULL DEFAULT 0); -- why?")}}

// AddThing inserts a row into the table of Things.
func AddThing(ctx context.Context, tx bun.IDB, id string) error {
	_, err := tx.NewRaw("INSERT INTO things (id) VALUES (?)", id).Exec(ctx)
	return err
}

// Count is the number of rows of a table.
func Count(t testing.TB, db *database.DB, table string) int {
	t.Helper()
	n, err := db.NewSelect().TableExpr(table).Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// Sealer is a sealer with a new keyset in the test's folder.
func Sealer(t testing.TB) *seal.Sealer {
	t.Helper()
	s, err := seal.Open(filepath.Join(t.TempDir(), "keyset.json"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Postgres is the PostgreSQL of Databases; its Name is empty where a developer's machine has none.
func Postgres(t testing.TB) Database {
	t.Helper()
	for _, kind := range Databases(t) {
		if kind.Name == database.DialectPostgres {
			return kind
		}
	}
	return Database{}
}

// Terminate ends every other connection of db's pool, as a restart of the server would.
func Terminate(t testing.TB, db *database.DB) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), `SELECT pg_Terminate_backend(a.pid) FROM pg_stat_activity a
		WHERE a.pid <> pg_backend_pid() AND a.application_name =
			(SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid())`); err != nil {
		t.Fatal(err)
	}
}
