package actortest

import (
	"io/fs"
	"slices"
	"testing"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/dataexport"
)

// CheckExport compares what an actor exports of a user with the tables that its migrations make: each table and each column is exported or
// omitted with a reason.
func CheckExport(t testing.TB, set dataexport.Set, migrations fs.FS) {
	t.Helper()
	if err := set.Check(); err != nil {
		t.Error(err)
	}
	db := OpenDatabase(t, database.Config{Actor: "export", DataDir: t.TempDir()}, migrations)
	var tables []string
	err := db.NewRaw("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name").Scan(deadline(t), &tables)
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]dataexport.Source{}
	for _, s := range set.Sources {
		if sources[s.Name] = s; s.Read == nil && !slices.Contains(tables, s.Name) {
			t.Errorf("%s is exported, and there is no such table", s.Name)
		}
	}
	for name := range set.Omitted {
		if !slices.Contains(tables, name) {
			t.Errorf("%s is omitted, and there is no such table", name)
		}
	}
	for _, table := range tables {
		source, exported := sources[table]
		reason, omitted := set.Omitted[table]
		_, shared := dataexport.Shared[table]
		switch {
		case shared:
		case exported == omitted:
			t.Errorf("the table %s must either be exported or be omitted", table)
		case omitted && reason == "":
			t.Errorf("the table %s is omitted without a reason", table)
		case exported:
			checkColumns(t, db, source)
		}
	}
}

// checkColumns compares a source with the columns of its table.
func checkColumns(t testing.TB, db *database.DB, s dataexport.Source) {
	t.Helper()
	var columns []string
	if err := db.NewRaw("SELECT name FROM pragma_table_info(?)", s.Name).Scan(deadline(t), &columns); err != nil {
		t.Fatal(err)
	}
	exported := s.Names()
	if s.Doc == "" {
		t.Errorf("%s has no Doc", s.Name)
	}
	for _, name := range columns {
		reason, omitted := s.Omitted[name]
		if slices.Contains(exported, name) == omitted {
			t.Errorf("the column %s.%s must either be exported or be omitted", s.Name, name)
		}
		if omitted && reason == "" {
			t.Errorf("the column %s.%s is omitted without a reason", s.Name, name)
		}
	}
	for _, name := range exported {
		if !slices.Contains(columns, name) {
			t.Errorf("%s.%s is exported, and there is no such column", s.Name, name)
		}
	}
	for name := range s.Omitted {
		if !slices.Contains(columns, name) {
			t.Errorf("%s.%s is omitted, and there is no such column", s.Name, name)
		}
	}
}
