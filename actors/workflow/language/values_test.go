package language

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestScalars: plain scalars are resolved by the core schema of YAML 1.2; quoted ones are strings.
func TestScalars(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`null`: `null`, `Null`: `null`, `NULL`: `null`, `~`: `null`, `nULL`: `"nULL"`,
		`true`: `true`, `True`: `true`, `TRUE`: `true`, `tRUE`: `"tRUE"`, `false`: `false`,
		`yes`: `"yes"`, `No`: `"No"`, `on`: `"on"`, `y`: `"y"`,
		`0`: `0`, `-0`: `0`, `+7`: `7`, `007`: `7`, `-12`: `-12`, `9223372036854775807`: `9223372036854775807`,
		`9223372036854775808`: `9223372036854775808`, `-9223372036854775809`: `-9223372036854775809`,
		`0o17`: `15`, `0x1F`: `31`, `0b11`: `"0b11"`, `0o8`: `"0o8"`, `1_000`: `"1_000"`,
		`1.5`: `1.5`, `.5`: `0.5`, `5.`: `5`, `-1.25e2`: `-125`, `1e3`: `1000`, `1e-7`: `1e-7`, `1E21`: `1e+21`, `1e`: `"1e"`,
		`12:30`: `"12:30"`, `2026-11-01`: `"2026-11-01"`, `1.2.3`: `"1.2.3"`,
		`'5'`: `"5"`, `"true"`: `"true"`, `'it''s'`: `"it's"`, `"a\tb\u00e9"`: `"a\tbé"`, `!!str 5`: `"5"`,
	} {
		if got := string(Canonical(parse(t, "do: [{a: {set: {x: "+text+"}}}]").Do[0].Set.(map[string]any)["x"])); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{`.inf`, `-.inf`, `.NaN`, `1e999`, `!!int 5`, `!custom x`, `!!binary aGk=`} {
		if _, faults := Parse([]byte(head + "do: [{a: {set: {x: " + text + "}}}]\n")); len(faults) != 1 || faults[0].Pointer != "/do/0/a/set/x" {
			t.Errorf("%s: %v", text, faults)
		}
	}
}

