package subjects_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/weftmesh/weft/subjects"
)

func TestEncode(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("CET", 3600)
	at := time.Date(2026, 11, 29, 13, 0, 0, 0, zone)
	for want, value := range map[string]any{
		`{"at":"2026-11-29T12:00:00.000000Z"}`:        map[string]any{"at": at},
		`["2026-11-29T12:00:00.123456Z",null]`:        []*time.Time{new(at.Add(123456789)), nil},
		`{"b":1,"z":"<a href=\"x?a=1&b=2\">é\u2028"}`: map[string]any{"z": "<a href=\"x?a=1&b=2\">é\u2028", "b": 1},
		`{"a":[12345678901234567890,1.50,0]}`: map[string]any{"a": []any{
			json.Number("12345678901234567890"), json.Number("1.50"), json.Number(""),
		}},
		`{"raw":{"n":7615917337495251231,"x":"<"}}`: map[string]json.RawMessage{"raw": []byte(`{"n":7615917337495251231,"x":"<"}`)},
		`{"name":"","optional":"2026-11-29T12:00:00.000000Z"}`: struct {
			Name     string     `json:"name"`
			Left     string     `json:"left,omitempty"`
			Missing  *time.Time `json:"missing,omitempty"`
			Optional *time.Time `json:"optional,omitempty"`
		}{Optional: &at},
	} {
		if got, err := subjects.Encode(value); err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}
