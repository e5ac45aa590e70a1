package database_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uptrace/bun"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
)

// TestDeletedContentLeavesTheFiles: neither the database nor its write-ahead log has deleted or overwritten text after Scrub.
func TestDeletedContentLeavesTheFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := database.Open(t.Context(), database.Config{DataDir: dir, Actor: "scrubbed"}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	const canary = "the canary of a deleted account"
	execute := func(statement string, args ...any) {
		t.Helper()
		err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.ExecContext(ctx, statement, args...)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, device TEXT)")
	execute("CREATE INDEX people_name ON people (name)")
	for id := range 500 {
		text := canary
		if id%3 == 0 {
			text = "somebody else, who stays"
		}
		execute("INSERT INTO people VALUES (?, ?, ?)", id, text, strings.Repeat(text, id%90))
	}
	execute("UPDATE people SET device = 'none' WHERE id % 2 = 0")
	execute("DELETE FROM people WHERE id % 3 <> 0")
	if err := db.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), canary) {
			t.Errorf("%s still has deleted text", filepath.Base(file))
		}
	}
}
