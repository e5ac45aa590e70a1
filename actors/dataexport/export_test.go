package dataexport_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/dataexport"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/subjects"
)

var tables = fstest.MapFS{"0001_init.sql": {Data: []byte(`CREATE TABLE letters (user_id VARCHAR(36) NOT NULL, n BIGINT NOT NULL, body TEXT NOT NULL,
	sealed BYTEA, at BIGINT NOT NULL, open BOOLEAN NOT NULL, PRIMARY KEY (user_id, n));
CREATE TABLE parts (user_id VARCHAR(36) NOT NULL, n BIGINT NOT NULL, part VARCHAR(8) NOT NULL, PRIMARY KEY (user_id, n, part));
CREATE TABLE blanks (user_id VARCHAR(36) NOT NULL PRIMARY KEY)`)}}

func context1(n string) []byte { return []byte("letters/" + n) }

var set = dataexport.Set{
	Sealed: []seal.Column{{Table: "letters", Column: "sealed", Key: []string{"n"}, Associated: func(v []string) []byte { return context1(v[0]) }}},
	Sources: []dataexport.Source{
		{Name: "blanks", Doc: "Nothing.", Key: []string{"user_id"}, Columns: "user_id"},
		{Name: "letters", Doc: "Letters.", Key: []string{"n"}, Columns: "body:json sealed:open at:time open:bool"},
		{Name: "parts", Doc: "Parts.", Derived: true, Key: []string{"n", "part"}, Columns: "n part"},
		{Name: "read", Doc: "Read.", Columns: "text", Read: func(_ context.Context, userID, after string, limit int) ([]dataexport.Record, error) {
			list := []dataexport.Record{{Key: "a", Values: map[string]any{"text": "of " + userID}}, {Key: "b", Values: map[string]any{"text": "<&>"}}}
			list = slices.DeleteFunc(list, func(r dataexport.Record) bool { return r.Key <= after })
			return list[:min(limit, len(list), 1)], nil // fewer than the limit is not the end
		}},
	},
}

func insert(t *testing.T, db *database.DB, statement string, args ...any) {
	t.Helper()
	err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, statement, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// readAll returns the lines of each source, and the number of pages.
func readAll(t *testing.T, e *dataexport.Exporter, userID string) (lines map[string][]string, pages int) {
	t.Helper()
	data := map[string][]byte{}
	records := map[string]int{}
	for cursor := ""; ; {
		p, err := e.Page(t.Context(), userID, cursor)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Data) > dataexport.PageBytes {
			t.Errorf("a page has %d bytes", len(p.Data))
		}
		data[p.Source] = append(data[p.Source], p.Data...)
		records[p.Source] += p.Records
		pages++
		if cursor = p.NextCursor; cursor == "" {
			break
		}
	}
	lines = map[string][]string{}
	for source, text := range data {
		if len(text) > 0 {
			lines[source] = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		}
		if len(lines[source]) != records[source] {
			t.Errorf("%s has %d lines and says %d", source, len(lines[source]), records[source])
		}
	}
	return lines, pages
}

