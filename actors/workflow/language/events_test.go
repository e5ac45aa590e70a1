package language

import (
	"slices"
	"strings"
	"testing"
)

func TestIsLiteral(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"com.example.order": true, "": true, "a-b_c/d:e": true, `a\.b`: false, "a*": false, "a+": false, "a?": false, "(a)": false, "[ab]": false, "a{2}": false, "a|b": false, "^a": false, "a$": false,
	} {
		if got := IsLiteral(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestConsumption(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		to      string
		types   []string
		forever bool
		mode    string
		filters int
	}{
		{`{one: {with: {type: a}}}`, []string{"a"}, false, "one", 1},
		{`{any: [{with: {type: a}}, {with: {type: b}}, {with: {type: a, source: s}}]}`, []string{"a", "b"}, false, "any", 3},
		{`{all: [{with: {type: a}}, {with: {type: 'b.*'}}]}`, nil, false, "all", 2},
		{`{all: [{with: {type: a}}, {with: {source: s}}]}`, nil, false, "all", 2},
		{`{any: [{with: {type: '${ .x }'}}]}`, nil, false, "any", 1},
		{`{any: []}`, nil, false, "any", 0},
		{`{any: [{with: {type: a}}], until: {one: {with: {type: z}}}}`, []string{"a", "z"}, false, "any", 1},
		{`{any: [{with: {type: a}}], until: {any: []}}`, nil, false, "any", 1},
		{`{any: [{with: {type: a}}], until: 'false'}`, []string{"a"}, true, "any", 1},
		{`{any: [{with: {type: a}}], until: '${ false }'}`, []string{"a"}, true, "any", 1},
		{`{any: [{with: {type: a}}], until: '${ .x }'}`, []string{"a"}, false, "any", 1},
	} {
		to := task(t, "listen: {to: "+test.to+"}").Listen.To
		if got := to.Types(); !slices.Equal(got, test.types) || (got == nil) != (test.types == nil) {
			t.Errorf("%s: types %v, want %v", test.to, got, test.types)
		}
		if to.Forever() != test.forever || to.Mode != test.mode || len(to.Filters) != test.filters {
			t.Errorf("%s: %+v", test.to, to)
		}
	}
	filter := task(t, "listen: {to: {one: {with: {type: a, data: '${ .n > 1 }'}, correlate: {k: {from: .id, expect: '${ .id }'}, l: {from: .x}}}}}").Listen.To.Filters[0]
	if len(filter.With) != 2 || filter.Correlate["k"] != (Correlation{From: ".id", Expect: "${ .id }"}) || filter.Correlate["l"] != (Correlation{From: ".x"}) {
		t.Errorf("filter %+v", filter)
	}
}

func TestReadEvent(t *testing.T) {
	t.Parallel()
	event := map[string]any{"type": "t", "id": "1", "data": map[string]any{"n": 1}}
	binary := map[string]any{"type": "t", "data_base64": "aGk="}
	empty := map[string]any{"type": "t"}
	for _, test := range []struct {
		event map[string]any
		read  string
		want  string
	}{
		{event, "data", `{"n":1}`}, {event, "", `{"n":1}`}, {event, "raw", `"{\"n\":1}"`}, {event, "envelope", string(Canonical(event))},
		{binary, "data", `"aGk="`}, {binary, "raw", `"aGk="`}, {empty, "data", `null`}, {empty, "raw", `null`}, {empty, "envelope", `{"type":"t"}`},
	} {
		if got := string(Canonical(ReadEvent(test.event, test.read))); got != test.want {
			t.Errorf("%v as %q is %s, want %s", test.event, test.read, got, test.want)
		}
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	w := parse(t, `use:
  catalogs:
    plain: {endpoint: 'https://x.test/catalog/'}
    github: {endpoint: 'https://github.com/some/repo'}
    branch: {endpoint: 'https://github.com/some/repo/tree/v2/sub'}
    private: {endpoint: {uri: 'https://x.test/', authentication: {basic: {username: u, password: p}}}}
do:
- a: {call: 'f:1.0.0@plain'}
- b: {call: 'f:1.0.0@github'}
- c: {call: 'f:1.0.0@branch'}
- d: {call: 'f:1.0.0@private'}
- e: {call: 'https://x.test/f.yaml'}
- g: {call: 'ftp://x.test/f.yaml'}
- h: {call: 'https://{host}/f.yaml'}
- i: {wait: PT1S, input: {schema: {resource: {endpoint: 'https://x.test/s.json'}}}}
- j: {wait: PT1S, input: {schema: {resource: {endpoint: '${ .uri }'}}}}`)
	var got []string
	for _, reference := range w.References() {
		got = append(got, reference.Pointer+" "+reference.Function+" "+reference.URI)
	}
	want := []string{
		"/do/0/a f:1.0.0@plain https://x.test/catalog/functions/f/1.0.0/function.yaml",
		"/do/1/b f:1.0.0@github https://raw.githubusercontent.com/some/repo/main/functions/f/1.0.0/function.yaml",
		"/do/2/c f:1.0.0@branch https://raw.githubusercontent.com/some/repo/v2/sub/functions/f/1.0.0/function.yaml",
		"/do/4/e https://x.test/f.yaml https://x.test/f.yaml",
		"/do/7/i/input/schema  https://x.test/s.json",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := len(w.Unsupported()); got != 9 {
		t.Errorf("%d constructs are unsupported, want 9: %v", got, w.Unsupported())
	}
}

// TestInlineKeepsTheDefinition: Inline does not change the parsed definition, and ignores texts it does not refer to.
func TestInlineKeepsTheDefinition(t *testing.T) {
	t.Parallel()
	w := parse(t, "do: [{a: {call: 'https://x.test/f.yaml', with: {n: 1}}}]")
	before := string(w.Canonical)
	source, faults := Inline(w, map[string][]byte{
		"https://x.test/f.yaml":     []byte("\ufeffset: {x: 1, '~/': 2}\n"),
		"https://x.test/other.yaml": []byte("["),
	})
	if len(faults) > 0 || string(Canonical(w.Definition)) != before {
		t.Fatalf("%v: the definition is %s", faults, Canonical(w.Definition))
	}
	inlined, faults := Parse(source)
	if len(faults) > 0 || len(inlined.Unsupported()) > 0 || string(Canonical(inlined.Use.Functions["https://x.test/f.yaml"].Set)) != `{"x":1,"~/":2}` {
		t.Errorf("%v, %v: %s", faults, inlined.Unsupported(), source)
	}
	same, faults := Inline(w, nil)
	if len(faults) > 0 || string(same) != before {
		t.Errorf("without texts: %s, %v", same, faults)
	}
}

func TestValueAt(t *testing.T) {
	t.Parallel()
	value, err := Decode([]byte(`{"a":[{"b/c":1,"d~e":2},"x"],"":{"f":3}}`))
	if err != nil {
		t.Fatal(err)
	}
	for pointer, want := range map[string]string{
		"/a/0/b~1c": `1`, "/a/0/d~0e": `2`, "/a/1": `"x"`, "/a": `[{"b/c":1,"d~e":2},"x"]`, "/a/2": `null`, "/a/-1": `null`, "/a/x": `null`, "/z": `null`,
	} {
		if got := string(Canonical(valueAt(value, pointer))); got != want {
			t.Errorf("%s is %s, want %s", pointer, got, want)
		}
	}
}
