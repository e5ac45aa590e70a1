package actors_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

func TestCursorRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.StringMatching(`[^\x00]*`), 1, 4).Draw(t, "key")
		cursor := actors.EncodeCursor(key...)
		if strings.ContainsAny(cursor, "+/= ") {
			t.Fatalf("%q cannot be used in a URL", cursor)
		}
		got, err := actors.DecodeCursor(cursor, len(key))
		if err != nil || !slices.Equal(got, key) {
			t.Fatalf("%q becomes %q, %v", key, got, err)
		}
		_, err = actors.DecodeCursor(cursor, len(key)+1)
		if subjects.CodeOf(err) != subjects.CodeInvalid {
			t.Fatalf("with one part less than wanted: %v", err)
		}
	})
}

func TestEmptyCursor(t *testing.T) {
	t.Parallel()
	if got := actors.EncodeCursor(); got != "" {
		t.Errorf("without a key the cursor is %q", got)
	}
	got, err := actors.DecodeCursor("", 2)
	if err != nil || !slices.Equal(got, []string{"", ""}) {
		t.Errorf("%q, %v, want two empty parts", got, err)
	}
}

func TestInvalidCursors(t *testing.T) {
	t.Parallel()
	encode := base64.RawURLEncoding.EncodeToString
	for name, cursor := range map[string]string{
		"not base64":       "not base64!",
		"padded":           base64.URLEncoding.EncodeToString([]byte(`["a","b"]`)) + "=",
		"not JSON":         encode([]byte("a,b")),
		"an object":        encode([]byte(`{"a":"b"}`)),
		"numbers":          encode([]byte(`[1,2]`)),
		"too few parts":    encode([]byte(`["a"]`)),
		"too many parts":   encode([]byte(`["a","b","c"]`)),
		"JSON with a tail": encode([]byte(`["a","b"]x`)),
		"null":             encode([]byte(`null`)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := actors.DecodeCursor(cursor, 2)
			wantCode(t, err, subjects.CodeInvalid)
			var coded *subjects.Error
			if !errors.As(err, &coded) || len(coded.Fields) != 1 || coded.Fields[0].Field != "cursor" {
				t.Errorf("the error %v does not name the field", err)
			}
			if got != nil {
				t.Errorf("it yields %q", got)
			}
		})
	}
}

func TestPageOf(t *testing.T) {
	t.Parallel()
	key := func(s string) []string { return []string{s} }
	for name, c := range map[string]struct {
		items []string
		limit int
		want  []string
		next  string // the last item of the page, if there is a next one
	}{
		"none":             {nil, 2, []string{}, ""},
		"fewer than limit": {[]string{"a"}, 2, []string{"a"}, ""},
		"exactly limit":    {[]string{"a", "b"}, 2, []string{"a", "b"}, ""},
		"one more":         {[]string{"a", "b", "c"}, 2, []string{"a", "b"}, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := actors.PageOf(c.items, c.limit, key)
			if !slices.Equal(page.Items, c.want) {
				t.Errorf("the items are %q, want %q", page.Items, c.want)
			}
			want := ""
			if c.next != "" {
				want = actors.EncodeCursor(c.next)
			}
			if page.NextCursor != want {
				t.Errorf("the cursor is %q, want %q", page.NextCursor, want)
			}
			if data, err := json.Marshal(page); err != nil || strings.Contains(string(data), "null") {
				t.Errorf("encoded as %s, %v", data, err)
			}
		})
	}
}
