package manifest_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// TestTemplates evaluates values of a JSON body. The input is {"id": "x"}.
func TestTemplates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value, want string }{
		{"literals", `{s: text, i: 7, f: 1.5, t: true, n: null, l: [], o: {}}`, `{"f":1.5,"i":7,"l":[],"n":null,"o":{},"s":"text","t":true}`},
		{"large integer", `[9007199254740993, -9223372036854775808]`, `[9007199254740993,-9223372036854775808]`},
		{"number forms", `[16, 1.5, -0.25]`, `[16,1.5,-0.25]`},
		{"date is a string", `[2026-01-02, 2026-01-02T03:04:05Z]`, `["2026-01-02","2026-01-02T03:04:05Z"]`},
		{"expression", `"${ .input.id }"`, `"x"`},
		{"expression without spaces", `"${.input.id}"`, `"x"`},
		{"expression of several lines", `"${\n  .input.id\n}"`, `"x"`},
		{"dollar", `"$ { .input.id }"`, `"$ { .input.id }"`},
		{"interpolation within jq", `'${ "id \(.input.id)" }'`, `"id x"`},
		{"braces within jq", `"${ {a: {b: .input.id}} }"`, `{"a":{"b":"x"}}`},
		{"first of several values", `"${ 1, 2, 3 }"`, `1`},
		{"false is a value", `{a: "${ false }"}`, `{"a":false}`},
		{"empty string is a value", `{a: "${ \"\" }"}`, `{"a":""}`},
		{"null is omitted", `{a: "${ null }", b: "${ .input | .[\"n\" + \"one\"] }", c: 1}`, `{"c":1}`},
		{"nothing is omitted", `{a: "${ empty }", b: [1, "${ empty }", 2]}`, `{"b":[1,2]}`},
		{"object that becomes empty", `{a: {b: "${ null }"}, l: ["${ null }"]}`, `{"a":{},"l":[]}`},
		{"null within a value is kept", `{a: "${ {b: null} }"}`, `{"a":{"b":null}}`},
		{"deep value", `{a: [{b: [{c: "${ .input.id }"}]}]}`, `{"a":[{"b":[{"c":"x"}]}]}`},
		{"number of jq", `"${ 1 / 3 }"`, `0.3333333333333333`},
		{"integer of jq", `"${ 9007199254740993 + 1 }"`, `9007199254740994`},
		{"unicode", `"${ .input.id + \"é\\u0000\" }"`, `"xé\u0000"`},
		{"no HTML escapes", `"<&>"`, `"<&>"`},
	} {
		p := load(t, "safety: read", "safety: read\n    body: {json: "+c.value+"}")
		if r := request(t, p, key, map[string]any{"id": "x"}); string(r.Body) != c.want {
			t.Errorf("%s: got %s, want %s", c.name, r.Body, c.want)
		}
	}
}

// TestWhatExpressionsSee: requests see the connection and the input, and responses see neither settings nor credentials.
func TestWhatExpressionsSee(t *testing.T) {
	t.Parallel()
	p := load(t, "safety: read", `safety: read
    body: {json: "${ keys }"}
    output: '${ {keys: keys, secret: .credentials, settings: .settings} }'`)
	if r := request(t, p, key, map[string]any{"id": "x"}); string(r.Body) != `["before","credentials","input","settings"]` {
		t.Errorf("request: got %s", r.Body)
	}
	output, failed := interpret(t, p, 200, `{}`)
	if failed != nil || text(output) != `{"keys":["base64","body","headers","input","now","object","status"],"secret":null,"settings":null}` {
		t.Errorf("response: got %s, %v", text(output), failed)
	}
}

func TestQueryAndFormValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value, want string }{
		{"scalars", `{s: a b, i: 7, f: 1.5, b: false, e: ""}`, "b=false&e=&f=1.5&i=7&s=a+b"},
		{"null is omitted", `{a: null, b: "${ null }", c: 1}`, "c=1"},
		{"list repeats its name", `{a: [1, x, null, true]}`, "a=1&a=x&a=true"},
		{"empty list", `{a: [], b: 1}`, "b=1"},
		{"large number", `{a: 12345678901234567890, b: "${ 100000000000000000000 }"}`, "error"},
		{"big integer of jq", `{b: "${ 100000000000000000000 }"}`, "b=100000000000000000000"},
		{"float without exponent", `{b: "${ 1e21 }", c: "${ 0.000001 }"}`, "b=1000000000000000000000&c=0.000001"},
		{"reserved characters", `{"a&b": "c=d&e+f%20"}`, "a%26b=c%3Dd%26e%2Bf%2520"},
		{"whole expression", `"${ {id: .input.id, n: [1, 2]} }"`, "id=x&n=1&n=2"},
		{"object as a value", `{a: {b: 1}}`, "error"},
		{"list of lists", `{a: [[1]]}`, "error"},
		{"expression that yields a list", `"${ [1] }"`, "error"},
		{"expression that yields a string", `"${ .input.id }"`, "error"},
	} {
		source := changed(t, "safety: read", "safety: read\n    query: "+c.value+"\n    body: {form: "+c.value+"}")
		p, err := manifest.Load([]byte(source))
		if err != nil {
			if c.want != "error" {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		a, _ := p.Action("get_thing")
		r, err := a.Request(key, manifest.Call{Input: map[string]any{"id": "x"}})
		if c.want == "error" {
			if err == nil {
				t.Errorf("%s: got %s, want an error", c.name, r.URL)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		u, _ := url.Parse(r.URL)
		if u.RawQuery != c.want || string(r.Body) != c.want {
			t.Errorf("%s: got the query %s and the form %s, want %s", c.name, u.RawQuery, r.Body, c.want)
		}
	}
}

func TestBracketFormValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, form, want string }{
		{"list of lists", `{a: [[1, 2], [3]]}`, "a[0][0]=1&a[0][1]=2&a[1][0]=3"},
		{"null elements keep their index", `{a: [null, 1]}`, "a[1]=1"},
		{"empty values", `{a: {}, b: [], c: ""}`, "c="},
		{"expression", `"${ {a: {b: [.input.id]}} }"`, "a[b][0]=x"},
		{"no object", `"${ [1] }"`, "error"},
	} {
		a, _ := load(t, "safety: read", "safety: read\n    body: {form_style: brackets, form: "+c.form+"}").Action("get_thing")
		r, err := a.Request(key, manifest.Call{Input: map[string]any{"id": "x"}})
		if c.want == "error" {
			if err == nil {
				t.Errorf("%s: got %s, want an error", c.name, r.Body)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got, err := url.QueryUnescape(string(r.Body)); err != nil || got != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.name, got, err, c.want)
		}
	}
}

func TestHeaderValues(t *testing.T) {
	t.Parallel()
	p := load(t, "auth:", "headers: {X-One: provider, X-Two: provider, User-Agent: acme}\nauth:", "safety: read", `safety: read
    headers: {x-two: action, X-List: [a, 2], X-None: "${ null }", X-Bool: true, accept: text/csv}`)
	h := request(t, p, key, map[string]any{"id": "x"}).Header
	for name, want := range map[string]string{
		"X-One": "provider", "X-Two": "action", "X-List": "a,2", "X-None": "", "X-Bool": "true", "Accept": "text/csv", "User-Agent": "acme",
	} {
		if got := strings.Join(h.Values(name), ","); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for _, headers := range []string{
		`{"X Y": a}`, `{"": a}`, `{"X:": a}`, `{"Ü": a}`, `{X-A: "a\nb"}`, `{X-A: "a\0b"}`, `{X-A: {b: c}}`, `'${ {"X-A": [["a"]]} }'`, `'${ "a" }'`,
	} {
		a, _ := load(t, "safety: read", "safety: read\n    headers: "+headers).Action("get_thing")
		if r, err := a.Request(key, manifest.Call{Input: map[string]any{"id": "x"}}); err == nil {
			t.Errorf("%s: got %v, want an error", headers, r.Header)
		}
	}
}

// TestInputTypes: Go values of an input that JSON can express are accepted, and others are an error.
func TestInputTypes(t *testing.T) {
	t.Parallel()
	p := load(t, "id: {type: string}", "id: true", "safety: read", "safety: read\n    body: {json: '${ .input.id }'}", "path: /things/{id}", "path: /things")
	a, _ := p.Action("get_thing")
	type named struct {
		A int `json:"a"`
	}
	for _, c := range []struct {
		value any
		want  string
	}{
		{int64(9007199254740993), "9007199254740993"}, {uint8(7), "7"}, {float32(0.5), "0.5"}, {json.Number("1.50"), "1.50"}, {json.RawMessage(`{"a":[1]}`), `{"a":[1]}`},
		{named{A: 1}, `{"a":1}`}, {[]string{"a"}, `["a"]`}, {map[string]int{"a": 1}, `{"a":1}`}, {&named{A: 2}, `{"a":2}`},
	} {
		input := map[string]any{"id": c.value}
		if err := a.ValidateInput(input); err != nil {
			t.Errorf("%T: %v", c.value, err)
		}
		r, err := a.Request(key, manifest.Call{Input: input})
		if err != nil || string(r.Body) != c.want {
			t.Errorf("%T: got %v, %v, want %s", c.value, r, err, c.want)
		}
	}
	for _, value := range []any{make(chan int), func() {}, json.RawMessage(`{`)} {
		input := map[string]any{"id": value}
		if err := a.ValidateInput(input); err == nil || err.Error() != "is not JSON" {
			t.Errorf("%T: ValidateInput returned %v", value, err)
		}
		if _, err := a.Request(key, manifest.Call{Input: input}); err == nil {
			t.Errorf("%T: Request returned no error", value)
		}
	}
}

func TestExpressionErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, place, want string }{
		{"path", `path: '${ .input.id | error }'`, "path: the expression failed"},
		{"path parameter", "path: /things/{n}\n    params: {n: '${ [1] }'}", "path: must be a string, number or boolean"},
		{"query", "path: /things\n    query: {a: '${ .input.id.b }'}", "query: the expression failed"},
		{"headers", "path: /things\n    headers: {a: '${ .input.id.b }'}", "headers: the expression failed"},
		{"body", "path: /things\n    body: {json: '${ .input.id.b }'}", "body: the expression failed"},
		{"size", "path: /things\n    body: {json: '${ .input.id * 3000000 }'}", "body: the value of the expression exceeds the size limit"},
		{"sizes together", "path: /things\n    query: '${ [range(1500000)] | {a: length} }'\n    body: {json: ['${ .input.id * 1500000 }', '${ .input.id * 1500000 }']}", "body: the value of the expression exceeds the size limit"},
		{"answer", "path: /things\n    answer: '${ .input.id.b }'", "answer: the expression failed"},
		{"object", "path: /things\n    object: '${ .input.id }'", "object: no object store is available"},
	} {
		a, _ := load(t, "path: /things/{id}", c.place).Action("get_thing")
		_, err := a.Request(key, manifest.Call{Input: map[string]any{"id": "x"}})
		if want := "building acme request get_thing: " + c.want; err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", c.name, err, want)
		}
	}
}
