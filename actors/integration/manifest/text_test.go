package manifest_test

import (
	"net/http"
	"testing"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// TestTextsAreDecoded: a body is decoded from the charset that its content type or a byte-order mark names, told apart from base64 by
// its type, and never silently damaged.
func TestTextsAreDecoded(t *testing.T) {
	t.Parallel()
	a, _ := load(t).Action("get_thing")
	const utf16le = "{\x00\"\x00a\x00\"\x00:\x00\"\x00\xe9\x00\"\x00}\x00"
	const utf16be = "\x00{\x00\"\x00a\x00\"\x00:\x00\"\x00\xe9\x00\"\x00}"
	for _, c := range []struct{ contentType, body, want string }{
		{"application/json; charset=ISO-8859-15", "{\"a\":\"\xe9 \xa4\"}", `{"a":"é €"}`},
		{"application/json; charset=iso-8859-1", `{"a":"é"}`, `{"a":"é"}`}, // it is UTF-8, as JSON must be
		{"application/json", "\xef\xbb\xbf{\"a\":1}", `{"a":1}`}, {"", "\xef\xbb\xbf[1]", `[1]`}, {"text/plain", "\xef\xbb\xbfhi", `"hi"`},
		{"application/json", "\xff\xfe" + utf16le, `{"a":"é"}`}, {"application/json", "\xfe\xff" + utf16be, `{"a":"é"}`},
		{"application/json", utf16le, `{"a":"é"}`}, {"application/json", utf16be, `{"a":"é"}`}, {"application/json; charset=utf-16", utf16be, `{"a":"é"}`},
		{"application/json; charset=UTF-16LE", utf16le, `{"a":"é"}`}, {"application/vnd.api+json; charset=\"utf-8\"", `{"a":"é"}`, `{"a":"é"}`},
		{"text/csv; charset=latin1", "caf\xe9;\xfc", `"café;ü"`}, {"text/plain; charset=windows-1252", "\x80", `"€"`}, {"text/plain; charset=utf-16", "\xff\xfeh\x00i\x00", `"hi"`},
		{"text/plain; charset=Shift_JIS", "\x93\xfa", `"日"`}, {"text/plain; charset=koi8-r", "\xc1", `"а"`},
		{"text/csv", "caf\xe9", "error"}, {"text/plain; charset=utf-8", "caf\xe9", "error"}, {"text/plain; charset=x-nonsense", "a\xe9", "error"},
		{"application/json", "{\"a\":\"\xe9\"}", "error"}, {"text/plain; charset=euc-jp", "\xff", "error"}, {"application/json; charset=utf-16", "{}x", `"{}x"`},
		{"text/plain", "dGV4dA==", `"dGV4dA=="`}, {"image/png", "text", `base64 "dGV4dA=="`}, {"application/octet-stream", "\xff\xe9", `base64 "/+k="`},
		{"application/octet-stream", `{"a":1}`, `{"a":1}`}, {"", "text", `"text"`}, {"", "\xe9", `base64 "6Q=="`}, {"application/xml", "a/", `"a/"`}, {"binary/octet-stream", "text", `"text"`}, {"audio/mpeg", "\xff\xfe", `base64 "//4="`},
		{"application/pdf", "%PDF", `base64 "JVBERg=="`}, {"text/html;charset", "x", `"x"`}, {"application/json", " \n", "null"}, {"application/json", "\xef\xbb\xbf", "null"},
	} {
		p, _ := load(t, "safety: read", "safety: read\n    output: '${ [.body, .base64] }'").Action("get_thing")
		answer := manifest.Answer{Status: 200, Header: http.Header{}, Body: []byte(c.body)}
		if c.contentType != "" {
			answer.Header.Set("Content-Type", c.contentType)
		}
		output, failed := p.Interpret(key, nil, answer)
		got := "error"
		if failed == nil {
			pair := output.([]any)
			if got = text(pair[0]); pair[1] == true {
				got = "base64 " + got
			}
		} else if failed.Code != "output" || failed.Message == "" {
			t.Errorf("%s, %q: %+v", c.contentType, c.body, failed)
		}
		if got != c.want {
			t.Errorf("%s, %q: got %s (%v), want %s", c.contentType, c.body, got, failed, c.want)
		}
		if _, failed := a.Interpret(key, nil, manifest.Answer{Status: 404, Header: answer.Header, Body: answer.Body}); failed == nil || failed.Class != manifest.ClassNotFound {
			t.Errorf("%s, %q: an error response is %+v", c.contentType, c.body, failed)
		}
	}
	x, _ := load(t, "safety: read", "safety: read\n    answer: xml").Action("get_thing")
	for contentType, body := range map[string]string{
		"application/xml": "<?xml version=\"1.0\" encoding=\"ISO-8859-15\"?><a>\xa4</a>", "text/xml; charset=iso-8859-15": "<a>\xa4</a>",
		"text/xml": "\xff\xfe<\x00a\x00>\x00\xac\x20<\x00/\x00a\x00>\x00",
	} {
		output, failed := x.Interpret(key, nil, manifest.Answer{Status: 200, Header: http.Header{"Content-Type": {contentType}}, Body: []byte(body)})
		if failed != nil || text(output) != `{"a":"€"}` {
			t.Errorf("%s: got %s, %v", contentType, text(output), failed)
		}
	}
}
