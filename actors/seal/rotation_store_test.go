package seal

import (
	"context"
	"testing"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
)

// A value that was changed after it had been read is not overwritten.
func TestUpdateSealedKeepsNewerValues(t *testing.T) {
	t.Parallel()
	db, err := database.Open(t.Context(), database.Config{Actor: "auth", DataDir: t.TempDir()}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	exec := func(statement string, args ...any) {
		t.Helper()
		err := db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, statement, args...)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE secrets (id TEXT PRIMARY KEY, value BLOB)")
	for _, id := range []string{"a", "b", "c"} {
		exec("INSERT INTO secrets VALUES (?, ?)", id, []byte("old "+id))
	}
	column := Column{Table: "secrets", Column: "value", Key: []string{"id"}}
	rows, err := sealedRows(t.Context(), db, column, []string{"a"}, 10)
	if err != nil || len(rows) != 2 || rows[0].key(column)[0] != "b" {
		t.Fatalf("%v, %v, want the rows after a", rows, err)
	}
	if first, err := sealedRows(t.Context(), db, column, []string{""}, 1); err != nil || len(first) != 1 || string(first[0].sealed) != "old a" {
		t.Errorf("%v, %v, want the first row", first, err)
	}
	var changes []sealedChange
	for _, row := range rows {
		changes = append(changes, sealedChange{key: row.key(column), from: row.sealed, to: []byte("resealed")})
	}
	exec("UPDATE secrets SET value = ? WHERE id = 'b'", []byte("newer"))
	if err := updateSealed(t.Context(), db, column, changes); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"a": "old a", "b": "newer", "c": "resealed"} {
		var value []byte
		if err := db.NewSelect().TableExpr("secrets").Column("value").Where("id = ?", id).Scan(t.Context(), &value); err != nil || string(value) != want {
			t.Errorf("%s is %q, %v, want %q", id, value, err, want)
		}
	}
}

func TestSealedWith(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sealed []byte
		id     uint32
		ok     bool
	}{
		"a Tink prefix":    {[]byte{1, 0, 0, 1, 2, 9, 9}, 258, true},
		"only the prefix":  {[]byte{1, 255, 255, 255, 255}, 1<<32 - 1, true},
		"another prefix":   {[]byte{0, 0, 0, 1, 2, 9}, 0, false},
		"a truncated one":  {[]byte{1, 0, 0, 1}, 0, false},
		"an empty value":   {nil, 0, false},
		"something longer": {append([]byte{2}, make([]byte, 64)...), 0, false},
	} {
		if id, ok := sealedWith(c.sealed); id != c.id || ok != c.ok {
			t.Errorf("%s: %d, %t", name, id, ok)
		}
	}
}
