package language

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestDecodeStrictNamesWhatItRefuses(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`{"a":[1,1e400]}`:           `the number 1e400 is out of range, at "/a/1"`,
		`-1e400`:                    `the number -1e400 is out of range`,
		`{"n":NaN}`:                 `not valid JSON`,
		`{"a":1,"b":{"c":1,"c":2}}`: `the name "c" occurs twice in an object, at "/b/c"`,
		`{"a":1,"\u0061":2}`:        `the name "a" occurs twice`,
		`{"t":"\ud800"}`:            `surrogate`,
		`{"t":"\udc00\ud800"}`:      `surrogate`,
		"{\"t\":\"\xff\"}":          `UTF-8`,
		`{"a":`:                     `ends too early`,
		``:                          `ends too early`,
		`1 2`:                       `data after`,
		strings.Repeat("[", 200) + strings.Repeat("]", 200): `nested more than 128 levels deep`,
		strings.Repeat("[", 1_000_000):                      `nested more than 128 levels deep`,
		strings.Repeat("9", 500):                            `more than 400 characters`,
	} {
		value, err := DecodeStrict([]byte(source))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, %v, want an error with %s", source, value, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "jsontext") {
			t.Errorf("%.40s: %v quotes the library", source, err)
		}
	}
}

func TestNumbersKeepAllTheirDigits(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`1234567890123456.789`: "", `-0.1234567890123456789`: "", `12345678901234567890123`: "", `1e-400`: "",
		`0.1`: "", `1.50`: "1.5", `1e3`: "1000", `-0`: "0", `1.7976931348623157e308`: "1.7976931348623157e+308",
		`[1234567890123456.789,{"a":9007199254740993}]`: "",
	} {
		if want == "" {
			want = source
		}
		for name, decode := range map[string]func([]byte) (any, error){"Decode": Decode, "DecodeStrict": DecodeStrict} {
			value, err := decode([]byte(source))
			if err != nil || string(Canonical(value)) != want {
				t.Errorf("%s of %s: %s, %v, want %s", name, source, Canonical(value), err, want)
			}
		}
	}
	w, faults := Parse([]byte(head + "do: [{a: {set: {y: 1234567890123456.789, f: .1234567890123456789, p: +1.1234567890123456789e2}}}]"))
	if faults != nil {
		t.Fatal(faults)
	}
	if got := string(Canonical(w.Do[0].Set)); got != `{"f":0.1234567890123456789,"p":1.1234567890123456789e2,"y":1234567890123456.789}` {
		t.Errorf("a definition's decimals are %s", got)
	}
	data := map[string]any{"x": json.Number("1234567890123456.789")}
	for expression, want := range map[string]string{".x": "1234567890123456.789", "{a: .x}": `{"a":1234567890123456.789}`,
		".x * 2": "2469135780246913.5", ".x | type": `"number"`, ".x == 1234567890123456.789": "true", "[.x] | sort | .[0]": "1234567890123456.789"} {
		value, err := w.Evaluate(expression, data, Scope{})
		if err != nil || string(Canonical(value)) != want {
			t.Errorf("%s: %s, %v, want %s", expression, Canonical(value), err, want)
		}
	}
	if _, err := w.Evaluate("1e1000", nil, Scope{}); err == nil {
		t.Error("an expression yields a number that is out of range")
	}
}
