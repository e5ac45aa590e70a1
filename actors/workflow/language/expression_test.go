package language

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/budget"
)

func TestEvaluate(t *testing.T) {
	t.Parallel()
	scope := Scope{Now: time.Unix(1000, 0), Names: []string{"item"},
		Values: map[string]any{"context": map[string]any{"n": 7}, "item": "x"}}
	for expression, want := range map[string]string{
		`${ .a + 1 }`:                    `2`,
		`.a + 1`:                         `2`,
		`[range(10)] | map(. * 2) | add`: `90`,
		`"x \(.a) \("y") \([.b])"`:       `"x 1 y [2]"`,
		`.b += 3 | .b *= 2`:              `{"a":1,"b":10}`,
		`now`:                            `1000`,
		`[(1, 2) + (10, 20)]`:            `[11,12,21,22]`,
		`.a as $x | $x + $x + .b * 3`:    `8`,
		`def f(x): x + 1; f(.a) + f(.b)`: `5`,
		`[.a, 2, "z", null] | join("-")`: `"1-2-z-"`,
		`"abcb" | gsub("b"; "X")`:        `"aXcX"`,
		`[1, 2] | add(.[])`:              `3`,
		`@base64 "a\(.a)"`:               `"aMQ=="`,
		`{a: {b: 1}} * {a: {c: 2}}`:      `{"a":{"b":1,"c":2}}`,
		`[[1, [2]], 3] | flatten`:        `[1,2,3]`,
		`try error("x") catch .`:         `"x"`,
		`.missing.deeper`:                `null`,
		`empty`:                          `null`,
		`$context.n, empty`:              `7`,
		`$item + "y"`:                    `"xy"`,
		`$secrets`:                       `null`,
		`12345678901234567890 + 1`:       `12345678901234567891`,
		`[3, 1, 2] | sort | .[0]`:        `1`,
		`.list[2] = 5 | .list`:           `[null,null,5]`,
		`-(.a) + -1`:                     `-2`,
		`"ab" * 3`:                       `"ababab"`,
		`[limit(3; repeat(1))]`:          `[1,1,1]`,
	} {
		w := &Workflow{}
		value, err := w.Evaluate(expression, map[string]any{"a": 1, "b": 2}, scope)
		if err != nil || string(Canonical(value)) != want {
			t.Errorf("%s = %s, %v; want %s", expression, Canonical(value), err, want)
		}
	}
}

func TestEvaluateRejects(t *testing.T) {
	t.Parallel()
	for _, expression := range []string{`env`, `$ENV`, `env.PATH`, `input`, `[inputs]`, `$__loc__`, `debug`, `import "a" as a; .`,
		`include "a"; .`, `halt`, `input_line_number`, `_add(1; 2)`, `$__now`, `def __charge: .; .`, `. as $__l | .`,
		`get_search_list`, `[1,2] | .[`, ``, `$nowhere`, `nosuch`, `"a" | modulemeta`, `1, 2`, `error("boom")`, `nan`, `[infinite]`, `{a: -infinite}`} {
		if value, err := (&Workflow{}).Evaluate(expression, nil, Scope{}); err == nil {
			t.Errorf("%s returned %s", expression, Canonical(value))
		}
	}
}

