package language

import (
	"slices"
	"strings"
	"testing"
)

// TestMisspeltNamesSayWhatWasMeant: every name of a definition that can be checked is, all in one pass, at its position.
func TestMisspeltNamesSayWhatWasMeant(t *testing.T) {
	t.Parallel()
	_, faults := Parse([]byte(head + `use:
  retries: {often: {delay: PT1S}}
  errors: {soldOut: {type: 'https://x.test/e', status: 409}}
  timeouts: {short: {after: PT1S}}
  secrets: [shopKey]
  authentications: {shop: {bearer: {token: t}}}
do:
- first:
    tri: []
- second:
    call: http
    with: {metod: get, endpoint: {uri: 'https://x.test', authentication: {use: shp}}, headers: {a: '${ $secrets.shopkey }'}}
    timeout: shrt
    then: thrid
- third:
    try:
    - fourth: {raise: {error: soldout}}
    catch: {retry: oftn, errors: {with: {stats: 1}}}
- fifth:
    run: {workflow: {nmae: x, namespace: n, version: 1.0.0}, return: nothing}
- sixth: {set: '${ $contxt }'}
outptu: {as: .x}
`))
	want := []string{
		`/do/0/first: a task needs one of`, `/do/0/first/tri: unknown field "tri": did you mean "try"?`,
		`/do/1/second/with/metod: unknown field "metod": did you mean "method"?`,
		`/do/1/second/with/endpoint/authentication/use: use.authentications has no "shp": did you mean "shop"?`,
		`/do/1/second/with/headers/a: use.secrets has no "shopkey": did you mean "shopKey"?`,
		`/do/1/second/timeout: use.timeouts has no "shrt": did you mean "short"?`,
		`/do/1/second/then: the task list has no task "thrid": did you mean "third"?`,
		`/do/2/third/try/0/fourth/raise/error: use.errors has no "soldout": did you mean "soldOut"?`,
		`/do/2/third/catch/retry: use.retries has no "oftn": did you mean "often"?`,
		`/do/2/third/catch/errors/with/stats: unknown field "stats": did you mean "status"?`,
		`/do/3/fifth/run/workflow/nmae: unknown field "nmae": did you mean "name"?`,
		`/do/3/fifth/run/return: one of stdout, stderr, code, all, none is expected`,
		`/do/4/sixth/set: variable not defined: $contxt: did you mean $context?`,
		`/outptu: unknown field "outptu": did you mean "output"?`,
	}
	for _, text := range want {
		if !slices.ContainsFunc(faults, func(f Fault) bool { return strings.Contains(f.Error(), text) && f.Line > 1 }) {
			t.Errorf("no fault %s", text)
		}
	}
	if t.Failed() {
		t.Log(faults)
	}
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"post_mesage": "post_message", "get": "", "GET_USER": "get_user", "zzz": "", "psot_message": "post_message"} {
		if got := Suggest(name, []string{"get_user", "post_message", "x"}); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestSwitchDefaults(t *testing.T) {
	t.Parallel()
	_, faults := Parse([]byte(head + "do: [{a: {switch: [{x: {then: end}}, {y: {when: .b, then: end}}, {z: {then: exit}}]}}]"))
	if len(faults) != 1 || faults[0].Pointer != "/do/0/a/switch/2" || !strings.Contains(faults[0].Message, "at most one default") {
		t.Errorf("two defaults: %v", faults)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"do: [{a: {try: [{b: {wait: PT1S}}], catch: {when: '${ .status == 503 }'}}}]":                               "$error.status",
		"do: [{a: {try: [{b: {wait: PT1S}}], catch: {as: problem, exceptWhen: '${ .type == \"x\" }'}}}]":            "$problem.type",
		"use: {retries: {r: {when: '${ .detail == \"x\" }', delay: PT1S}}}\ndo: [{b: {wait: PT1S}}]":                "$error.detail",
		"do: [{a: {try: [{b: {wait: PT1S}}], catch: {when: '${ $error.status == 503 }'}}}]":                         "",
		"do: [{a: {try: [{b: {wait: PT1S}}], catch: {when: '${ .order.status == 503 }'}}}]":                         "",
		"do: [{a: {listen: {to: {one: {with: {type: t}, correlate: {c: {from: .data.id, expect: .id}}}}}}}]":        "write ${ .id }",
		"do: [{a: {listen: {to: {one: {with: {type: t}, correlate: {c: {from: .data.id, expect: '${ .id }'}}}}}}}]": "",
		"do: [{a: {set: {x: 'Hello ${ .name }, again'}}}]":                                                          `write ${ "Hello \(.name), again" }`,
		"do: [{a: {set: {x: '$5 {or} less'}}}]":                                                                     "",
		"do: [{a: {set: {x: 1}}}, {a: {set: {x: 2}}}]":                                                              `named "a" too`,
		"do: [{a: {set: {x: 1}}}]\nfunctions: []":                                                                   "is ignored",
		"do: [{a: {set: {x: 1}}}]\nx-team: {}":                                                                      "",
	} {
		w, faults := Parse([]byte(head + source))
		if w == nil {
			t.Errorf("%s: %v", source, faults)
			continue
		}
		got := w.Warnings()
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0].Message, want)) {
			t.Errorf("%s: %v, want %q", source, got, want)
		}
	}
}

