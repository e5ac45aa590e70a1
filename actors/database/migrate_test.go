package database_test

import (
	"errors"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func TestMigrateExtendsAndRefuses(t *testing.T) {
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
			{"line ends do not matter", fstest.MapFS{"0001_one.sql": file("CREATE TABLE one (id TEXT); CREATE TABLE uno (id TEXT)")}, nil},
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
			t.Error("half of the migrations are there")
		}
		err = database.Migrate(t.Context(), db, fstest.MapFS{"0001_good.sql": file("CREATE TABLE good (id TEXT)")})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestMigrateRefusesNames(t *testing.T) {
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

// Copies of an actor that start together on one PostgreSQL: the schema and its tables are made once.
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
