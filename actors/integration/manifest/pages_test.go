package manifest_test

import (
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

func TestNextPage(t *testing.T) {
	t.Parallel()
	const header = `<https://api.acme.test/v1/things?page=3>; rel="next"`
	for _, c := range []struct{ name, next, body, want string }{
		{"cursor", `${ .body.next }`, `{"next":"c2"}`, `"c2"`},
		{"number", `${ .body.next }`, `{"next":12345678901234567890}`, `12345678901234567890`},
		{"empty string", `${ .body.next }`, `{"next":""}`, ``},
		{"null", `${ .body.next }`, `{"next":null}`, ``},
		{"absent", `${ .body.next }`, `{}`, ``},
		{"nothing", `${ empty }`, `{}`, ``},
		{"literal null", `${ null }`, `{}`, ``},
		{"page number", `${ select(.body.more) | .input.page + 1 }`, `{"more":true}`, `2`},
		{"zero", `${ 0 }`, `{}`, `0`},
		{"header", `${ .headers.link | capture("page=(?<page>[0-9]+)>; rel=.next").page }`, `{}`, `"3"`},
		{"status", `${ select(.status == 206) | 9 }`, `{}`, ``},
		{"object", `${ {page: 2} }`, `{}`, `error: evaluating the next page of get_thing: not a string or number`},
		{"list", `${ [1] }`, `{}`, `error: evaluating the next page of get_thing: not a string or number`},
		{"false", `${ false }`, `{}`, `error: evaluating the next page of get_thing: not a string or number`},
		{"fails", `${ .body.next.deep }`, `{"next":"c2"}`, `error: `},
		{"credentials", `${ .credentials | values | "secret" }`, `{}`, ``},
		{"an echoed credential", `${ .body.next }`, `{"next":"at-k3y-k3y-k3y"}`, `"at-[redacted]"`},
	} {
		p := load(t, "id: {type: string}", "id: {type: string}\n        page: {}", "safety: read", "safety: read\n    pagination: {cursor: page, next: '"+c.next+"'}")
		a, _ := p.Action("get_thing")
		input := map[string]any{"id": "x", "page": 1}
		before := maps.Clone(input)
		answer := manifest.Answer{Status: 200, Header: http.Header{"Link": {header}}, Body: []byte(c.body)}
		next, more, err := a.NextPage(key, input, answer)
		output, failed := a.Interpret(key, input, answer)
		got, shown := "", ""
		switch {
		case err != nil:
			got = "error: " + err.Error()
			if failed == nil || failed.Code != "output" {
				t.Errorf("%s: the call answered %v, %v", c.name, output, failed)
			}
		default:
			if more {
				got = text(next["page"])
			}
			if cursor, ok := output.(map[string]any)[manifest.NextCursorField]; ok {
				shown = text(cursor)
			}
			if shown != got {
				t.Errorf("%s: the output has the cursor %s, the next input %s", c.name, shown, got)
			}
		}
		if got != c.want && (c.want != "error: " || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if !maps.Equal(input, before) {
			t.Errorf("%s: the input was modified: %v", c.name, input)
		}
	}
}

// TestPageOutputs: the output of a page is an object, whatever the manifest's output, and has the cursor exactly if there is one.
func TestPageOutputs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ output, schema, body, want string }{
		{"${ .body }", "{type: object, properties: {a: {type: string}}}", `{"a":1,"next":"c"}`, `{"a":1,"next":"c","next_cursor":"c"}`},
		{"${ .body.list }", "{type: array, items: {type: integer}}", `{"list":[1,2],"next":"c"}`, `{"items":[1,2],"next_cursor":"c"}`},
		{"${ .body.list }", "{type: array, items: {type: integer}}", `{"list":[]}`, `{"items":[]}`},
		{"${ {a: 1, next_cursor: .body.next} }", "{type: object}", `{"next":""}`, `{"a":1}`},
		{"${ null }", "{type: object}", `{"next":"c"}`, `{"next_cursor":"c"}`},
	} {
		p := load(t, "id: {type: string}", "id: {type: string}\n        page: {type: string}", "safety: read",
			"safety: read\n    output: '"+c.output+"'\n    output_schema: "+c.schema+"\n    pagination: {cursor: page, next: '${ .body.next }'}")
		a, _ := p.Action("get_thing")
		output, failed := a.Interpret(key, map[string]any{"id": "x"}, manifest.Answer{Status: 200, Body: []byte(c.body)})
		if failed != nil || text(output) != c.want {
			t.Errorf("%s of %s: got %s, %v, want %s", c.output, c.body, text(output), failed, c.want)
		}
		schema := text(a.OutputSchema)
		if !strings.Contains(schema, `"next_cursor":{"description":"The cursor of the next page, for the input's page; absent on the last page.","type":"string"}`) ||
			!strings.Contains(schema, `"type":"object"`) {
			t.Errorf("%s: the output schema is %s", c.output, schema)
		}
	}
	_, err := manifest.Load([]byte(changed(t, "safety: read", "safety: read\n    pagination: {cursor: page, next: '${ .body.next }'}")))
	if err == nil || !strings.Contains(err.Error(), "/actions/get_thing/pagination/cursor: the input has no field page") {
		t.Errorf("a cursor that the input does not have: %v", err)
	}
}

