package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestDecodeBase64(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "AP8=": "\x00\xff", "AP8": "\x00\xff", "-_8=": "\xfb\xff", "+/8": "\xfb\xff", "A P\r\n8 =": "\x00\xff", "AP8==": "\x00\xff",
		"A": "error", "AP8=AP8=": "error", "%41": "error", "AP8\x00": "error", "\tAP8=": "error",
	} {
		got, err := decodeBase64(text)
		if (err != nil) != (want == "error") || err == nil && string(got) != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestDecodeXML(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`<a/>`:                                `{"a":""}`,
		`<a>1</a>`:                            `{"a":"1"}`,
		`<a> 1 </a>`:                          `{"a":" 1 "}`,
		`<a><b>1</b></a>`:                     `{"a":{"b":"1"}}`,
		`<a><b>1</b><c/><b>2</b><b>3</b></a>`: `{"a":{"b":["1","2","3"],"c":""}}`,
		`<a x="1" y="2"/>`:                    `{"a":{"@x":"1","@y":"2"}}`,
		`<a x="1"> t </a>`:                    `{"a":{"#text":"t","@x":"1"}}`,
		`<a>t<b/>u</a>`:                       `{"a":{"#text":"tu","b":""}}`,
		`<p:a xmlns:p="urn:p"><p:b q:c="1"/></p:a>`:              `{"a":{"b":{"@c":"1"}}}`,
		`<a><![CDATA[<b>]]></a>`:                                 `{"a":"\u003cb\u003e"}`,
		`<!-- c --><a><!-- d -->1</a>`:                           `{"a":"1"}`,
		`<?xml version="1.0" encoding="us-ascii"?><a>1</a>`:      `{"a":"1"}`,
		`<?xml version="1.0" encoding="latin1"?><a>1</a>`:        `{"a":"1"}`,
		"<?xml version=\"1.0\" encoding=\"latin1\"?><a>\xe9</a>": `{"a":"é"}`,
		"<?xml version=\"1.0\" encoding=\"x-none\"?><a>\xe9</a>": "error",
		`<a>&#233;&amp;</a>`:                                     `{"a":"é\u0026"}`,
		`<a>&nbsp;</a>`:                                          "error",
		`<a><b></a>`:                                             "error",
		`<a>`:                                                    "error",
		`</a>`:                                                   "error",
		``:                                                       "error",
		`text`:                                                   "error",
		strings.Repeat("<a>", maxDepth+1) + strings.Repeat("</a>", maxDepth+1): "{\"a\":" + strings.Repeat("{\"a\":", maxDepth) + `""` + strings.Repeat("}", maxDepth+1),
		strings.Repeat("<a>", maxDepth+2) + strings.Repeat("</a>", maxDepth+2): "error",
	} {
		value, err := decodeXML([]byte(source))
		got := "error"
		if err == nil {
			encoded, _ := json.Marshal(value)
			got = string(encoded)
		}
		if got != want {
			t.Errorf("%.80s: got %.200s, want %.200s", source, got, want)
		}
	}
}

func TestEscapePath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/": "/", "/a": "/a", "/a/": "/a/", "/a b": "/a%20b", "/a%20b": "/a%20b", "/a%2Fb": "/a%2Fb", "/a%5Cb": "/a%5Cb", "/é%2F": "/%C3%A9%2F",
		"/a//b": "/a//b", "/...": "/...", "/.a": "/.a", "/a;b=c": "/a;b=c", "/a:b@c": "/a:b@c",
		"": "", "a": "", "/.": "", "/..": "", "/a/..": "", "/a/./b": "", "/%2e": "", "/%2E%2e/a": "", "/a%2F..%2Fb": "", "/a\\b": "", "/a%5C..": "", "/a?b": "", "/a#b": "",
		"/%": "", "/%4": "", "/%GG": "", "/a\x00": "", "/a%00": "", "/a\x7f": "", "/a%0Ab": "",
	} {
		got, err := escapePath(path)
		if (err != nil) != (want == "") || got != want {
			t.Errorf("%q: got %q, %v, want %q", path, got, err, want)
		}
	}
}

// FuzzEscapePath: an escaped path is a path below the base URL, and is not escaped twice.
func FuzzEscapePath(f *testing.F) {
	for _, seed := range []string{"/a/b", "/a%2Fb", "/a?b", "/../x", "/%2e%2e", "//evil.test", "/a\\b", "/é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		escaped, err := escapePath(path)
		if err != nil {
			return
		}
		u, err := url.Parse("https://api.test/v1" + escaped)
		if err != nil {
			t.Fatalf("%q: %q: %v", path, escaped, err)
		}
		if u.Host != "api.test" || u.RawQuery != "" || u.Fragment != "" || !strings.HasPrefix(u.Path, "/v1/") || hasDotSegments(u.Path) {
			t.Fatalf("%q: %q leaves the base URL: %+v", path, escaped, u)
		}
		if again, err := escapePath(escaped); err != nil || again != escaped {
			t.Fatalf("%q: %q was escaped to %q, %v", path, escaped, again, err)
		}
	})
}

// FuzzDecodeXML: a decoded document is JSON of bounded depth.
func FuzzDecodeXML(f *testing.F) {
	f.Add([]byte(`<a x="1">t<b/><b/></a>`))
	f.Add([]byte(`<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>`))
	f.Fuzz(func(t *testing.T, source []byte) {
		value, err := decodeXML(source)
		if err != nil {
			return
		}
		if _, err := encodeJSON(value); err != nil {
			t.Fatal(err)
		}
		if depth := depthOf(value); depth > maxDepth+3 {
			t.Fatalf("depth %d", depth)
		}
	})
}

