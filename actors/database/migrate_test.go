package database_test

import (
	"errors"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func TestMigrateAppliesAndRefuses(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth")
		one := file("CREATE TABLE one (id TEXT); CREATE TABLE uno (id TEXT)")
		two := fstest.MapFS{
			"migrations/0001_one.sql":          one,
			"migrations/0002_two.sqlite.sql":   file("CREATE TABLE two (id BLOB)"),
			"migrations/0002_two.postgres.sql": file("CREATE TABLE two (id BYTEA)"),
		}
		for _, step := range []struct {
			name string
			fsys fstest.MapFS
			want error
		}{
			{"first", fstest.MapFS{"0001_one.sql": one}, nil},
			{"again", fstest.MapFS{"0001_one.sql": one}, nil},
			{"second", two, nil},
			{"older binary", fstest.MapFS{"0001_one.sql": one}, database.ErrSchemaNewer},
			{"edited", fstest.MapFS{
				"0001_one.sql": file("CREATE TABLE one (id INT)"),
				"0002_two.sql": two["migrations/0002_two."+kind.Name+".sql"],
			}, database.ErrMigrationEdited},
			{"removed", fstest.MapFS{"0002_two.sql": two["migrations/0002_two."+kind.Name+".sql"]}, database.ErrMigrationEdited},
			{"second again", two, nil},
		} {
			if err := database.Migrate(t.Context(), db, step.fsys); !errors.Is(err, step.want) {
				t.Errorf("%s: %v, want %v", step.name, err, step.want)
			}
		}
		for _, table := range []string{"one", "uno", "two", "weft_outbox", "weft_idempotency"} {
			actortest.Count(t, db, table)
		}
	})
}

func TestMigrateIsAllOrNothing(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth")
		err := database.Migrate(t.Context(), db, fstest.MapFS{
			"0001_good.sql": file("CREATE TABLE good (id TEXT)"), "0002_bad.sql": file("CREATE TABEL bad (id TEXT)"),
		})
		if err == nil {
			t.Fatal("a broken migration was applied")
		}
		if _, err := db.NewSelect().TableExpr("good").Count(t.Context()); err == nil {
			t.Error("the migration before the broken one was committed")
		}
		err = database.Migrate(t.Context(), db, fstest.MapFS{"0001_good.sql": file("CREATE TABLE good (id TEXT)")})
		if err != nil {
			t.Error(err)
		}
	})
}

// CRLF line ends do not change a file's checksum, and a question mark is not a parameter.
func TestMigrateIgnoresLineEnds(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth")
		for _, text := range []string{"CREATE TABLE one (id TEXT); -- why?\n", "CREATE TABLE one (id TEXT); -- why?\r\n"} {
			if err := database.Migrate(t.Context(), db, fstest.MapFS{"0001_one.sql": file(text)}); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

// A file may not be inserted before one that is applied. applied_at is in microseconds.
func TestMigrateRefusesInsertedFiles(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db, before := kind.Open(t, "auth"), time.Now().UnixMicro()
		second := file("CREATE TABLE two (id TEXT)")
		if err := database.Migrate(t.Context(), db, fstest.MapFS{"0002_two.sql": second}); err != nil {
			t.Fatal(err)
		}
		err := database.Migrate(t.Context(), db, fstest.MapFS{"0001_one.sql": file("CREATE TABLE one (id TEXT)"), "0002_two.sql": second})
		if !errors.Is(err, database.ErrMigrationEdited) {
			t.Errorf("%v, want ErrMigrationEdited", err)
		}
		var applied int64
		query := db.NewSelect().TableExpr("weft_migrations").Column("applied_at").Where("line = 'actor'")
		if err := query.Scan(t.Context(), &applied); err != nil || applied < before || applied > time.Now().UnixMicro() {
			t.Errorf("applied at %d, %v", applied, err)
		}
	})
}

func TestMigrateRefusesFileNames(t *testing.T) {
	t.Parallel()
	db := actortest.OpenDatabase(t, database.Config{Actor: "auth", DataDir: t.TempDir()})
	for name, fsys := range map[string]fstest.MapFS{
		"no number":       {"init.sql": file("")},
		"one dialect":     {"0001_init.sqlite.sql": file("")},
		"shared and one":  {"0001_init.sql": file(""), "0001_init.sqlite.sql": file("")},
		"two of a number": {"0001_a.sql": file(""), "0001_b.sql": file("")},
	} {
		if err := database.Migrate(t.Context(), db, fsys); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Copies of an actor that start at the same time on one PostgreSQL create the schema and its tables once.
func TestMigrateConcurrently(t *testing.T) {
	t.Parallel()
	kind := actortest.Postgres(t)
	if kind.Name == "" {
		return
	}
	cfg := kind.Config(t, "auth")
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() { actortest.OpenDatabase(t, cfg, actortest.Things) })
	}
	group.Wait()
}