// TestPagesHaveEveryRecordOnce: records of one byte and of more than a page, of compound keys and of more than a query reads, come whole, once
// and in order, those of another user never; sealed values are opened.
func TestPagesHaveEveryRecordOnce(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db, sealer := kind.Open(t, "consent", tables), actortest.Sealer(t)
		ada, eve := actortest.User(), actortest.User()
		long := strings.Repeat("x", dataexport.PageBytes*2+17)
		for n, body := range []string{`{"a":1}`, `"` + long + `"`, "no json", `"` + long[:dataexport.PageBytes-10] + `"`, ""} {
			sealed, err := sealer.Seal([]byte(fmt.Sprint("secret ", n)), context1(fmt.Sprint(n)))
			if err != nil {
				t.Fatal(err)
			}
			insert(t, db, "INSERT INTO letters VALUES (?, ?, ?, ?, ?, ?)", ada, n, body, sealed, n*1_000_000, n%2 == 0)
			insert(t, db, "INSERT INTO letters VALUES (?, ?, ?, ?, ?, ?)", eve, n, body, sealed, n, false)
		}
		var want []string
		for n := range 700 {
			insert(t, db, "INSERT INTO parts VALUES (?, ?, 'a'), (?, ?, 'b')", ada, n, ada, n)
			want = append(want, fmt.Sprintf(`{"n":%d,"part":"a"}`, n), fmt.Sprintf(`{"n":%d,"part":"b"}`, n))
		}
		e := dataexport.New(actors.Deps{DB: db, Sealer: sealer}, set)
		lines, pages := readAll(t, e, ada)
		if !slices.Equal(lines["parts"], want) {
			t.Errorf("%d parts, want %d", len(lines["parts"]), len(want))
		}
		if got := lines["read"]; len(got) != 2 || got[0] != `{"text":"of `+ada+`"}` || got[1] != `{"text":"<&>"}` {
			t.Errorf("read %q", got)
		}
		letters := lines["letters"]
		if len(letters) != 5 || pages < 6 || lines["blanks"] != nil {
			t.Fatalf("%d letters in %d pages", len(letters), pages)
		}
		if first := `{"body":{"a":1},"sealed":"secret 0","at":null,"open":true}`; letters[0] != first {
			t.Errorf("the first is %s", letters[0])
		}
		if third := `{"body":"no json","sealed":"secret 2","at":"1970-01-01T00:00:02Z","open":true}`; letters[2] != third {
			t.Errorf("the third is %s", letters[2])
		}
		var second struct{ Body string }
		if err := json.Unmarshal([]byte(letters[1]), &second); err != nil || second.Body != long {
			t.Errorf("the long record has %d bytes, %v", len(second.Body), err)
		}
		if lines, _ := readAll(t, e, actortest.User()); len(lines) != 1 {
			t.Errorf("a stranger has %v", lines)
		}
		_, broken := readAll(t, dataexport.New(actors.Deps{DB: db, Sealer: actortest.Sealer(t)}, set), ada)
		if broken != pages {
			t.Errorf("without the keyset there are %d pages, want %d", broken, pages)
		}
	})
}

// TestPageOfAChangedRecord: a record that changes between two of its pages is not returned as a mixture.
func TestPageOfAChangedRecord(t *testing.T) {
	t.Parallel()
	db, sealer, ada := actortest.Databases(t)[0].Open(t, "consent", tables), actortest.Sealer(t), actortest.User()
	insert(t, db, "INSERT INTO letters VALUES (?, 1, ?, NULL, 0, TRUE)", ada, strings.Repeat("x", dataexport.PageBytes*2))
	e := dataexport.New(actors.Deps{DB: db, Sealer: sealer}, set)
	first, err := e.Page(t.Context(), ada, "")
	if err != nil || len(first.Data) != dataexport.PageBytes || first.Records != 0 {
		t.Fatalf("%d bytes, %v", len(first.Data), err)
	}
	again, err := e.Page(t.Context(), ada, first.NextCursor)
	if err != nil || bytes.Equal(again.Data, first.Data) && again.NextCursor == first.NextCursor {
		t.Fatalf("the second page: %v", err)
	}
	insert(t, db, "UPDATE letters SET body = ?", strings.Repeat("y", dataexport.PageBytes*2))
	if _, err := e.Page(t.Context(), ada, first.NextCursor); subjects.CodeOf(err) != subjects.CodeConflict {
		t.Errorf("of a record that has changed: %v", err)
	}
}

// TestCursorsAreChecked: a cursor that no page has returned is refused with its field.
func TestCursorsAreChecked(t *testing.T) {
	t.Parallel()
	e := dataexport.New(actors.Deps{DB: actortest.Databases(t)[0].Open(t, "consent", tables)}, set)
	for _, cursor := range []string{"?", "e30", "eyJzIjoibGV0dGVycyIsImsiOlsxLDJdfQ", "eyJzIjoibGV0dGVycyIsImsiOlsxLjVdfQ", "eyJzIjoibGV0dGVycyIsIm8iOi0xfQ"} {
		if _, err := e.Page(t.Context(), actortest.User(), cursor); subjects.CodeOf(err) != subjects.CodeInvalid {
			t.Errorf("%s: %v", cursor, err)
		}
	}
}