// TestEvaluateIsBounded evaluates expressions that would otherwise use gigabytes or never end.
func TestEvaluateIsBounded(t *testing.T) {
	t.Parallel()
	values := map[string]any{"context": map[string]any{"n": 1 << 28}}
	for _, expression := range []string{
		`[repeat(1)]`, `[range(1e9)]`, `[limit(1e8; repeat(1))]`, `[limit(1e8; repeat("x" * 100))]`, `def f: f; f`, `until(false; .)`, `reduce repeat(1) as $i (0; . + 1)`,
		`reduce range(60) as $i ("x"; . + .)`, `reduce range(60) as $i ("x"; . += .)`, `reduce range(60) as $i ([1]; . + .)`,
		`reduce range(60) as $i ("x"; "\(.)\(.)")`, `"x" * 1e9`, `1e9 * "x"`, `"x" | . *= 1e9`,
		`reduce range(60) as $i (1; [., .]) | tojson`, `reduce range(60) as $i (1; [., .]) | tostring`,
		`reduce range(60) as $i (1; [., .])`, `reduce range(60) as $i (1; [., .]) | flatten`,
		`reduce range(100000) as $i (1; [.])`, `null | .[4e8] = 1`, `null | .[$context.n] = 1`, `null | setpath([$context.n]; 1)`,
		`null | .[$context.n] |= 1`, `null | .[$context.n] += 1`,
		`[range(1000) | "x" * 1000000]`, `[range(200000)] | join("x" * 100000)`, `"a" * 1000000 | gsub("a"; "b" * 100000)`,
		`[range(100)] | combinations(9)`, `reduce range(30) as $i (10; . * .)`,
		`reduce range(60) as $i (1; [., .]) | . == .`, `reduce range(60) as $i ({}; {a: ., b: .}) | . * .`,
		`[range(90000)] - [range(90000)]`, `[range(90000)] | contains([range(90000)])`, `[range(90000)] | indices([range(40000)])`,
		`reduce range(60) as $i (1; [., .]) | error`, `reduce range(60) as $i (1; [., .]) as $x | error($x)`,
		`"a" * 100000 | [scan("a")]`, `"x" * 1000000 | [range(1000) as $i | explode]`, `[range(1000) | "x" * 10000] | add(.[], .[])`,
	} {
		started := time.Now()
		value, err := (&Workflow{}).Evaluate(expression, nil, Scope{Values: values, Budget: budget.New(budget.Limits{Steps: MaxSteps / 4, Bytes: MaxAllocation / 2})})
		if err == nil {
			t.Errorf("%s returned %.80s", expression, Canonical(value))
		}
		if took := time.Since(started); took > 20*MaxTime {
			t.Errorf("%s took %s", expression, took)
		}
	}
	if _, err := (&Workflow{}).Evaluate(`[repeat(1)]`, nil, Scope{}); !errors.Is(err, ErrSteps) && !errors.Is(err, ErrTime) {
		t.Errorf("endless expression: error %v", err)
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	value := map[string]any{"a": "${ .x }", "b": ".x", "c": []any{"${ .x + 1 }", 3, nil}, "d": "plain text"}
	strict, err := (&Workflow{}).Fill(value, map[string]any{"x": 1}, Scope{})
	if want := `{"a":1,"b":".x","c":[2,3,null],"d":"plain text"}`; err != nil || string(Canonical(strict)) != want {
		t.Errorf("strict: %s, %v; want %s", Canonical(strict), err, want)
	}
	loose, err := (&Workflow{Loose: true}).Fill(value, map[string]any{"x": 1}, Scope{})
	if want := `{"a":1,"b":1,"c":[2,3,null],"d":"plain text"}`; err != nil || string(Canonical(loose)) != want {
		t.Errorf("loose: %s, %v; want %s", Canonical(loose), err, want)
	}
	// Data is never evaluated, even if it has the form of an expression.
	kept, err := (&Workflow{}).Fill("${ .x }", map[string]any{"x": "${ env }"}, Scope{})
	if err != nil || kept != "${ env }" {
		t.Errorf("data was evaluated: %v, %v", kept, err)
	}
}

func TestDecodeKeepsDigits(t *testing.T) {
	t.Parallel()
	const text = `[1,1.5,12345678901234567890,-7,1e3,"1",null,true,{"a":9007199254740993}]`
	value, err := Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(Canonical(value)); got != strings.Replace(text, "1e3", "1000", 1) {
		t.Errorf("got %s", got)
	}
	if _, err := Decode([]byte(`1 2`)); err == nil {
		t.Error("trailing data was accepted")
	}
}

func TestDecodeIgnoresAByteOrderMark(t *testing.T) {
	t.Parallel()
	if value, err := DecodeStrict([]byte("\xef\xbb\xbf" + `{"a":1}`)); err != nil || string(Canonical(value)) != `{"a":1}` {
		t.Errorf("got %v, %v", value, err)
	}
}