func TestNotPaginated(t *testing.T) {
	t.Parallel()
	p := load(t)
	a, _ := p.Action("get_thing")
	if next, more, err := a.NextPage(key, nil, manifest.Answer{Status: 200}); next != nil || more || err != nil || a.Paginated || a.Items([]any{1}) != nil {
		t.Errorf("got %v, %v, %v, paginated %v", next, more, err, a.Paginated)
	}
}

func TestItems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		items  string
		output any
		want   string
	}{
		{"${ .output }", []any{1, 2}, "[1,2]"}, {"${ .output.list }", map[string]any{"list": []any{"a"}}, `["a"]`},
		{"${ .output.list }", map[string]any{}, "null"}, {"${ .output.list }", "text", "null"}, {"${ .output }", map[string]any{"a": 1}, "null"},
		{"${ .output | map(.id) }", []any{map[string]any{"id": 7}}, "[7]"}, {"${ .input }", []any{1}, "null"},
	} {
		a, _ := load(t, "safety: read", "safety: read\n    pagination: {items: '"+c.items+"', cursor: id, next: '${ null }'}").Action("get_thing")
		if got := text(a.Items(c.output)); got != c.want {
			t.Errorf("%s of %v: got %s, want %s", c.items, c.output, got, c.want)
		}
	}
}

const threeLimits = `limits:
  - {id: fast, requests: 10, per: 1s, remaining: '${ .headers["x-left"] }', reset: '${ (.headers["x-reset"] | values | tonumber) - .now }'}
  - {id: daily, requests: 1000, per: 24h, scope: provider, remaining: "${ .body.left }"}
  - {id: other, requests: 1, per: 1s, actions: [list_things]}
  - {id: silent, requests: 5, per: 1s}
auth:`

const listThings = `
  list_things:
    title: List things
    safety: read
    method: GET
    path: /things
    input: {type: object}
  get_thing:`

func TestLimits(t *testing.T) {
	t.Parallel()
	p := load(t, "auth:", threeLimits, "\n  get_thing:", listThings)
	ids := func(a *manifest.Action) string {
		var names []string
		for _, l := range a.Limits() {
			names = append(names, l.ID)
		}
		return strings.Join(names, " ")
	}
	get, _ := p.Action("get_thing")
	list, _ := p.Action("list_things")
	for name, c := range map[string][2]string{
		"get_thing": {ids(get), "daily silent fast"}, "list_things": {ids(list), "daily other silent fast"},
		"health": {ids(p.Health), "daily silent fast"}, "proxy": {ids(p.Proxy), "daily silent fast"},
	} {
		if c[0] != c[1] {
			t.Errorf("limits of %s: got %s, want %s", name, c[0], c[1])
		}
	}
	if i := slices.IndexFunc(p.Limits, manifest.Limit.OfProvider); i != 1 || slices.ContainsFunc(p.Limits[2:], manifest.Limit.OfProvider) {
		t.Errorf("the shared limit is %d", i)
	}
}

func TestLimitReadings(t *testing.T) {
	t.Parallel()
	p := load(t, "auth:", threeLimits, "\n  get_thing:", listThings)
	a, _ := p.Action("get_thing")
	for _, c := range []struct {
		name, left, reset, body string
		want                    map[string]manifest.LimitReading
	}{
		{"nothing reported", "", "", `{}`, nil},
		{"header", "7", "", ``, map[string]manifest.LimitReading{"fast": {Remaining: 7}}},
		{"body", "", "", `{"left":3}`, map[string]manifest.LimitReading{"daily": {Remaining: 3}}},
		{"both", "0", "1795435260", `{"left":"3"}`, map[string]manifest.LimitReading{"fast": {Remaining: 0, Reset: time.Minute}, "daily": {Remaining: 3}}},
		{"reset in the past", "1", "1", ``, map[string]manifest.LimitReading{"fast": {Remaining: 1}}},
		{"reset far away", "1", "9999999999", ``, map[string]manifest.LimitReading{"fast": {Remaining: 1}}},
		{"reset alone", "", "1795435260", ``, nil},
		{"invalid reset", "1", "soon", ``, map[string]manifest.LimitReading{"fast": {Remaining: 1}}},
		{"negative", "-5", "", ``, map[string]manifest.LimitReading{"fast": {Remaining: 0}}},
		{"fraction", "2.9", "", ``, map[string]manifest.LimitReading{"fast": {Remaining: 2}}},
		{"huge", "1e300", "", ``, map[string]manifest.LimitReading{"fast": {Remaining: math.MaxInt32}}},
		{"no number", "many", "", `{"left":"NaN"}`, nil},
	} {
		answer := manifest.Answer{Status: 200, Header: http.Header{}, Body: []byte(c.body), At: noon}
		for name, value := range map[string]string{"X-Left": c.left, "X-Reset": c.reset} {
			if value != "" {
				answer.Header.Set(name, value)
			}
		}
		got := a.Readings(answer)
		if len(got) != len(c.want) {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
		for _, reading := range got {
			if want := c.want[reading.Limit.ID]; reading.Remaining != want.Remaining || reading.Reset != want.Reset {
				t.Errorf("%s: %s: got %+v, want %+v", c.name, reading.Limit.ID, reading, want)
			}
		}
	}
}