func depthOf(value any) int {
	deepest := 0
	switch v := value.(type) {
	case map[string]any:
		for _, item := range v {
			deepest = max(deepest, depthOf(item))
		}
	case []any:
		for _, item := range v {
			deepest = max(deepest, depthOf(item)-1) // a list does not correspond to an element
		}
	default:
		return 0
	}
	return deepest + 1
}

func TestPositions(t *testing.T) {
	t.Parallel()
	p := positions{"": {1, 1, 0, 0}, "/a": {2, 5, 2, 1}, "/a/b~1c": {3, 9, 3, 3}}
	for pointer, want := range map[string]string{
		"": "1:1: /: m", "/a": "2:5: /a: m", "/a/b~1c": "3:9: /a/b~1c: m", "/a/b~1c/d/e": "3:9: /a/b~1c/d/e: m", "/a/x": "2:5: /a/x: m", "/x/y": "1:1: /x/y: m",
	} {
		if got := p.at(pointer, "%s", "m").String(); got != want {
			t.Errorf("at %s: got %s, want %s", pointer, got, want)
		}
	}
	for pointer, want := range map[string]string{"/a": "2:1: /a: m", "/a/b~1c": "3:3: /a/b~1c: m", "": "1:1: /: m"} {
		if got := p.key(pointer, "m").String(); got != want {
			t.Errorf("key of %s: got %s, want %s", pointer, got, want)
		}
	}
	if got := (positions{}).at("/a/b", "m").String(); got != "0:0: /a/b: m" {
		t.Errorf("no positions: got %s", got)
	}
	if got := pointerTo("/a", "b/c", "~d", ""); got != "/a/b~1c/~0d/" {
		t.Errorf("pointerTo: got %s", got)
	}
}

func TestFaultsAsError(t *testing.T) {
	t.Parallel()
	if err := (Faults{}).asError(); err != nil {
		t.Errorf("no faults: got %v", err)
	}
	faults := Faults{{Line: 2, Column: 1, Message: "b"}, {Line: 1, Column: 9, Message: "c"}, {Line: 2, Column: 1, Message: "a"}, {Line: 1, Column: 9, Message: "c"}}
	if got := faults.asError().Error(); got != "1:9: /: c\n2:1: /: a\n2:1: /: b" {
		t.Errorf("got\n%s", got)
	}
	many := make(Faults, 0, 300)
	for i := range 300 {
		many = append(many, Fault{Line: 300 - i, Message: "m"})
	}
	var got Faults
	if !errors.As(many.asError(), &got) || len(got) != maxFaults || got[0].Line != 1 || got[maxFaults-1].Line != maxFaults {
		t.Errorf("got %d faults, from line %d to %d", len(got), got[0].Line, got[len(got)-1].Line)
	}
}

func TestDurationJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{`"250ms"`: 250 * time.Millisecond, `"30s"`: 30 * time.Second, `"5m"`: 5 * time.Minute, `"1h30m"`: 90 * time.Minute} {
		var d Duration
		if err := json.Unmarshal([]byte(text), &d); err != nil || time.Duration(d) != want {
			t.Errorf("%s: got %v, %v", text, d, err)
		}
		encoded, err := json.Marshal(d)
		var again Duration
		if err != nil || json.Unmarshal(encoded, &again) != nil || again != d {
			t.Errorf("%s: encoded as %s, %v", text, encoded, err)
		}
	}
	for _, text := range []string{`30`, `""`, `"30"`, `"soon"`, `null`, `{}`} {
		var d Duration
		if err := json.Unmarshal([]byte(text), &d); err == nil && text != "null" {
			t.Errorf("%s was decoded to %v", text, d)
		}
	}
}

func TestEncodeJSON(t *testing.T) {
	t.Parallel()
	got, err := encodeJSON(map[string]any{"b": "<&>", "a": json.Number("1.0"), "c": []any{nil, true}})
	if err != nil || !bytes.Equal(got, []byte(`{"a":1.0,"b":"<&>","c":[null,true]}`)) {
		t.Errorf("got %s, %v", got, err)
	}
	for _, text := range []string{``, `{`, `{} {}`, `1 2`, `nul`} {
		if value, err := decodeJSON([]byte(text)); err == nil {
			t.Errorf("%q was decoded to %v", text, value)
		}
	}
}

func TestSpend(t *testing.T) {
	t.Parallel()
	deep := any("x")
	for range 1100 {
		deep = []any{deep}
	}
	for _, c := range []struct {
		value any
		want  int
	}{
		{nil, 84}, {"abcd", 80}, {[]any{1, "ab"}, 50}, {map[string]any{"key": "ab"}, 63}, {strings.Repeat("x", 85), -1}, {make([]any, 10), -1}, {deep, -1},
	} {
		if got := spend(c.value, 100, 0); got != c.want && (got >= 0 || c.want >= 0) {
			t.Errorf("%.40v: got %d, want %d", c.value, got, c.want)
		}
	}
	if got := spend(deep, 1<<30, 0); got >= 0 {
		t.Errorf("1100 levels: got %d, want a negative number", got)
	}
}