func TestBlockScalars(t *testing.T) {
	t.Parallel()
	w := parse(t, "do:\n- a:\n    set:\n      literal: |\n        one\n        two\n      folded: >-\n        one\n        two\n      number: |-\n        5\n      merged: {<<: x}")
	const want = `{"folded":"one two","literal":"one\ntwo\n","merged":{"<<":"x"},"number":"5"}`
	if got := string(Canonical(w.Do[0].Set)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDurations(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"P1Y": 365 * day, "P1M": 30 * day, "P1W": 7 * day, "P1D": day, "PT1H": time.Hour, "PT1M": time.Minute, "PT1S": time.Second,
		"P1Y2M3W4DT5H6M7S": (365+60+21+4)*day + 5*time.Hour + 6*time.Minute + 7*time.Second,
		"PT0.001S":         time.Millisecond, "PT1.5H": 90 * time.Minute, "P0.5D": 12 * time.Hour, "PT36H": 36 * time.Hour, "PT90M": 90 * time.Minute,
		"P0D": 0, "P10Y": 3650 * day,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"P1S", "PT1D", "P1H", "PT1Y", "P1DT1M1H", "P 1D", "P1D ", "P-1D", "+P1D", "P1,5D", "P.5D", "PT1e3S", "P1DT", "P11Y", "PT99999999999999999999S", "p1d", "P1D\n"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
	for value, want := range map[string]string{
		`{"days":1}`: "24h0m0s", `{"hours":1,"minutes":2,"seconds":3,"milliseconds":4}`: "1h2m3.004s", `{"seconds":0.25}`: "250ms", `{"seconds":0}`: "0s",
		`"PT2S"`: "2s", `{}`: "a duration needs at least one unit", `{"weeks":1}`: `"weeks" is not a unit with a non-negative number`,
		`{"seconds":-1}`: `"seconds" is not a unit with a non-negative number`, `{"seconds":"1"}`: `"seconds" is not a unit with a non-negative number`,
		`{"days":4000}`: "the duration is longer than ten years", `7`: "a duration must be ISO 8601 text or an object of units",
		`null`: "a duration must be ISO 8601 text or an object of units", `"soon"`: `"soon" is not an ISO 8601 duration`,
	} {
		decoded, err := Decode([]byte(value))
		if err != nil {
			t.Fatal(err)
		}
		got, err := DurationOf(decoded)
		if text := got.String(); err == nil && text != want || err != nil && err.Error() != want {
			t.Errorf("%s is %s, %v; want %s", value, got, err, want)
		}
	}
}

// TestDurationsRoundTrip formats random durations as ISO 8601 text and as units, and parses both.
func TestDurationsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		days, seconds := rapid.IntRange(0, 3000).Draw(t, "days"), rapid.IntRange(0, 100_000).Draw(t, "seconds")
		milliseconds := rapid.IntRange(0, 999).Draw(t, "milliseconds")
		want := time.Duration(days)*24*time.Hour + time.Duration(seconds)*time.Second + time.Duration(milliseconds)*time.Millisecond
		text := fmt.Sprintf("P%dDT%d.%03dS", days, seconds, milliseconds)
		if got, err := ParseDuration(text); err != nil || (got-want).Abs() > time.Microsecond {
			t.Fatalf("%s is %s, %v; want %s", text, got, err, want)
		}
		units := map[string]any{"days": days, "seconds": seconds, "milliseconds": milliseconds}
		if got, err := DurationOf(units); err != nil || (got-want).Abs() > time.Microsecond {
			t.Fatalf("%v is %s, %v; want %s", units, got, err, want)
		}
	})
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	huge, _ := new(big.Int).SetString("18446744073709551615", 10)
	for name, test := range map[string]struct{ value, want any }{
		"int": {1, 1}, "int32": {int32(-3), -3}, "int64": {int64(5), 5}, "uint64": {uint64(7), 7}, "large uint64": {uint64(math.MaxUint64), huge},
		"float32": {float32(0.5), 0.5}, "float64": {1.25, 1.25}, "nan": {math.NaN(), nil}, "infinity": {math.Inf(-1), nil},
		"number": {json.Number("12"), 12}, "decimal number": {json.Number("1.5"), 1.5}, "no number": {json.Number("x"), nil},
		"large number": {json.Number("18446744073709551615"), huge},
		"null":         {nil, nil}, "string": {"x", "x"}, "bool": {true, true}, "struct": {struct{}{}, nil}, "time": {time.Time{}, nil}, "typed list": {[]string{"x"}, nil},
		"nested": {map[string]any{"a": []any{int64(1), json.Number("2"), map[string]any{"b": float32(1), "c": struct{}{}}}},
			map[string]any{"a": []any{1, 2, map[string]any{"b": 1.0, "c": nil}}}},
	} {
		if got := Normalize(test.value); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %#v, want %#v", name, got, test.want)
		}
	}
	for text, want := range map[string]string{`1 `: `1`, ` [1, 2]`: `[1,2]`, `{"a":1,"a":2}`: `{"a":2}`, `1.0`: `1`, `-0`: `0`, `"\ud800"`: `"` + "\ufffd" + `"`} {
		if got, err := Decode([]byte(text)); err != nil || string(Canonical(got)) != want {
			t.Errorf("%s is decoded as %s, %v; want %s", text, Canonical(got), err, want)
		}
	}
	for _, text := range []string{``, `{`, `[1,]`, `{a: 1}`, `nul`, `1 2`, `{} x`, `'a'`} {
		if got, err := Decode([]byte(text)); err == nil {
			t.Errorf("%q is decoded as %v", text, got)
		}
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		value any
		want  string
	}{
		{nil, ""}, {"a\nb", "a\nb"}, {"", ""}, {1, "1"}, {1.5, "1.5"}, {true, "true"}, {[]any{1, "a"}, `[1,"a"]`}, {map[string]any{"b": 1, "a": nil}, `{"a":null,"b":1}`},
	} {
		if got := Text(test.value); got != test.want {
			t.Errorf("%v is %q, want %q", test.value, got, test.want)
		}
	}
	for text, want := range map[string]string{"a": "a", "a/b": "a~1b", "a~b": "a~0b", "~1": "~01", "/~/": "~1~0~1", "": ""} {
		if got := escapeToken(text); got != want {
			t.Errorf("%q is escaped as %q, want %q", text, got, want)
		}
	}
}

// FuzzCanonical compares Canonical with encoding/json for every JSON document, and decodes the result.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{`{}`, `[1,2.5,-1e30]`, `{"b":[],"a":{"é":"\u2028<&>"}}`, `12345678901234567890`, `"\ud83d\ude00\u0000"`, `1e-7`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		value, err := Decode([]byte(text))
		if err != nil {
			return
		}
		canonical := Canonical(value)
		var plain strings.Builder
		encoder := json.NewEncoder(&plain)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(value); err != nil {
			t.Fatal(err)
		}
		if got := string(canonical); got != strings.TrimSuffix(plain.String(), "\n") {
			t.Fatalf("got  %q\nwant %q", got, plain.String())
		}
		// Decoding the result is stable. It may differ once: -0.0 is encoded as -0, which is an integer.
		again, err := Decode(canonical)
		if err != nil {
			t.Fatalf("decoding %s: %v", canonical, err)
		}
		stable := Canonical(again)
		third, err := Decode(stable)
		if err != nil || !reflect.DeepEqual(third, again) {
			t.Fatalf("%s is decoded as %#v, %v; want %#v", stable, third, err, again)
		}
	})
}

func TestCanonicalPanics(t *testing.T) {
	t.Parallel()
	for _, value := range []any{math.NaN(), math.Inf(1), make(chan int), []any{func() {}}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%T was encoded", value)
				}
			}()
			Canonical(value)
		}()
	}
}