func TestMergeKeys(t *testing.T) {
	t.Parallel()
	w, faults := Parse([]byte(head + `x-retry: &retry {delay: PT1S, limit: {attempt: {count: 3}}}
x-other: &other {delay: PT9S, jitter: {from: PT0S, to: PT1S}}
use:
  retries:
    r: {<<: *retry, limit: {attempt: {count: 5}}}
    s: {<<: [*retry, *other]}
do:
- a: &task {set: {x: 1}}
- b: {<<: *task, then: end}
`))
	if faults != nil {
		t.Fatal(faults)
	}
	r, s := w.Use.Retries["r"], w.Use.Retries["s"]
	if r.Delay.Value != s.Delay.Value || r.Attempts != 5 || s.Attempts != 3 || s.JitterTo == nil || w.Do[1].Then != End || w.Do[1].Kind != KindSet {
		t.Errorf("merged: %+v, %+v, %+v", r, s, w.Do[1])
	}
	bomb := head + "x-m: &m\n" + strings.Repeat("", 1)
	for i := range 400 {
		bomb += "  k" + strings.Repeat("a", i%7) + string(rune('a'+i%26)) + strings.Repeat("b", i/26) + ": 1\n"
	}
	bomb += "x-n:\n" + strings.Repeat("- {<<: *m}\n", 400) + "do: [{a: {wait: PT1S}}]\n"
	if _, faults := Parse([]byte(bomb)); len(faults) != 1 || faults[0].Code != CodeTooLarge {
		t.Errorf("too many merged values: %.300v", faults)
	}
	for _, source := range []string{"x: &a {<<: *a}\n", "x: &a {b: {<<: *a}}\n"} {
		if _, faults := Parse([]byte(source)); len(faults) == 0 {
			t.Errorf("%s: no faults", source)
		}
	}
}

func TestURITemplates(t *testing.T) {
	t.Parallel()
	input := map[string]any{"email": "x&role=admin&y=1", "plus": "a+b@x", "pet.id": 7, "pet-id": true, "space": "a b/ü?#", "null": nil,
		"object": map[string]any{}, "list": []any{1}, "x": "1024", "hello": "Hello World!", "y": 768, "decimal": 1.5}
	for template, want := range map[string]string{
		"/json?email={email}&role=user": "/json?email=x%26role%3Dadmin%26y%3D1&role=user", "/{plus}": "/a%2Bb%40x",
		"/{pet.id}/{pet-id}": "/7/true", "/{space}": "/a%20b%2F%C3%BC%3F%23", "/{null}{missing}x": "/x", "/{x,hello,y}": "/1024,Hello%20World%21,768",
		"/{x,missing,y}": "/1024,768", "/{hello:3}": "/Hel", "/{decimal}": "/1.5", "/ü": "/%C3%BC", "https://h/a%20b": "https://h/a%20b",
		"https://[::1]:8/{x*}": "https://[::1]:8/1024",
	} {
		parsed, err := ParseURITemplate(template)
		if err != nil {
			t.Errorf("%s: %v", template, err)
			continue
		}
		if got, err := parsed.Expand(input); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", template, got, err, want)
		}
	}
	for _, template := range []string{"/{object}", "/{list}"} {
		parsed, err := ParseURITemplate(template)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parsed.Expand(input); err == nil {
			t.Errorf("%s: %s", template, got)
		}
	}
	for template, want := range map[string]string{
		"https://h/users/${ .id }/roles": `write ${ "https://h/users/\(.id)/roles" }, or {name}`, "/{": "not closed", "/}": "no {", "/{}": "no field",
		"/{+path}": "simple expansions", "/{?q}": "simple expansions", "/a b": "percent-encoded", "/%zz": "%25", "/{a b}": "not the name",
	} {
		if _, err := ParseURITemplate(template); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", template, err, want)
		}
	}
}

// TestEmbeddedExpressionsInURIsAreRefused: in every field that is a URI template.
func TestEmbeddedExpressionsInURIsAreRefused(t *testing.T) {
	t.Parallel()
	const uri = "'https://h/users/${ .id }/roles'"
	for source, pointer := range map[string]string{
		"do: [{a: {call: http, with: {method: get, endpoint: " + uri + "}}}]":                                                                                  "/do/0/a/with/endpoint",
		"do: [{a: {call: http, with: {method: get, endpoint: {uri: " + uri + "}}}}]":                                                                           "/do/0/a/with/endpoint/uri",
		"do: [{a: {call: openapi, with: {operationId: x, document: {endpoint: " + uri + "}}}}]":                                                                "/do/0/a/with/document/endpoint",
		"use: {authentications: {p: {oauth2: {authority: " + uri + ", grant: client_credentials}}}}\ndo: [{a: {wait: PT1S}}]":                                  "/use/authentications/p/oauth2/authority",
		"use: {authentications: {p: {oauth2: {authority: 'https://h', endpoints: {token: " + uri + "}, grant: client_credentials}}}}\ndo: [{a: {wait: PT1S}}]": "/use/authentications/p/oauth2/endpoints/token",
		"use: {catalogs: {c: {endpoint: " + uri + "}}}\ndo: [{a: {wait: PT1S}}]":                                                                               "/use/catalogs/c/endpoint",
		"do: [{a: {emit: {event: {with: {type: t, source: " + uri + "}}}}}]":                                                                                   "/do/0/a/emit/event/with/source",
		"do: [{a: {raise: {error: {status: 400, type: " + uri + "}}}}]":                                                                                        "/do/0/a/raise/error/type",
		"input: {schema: {resource: {endpoint: " + uri + "}}}\ndo: [{a: {wait: PT1S}}]":                                                                        "/input/schema/resource/endpoint",
	} {
		_, faults := Parse([]byte(head + source))
		if !slices.ContainsFunc(faults, func(f Fault) bool {
			return f.Pointer == pointer && strings.Contains(f.Message, `write ${ "https://h/users/\(.id)/roles" }`)
		}) {
			t.Errorf("%s: %v", source, faults)
		}
	}
}

func TestErrorTextsAreCutAtACharacter(t *testing.T) {
	t.Parallel()
	w, faults := Parse([]byte(head + "do: [{a: {wait: PT1S}}]"))
	if faults != nil {
		t.Fatal(faults)
	}
	for _, expression := range []string{`error("🦁"*200)`, `error("x" + "🦁"*200)`, `error("xy" + "é"*400)`, `"🦁"*200 | tonumber`, `{a: ("🦁"*200)} | .a.b`} {
		_, err := w.Evaluate(expression, nil, Scope{})
		if err == nil || strings.ToValidUTF8(err.Error(), "?") != err.Error() || strings.Contains(err.Error(), "\ufffd") {
			t.Errorf("%s: %q", expression, err)
		}
	}
}

func TestResultsAreValidUTF8(t *testing.T) {
	t.Parallel()
	w, faults := Parse([]byte(head + "do: [{a: {wait: PT1S}}]"))
	if faults != nil {
		t.Fatal(faults)
	}
	for _, expression := range []string{`"/w==" | @base64d`, `[55296] | implode`, `"%ff" | @uri`, `"🦁"[0:1]`, `"\ud800"`} {
		value, err := w.Evaluate(expression, nil, Scope{})
		if text, _ := value.(string); err == nil && strings.ToValidUTF8(text, "?") != text {
			t.Errorf("%s: %q", expression, text)
		}
	}
}
