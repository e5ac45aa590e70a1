package language

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itchyny/gojq"
	"pgregory.net/rapid"
)

func TestIsExpression(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"${ .x }": true, "  ${ .x }\n": true, "${}": true, "${": false, "$ { .x }": false, ".x": false, "a ${ .x }": false, "${ .x } b": false, "": false, "${.a}${.b}": true,
	} {
		if got := IsExpression(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	for text, want := range map[string]string{"${ .x }": " .x ", ".x": ".x", " ${.x} ": ".x", "": ""} {
		if got := expressionBody(text); got != want {
			t.Errorf("the body of %q is %q, want %q", text, got, want)
		}
	}
}

// TestFunctions: functions of jq work as documented although guards are inserted around them.
func TestFunctions(t *testing.T) {
	t.Parallel()
	input, err := Decode([]byte(`{"s":"Ab, cd","n":[3,1,2],"o":{"b":1,"a":[2]},"x":null}`))
	if err != nil {
		t.Fatal(err)
	}
	for expression, want := range map[string]string{
		`.s | ascii_downcase, ascii_upcase | select(startswith("AB"))`: `"AB, CD"`,
		`.s | split(", ")`:                                            `["Ab","cd"]`,
		`.s | split(", *"; null)`:                                     `["Ab","cd"]`,
		`.s | [splits(", *")]`:                                        `["Ab","cd"]`,
		`.s | test("AB"; "i")`:                                        `true`,
		`.s | [match("[a-z]"; "g").string]`:                           `["b","c","d"]`,
		`.s | capture("(?<first>\\w+), (?<last>\\w+)")`:               `{"first":"Ab","last":"cd"}`,
		`.s | [scan("\\w")]`:                                          `["A","b","c","d"]`,
		`.s | sub("b"; "X"), gsub("[a-z]"; ".") | select(test("X"))`:  `"AX, cd"`,
		`.s | ltrimstr("A"), rtrimstr("d") | select(startswith("b"))`: `"b, cd"`,
		`.s | length, utf8bytelength | . + 0`:                         `error more than one`,
		`.s | explode | implode`:                                      `"Ab, cd"`,
		`.s | tojson | fromjson`:                                      `"Ab, cd"`,
		`.s | @base64 | @base64d`:                                     `"Ab, cd"`,
		`.s | @uri`:                                                   `"Ab%2C%20cd"`,
		`.s | @json`:                                                  `"\"Ab, cd\""`,
		`@html "<\(.s)>"`:                                             `"<Ab, cd>"`,
		`.n | sort`:                                                   `[1,2,3]`,
		`.n | sort_by(-.)`:                                            `[3,2,1]`,
		`.n | group_by(. > 1)`:                                        `[[1],[3,2]]`,
		`.n | unique_by(. % 2)`:                                       `[2,3]`,
		`.n | min, max | select(. == 3)`:                              `3`,
		`.n | add, length | select(. > 3)`:                            `6`,
		`.n | index(1)`:                                               `1`,
		`.n | contains([1])`:                                          `true`,
		`.n | IN([3,1,2])`:                                            `true`,
		`.n | reverse`:                                                `[2,1,3]`,
		`.n | map(select(. > 1))`:                                     `[3,2]`,
		`.n | to_entries | map(.key) | add`:                           `3`,
		`.n | .[1:]`:                                                  `[1,2]`,
		`.n | .[-1]`:                                                  `2`,
		`.n | first, last | select(. == 2)`:                           `2`,
		`.n | any(. > 2), all(. > 2) | select(.)`:                     `true`,
		`.n | join("/")`:                                              `"3/1/2"`,
		`.n - [1]`:                                                    `[3,2]`,
		`[.n, .n] | transpose | length`:                               `3`,
		`[.n[] as $v | $v * 2]`:                                       `[6,2,4]`,
		`[foreach .n[] as $v (0; . + $v)]`:                            `[3,4,6]`,
		`reduce .n[] as $v (1; . * $v)`:                               `6`,
		`.o | keys`:                                                   `["a","b"]`,
		`.o | with_entries(.key |= "k" + .)`:                          `{"ka":[2],"kb":1}`,
		`.o | del(.a)`:                                                `{"b":1}`,
		`.o | delpaths([["a"]])`:                                      `{"b":1}`,
		`.o | has("a"), has("z") | select(.)`:                         `true`,
		`.o | paths(type == "number") | select(length == 1)`:          `["b"]`,
		`.o | getpath(["a", 0])`:                                      `2`,
		`.o | setpath(["a", 1]; 9)`:                                   `{"a":[2,9],"b":1}`,
		`.o | .a[0] |= . + 5`:                                         `{"a":[7],"b":1}`,
		`.o.a += [3]`:                                                 `{"n":[3,1,2],"o":{"a":[2,3],"b":1},"s":"Ab, cd","x":null}`,
		`.o * {b: {c: 1}}`:                                            `{"a":[2],"b":{"c":1}}`,
		`.o + {b: 5}`:                                                 `{"a":[2],"b":5}`,
		`.x // "none"`:                                                `"none"`,
		`.x?.y`:                                                       `null`,
		`try (.s | tonumber) catch "no number"`:                       `"no number"`,
		`if .x then 1 elif .n then 2 else 3 end`:                      `2`,
		`[.. | numbers] | add`:                                        `9`,
		`"\(.n[0])-\(.s)"`:                                            `"3-Ab, cd"`,
		`.s as $s | [.n[] | "\($s):\(.)"] | last`:                     `"Ab, cd:2"`,
		`def twice(f): f | f; 3 | twice(. * .)`:                       `81`,
		`[limit(2; .n[])]`:                                            `[3,1]`,
		`[range(0; 10; 3)]`:                                           `[0,3,6,9]`,
		`{s, n: .n[0], ("k" + "1"): true}`:                            `{"k1":true,"n":3,"s":"Ab, cd"}`,
		`[.n[] | . / 2 | floor]`:                                      `[1,0,1]`,
		`.n | tostring`:                                               `"[3,1,2]"`,
		`[1, [2, [3]]] | flatten(1)`:                                  `[1,2,[3]]`,
		`"2015-03-05T23:51:47Z" | strptime("%Y-%m-%dT%H:%M:%SZ") | mktime`: `1425599507`,
		`input_line_number`: `error not allowed`,
		`.s.t`:              `error expected an object`,
		`.n + 1`:            `error cannot`,
		`.s | error`:        `error Ab, cd`,
	} {
		value, err := (&Workflow{}).Evaluate(expression, input, Scope{})
		got := string(Canonical(value))
		if text, fails := strings.CutPrefix(want, "error "); fails {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s is %s, %v; want an error with %q", expression, got, err, text)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", expression, got, err, want)
		}
	}
}

// TestFieldPaths: an expression that only follows fields has the same result as in the interpreter.
func TestFieldPaths(t *testing.T) {
	t.Parallel()
	paths := []string{".", ".a", ".a.b", ".a.b.c", ".list", ".missing.x", " .a ", "$context", "$context.a", "$item.b", "$context.list.x", ".text", ".text.x", ".number.y"}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom(paths).Draw(t, "path")
		leaf := rapid.SampledFrom([]any{nil, 1, 1.5, true, "x", []any{1}, map[string]any{"c": 2}}).Draw(t, "leaf")
		input := map[string]any{"a": map[string]any{"b": leaf}, "list": []any{1}, "text": "x", "number": 7}
		scope := Scope{Names: []string{"item"}, Values: map[string]any{"context": input, "item": map[string]any{"b": leaf}}}
		p := compile(text, scope.Names)
		if p.err != nil || !p.simple {
			t.Fatalf("%s: simple %v, %v", text, p.simple, p.err)
		}
		got, gotErr := p.run(input, &scope)
		p.simple = false
		want, wantErr := p.run(input, &scope)
		if !bytes.Equal(Canonical(got), Canonical(want)) || (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("%s is %v, %v; the interpreter returns %v, %v", text, got, gotErr, want, wantErr)
		}
	})
	for _, text := range []string{".a[0]", ".a?", ".[\"a\"]", "$__loc__", "$ENV", ".a | .b", "-.a", "a", "..", ".a."} {
		if p := compile(text, nil); p.simple {
			t.Errorf("%s counts as a field path", text)
		}
	}
}

func TestScope(t *testing.T) {
	t.Parallel()
	w := &Workflow{}
	var asked []string
	scope := Scope{
		Names:  []string{"item"},
		Values: map[string]any{"context": 1},
		Lookup: func(name string) any { asked = append(asked, name); return name + "!" },
	}
	for expression, want := range map[string]string{
		`$context`: `1`, `$item`: `"item!"`, `[$context, $item]`: `[1,"item!"]`, `$workflow + "?"`: `"workflow!?"`,
	} {
		if got, err := w.Evaluate(expression, nil, scope); err != nil || string(Canonical(got)) != want {
			t.Errorf("%s is %s, %v; want %s", expression, Canonical(got), err, want)
		}
	}
	for _, name := range asked {
		if name != "item" && name != "workflow" {
			t.Errorf("Lookup was called for %s, which no expression mentions", name)
		}
	}
	inner := scope.Bind("item", 5)
	innermost := inner.Bind("item", 6).Bind("context", 7)
	for i, test := range []struct {
		scope Scope
		want  string
	}{{scope, `[1,"item!"]`}, {inner, `[1,5]`}, {innermost, `[7,6]`}, {inner, `[1,5]`}} {
		if got, err := w.Evaluate(`[$context, $item]`, nil, test.scope); err != nil || string(Canonical(got)) != test.want {
			t.Errorf("scope %d: %s, %v; want %s", i, Canonical(got), err, test.want)
		}
	}
	if got, err := w.Evaluate(`$item`, nil, Scope{}); err == nil {
		t.Errorf("an undefined variable is %v", got)
	}
	if got, err := w.Evaluate(`[now, (now | todate)]`, nil, Scope{Now: time.UnixMilli(1_500)}); err != nil || string(Canonical(got)) != `[1.5,"1970-01-01T00:00:01Z"]` {
		t.Errorf("now is %s, %v", Canonical(got), err)
	}
}

func TestCondition(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]bool{
		`true`: true, `false`: false, `null`: false, `empty`: false, `0`: true, `""`: true, `[]`: true, `.x == 1`: true, `.x > 1`: false, `${ .x }`: true, `.missing`: false,
	} {
		if got, err := (&Workflow{}).Condition(expression, map[string]any{"x": 1}, Scope{}); err != nil || got != want {
			t.Errorf("%s: %v, %v", expression, got, err)
		}
	}
	if _, err := (&Workflow{}).Condition(`1, 2`, nil, Scope{}); !errors.Is(err, ErrMany) {
		t.Errorf("two results: %v", err)
	}
}

func TestTransform(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		transformation any
		want           string
	}{
		{".x", `1`}, {"${ .x }", `1`}, {"{y: .x}", `{"y":1}`}, {map[string]any{"y": "${ .x }", "z": ".x"}, `{"y":1,"z":".x"}`}, {nil, `null`}, {[]any{"${ .x }"}, `[1]`},
	} {
		got, err := (&Workflow{}).Transform(test.transformation, map[string]any{"x": 1}, Scope{})
		if err != nil || string(Canonical(got)) != test.want {
			t.Errorf("%v: %s, %v; want %s", test.transformation, Canonical(got), err, test.want)
		}
	}
	for _, broken := range []any{"${ .x | }", map[string]any{"a": []any{"${ error }"}}} {
		if got, err := (&Workflow{}).Transform(broken, "boom", Scope{}); err == nil {
			t.Errorf("%v is %v", broken, got)
		}
	}
	for text, want := range map[string]string{"plain": "plain", "${ .x }": "1", "${ . }": `{"x":1}`, "${ null }": ""} {
		if got, err := (&Workflow{}).FillText(text, map[string]any{"x": 1}, Scope{}); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
}

// TestFillDoesNotChangeTheDefinition: the same template is filled in again and again.
func TestFillDoesNotChangeTheDefinition(t *testing.T) {
	t.Parallel()
	w, template := &Workflow{}, map[string]any{"a": []any{"${ . }", map[string]any{"b": "${ . + 1 }"}}}
	before := string(Canonical(template))
	for i := range 3 {
		got, err := w.Fill(template, i, Scope{})
		if want := fmt.Sprintf(`{"a":[%d,{"b":%d}]}`, i, i+1); err != nil || string(Canonical(got)) != want {
			t.Errorf("got %s, %v; want %s", Canonical(got), err, want)
		}
		got.(map[string]any)["a"].([]any)[0] = "changed"
	}
	if after := string(Canonical(template)); after != before {
		t.Errorf("the template is %s", after)
	}
}

// TestConcurrentEvaluation evaluates the same expressions from several goroutines; the race detector checks the cache.
func TestConcurrentEvaluation(t *testing.T) {
	t.Parallel()
	w := &Workflow{}
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range 50 {
				expression := fmt.Sprintf("[.x + %d, $item]", i%7)
				value, err := w.Evaluate(expression, map[string]any{"x": worker}, Scope{Names: []string{"item"}, Values: map[string]any{"item": i}})
				if want := fmt.Sprintf("[%d,%d]", worker+i%7, i); err != nil || string(Canonical(value)) != want {
					t.Errorf("%s is %s, %v; want %s", expression, Canonical(value), err, want)
				}
			}
		})
	}
	group.Wait()
	if programs := *w.expressions.programs.Load(); len(programs) != 7 {
		t.Errorf("%d expressions are cached, want 7", len(programs))
	}
}

func TestEvaluationErrors(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]error{
		`[repeat(1)]`: ErrSteps, `1, 2`: ErrMany, `[range(5)] | .[], .[]`: ErrMany, `reduce range(60) as $i ([1]; . + .)`: ErrMemory, `nan`: ErrNumber, `[[infinite]]`: ErrNumber,
		`reduce range(200) as $i (1; [.])`: ErrMemory,
	} {
		// On a slow machine the wall clock may end an evaluation before its other limits do.
		if value, err := (&Workflow{}).Evaluate(expression, nil, Scope{}); !errors.Is(err, want) && (errors.Is(want, ErrMany) || errors.Is(want, ErrNumber) || !errors.Is(err, ErrTime)) {
			t.Errorf("%s: %v, %v; want %v", expression, value, err, want)
		}
	}
	_, err := (&Workflow{}).Evaluate(`error("x" * 1000)`, nil, Scope{})
	if err == nil || len(err.Error()) > 450 || !strings.HasSuffix(err.Error(), "…") {
		t.Errorf("a long error is not shortened: %v", err)
	}
	if value, err := (&Workflow{}).Evaluate(`"a" * 100`, nil, Scope{}); err != nil || len(Text(value)) != 100 {
		t.Errorf("after an error: %v, %v", value, err)
	}
}

// TestCheckExpression: expressions outside of tasks see the specification's variables only.
func TestCheckExpression(t *testing.T) {
	t.Parallel()
	for expression, valid := range map[string]bool{
		".x": true, "${ .x }": true, "$input": true, "$context.a": true, "$item": false, "nosuch": false, ".x |": false, "": false, "env": false, "$secrets.s": false, "$authorization": true,
	} {
		if err := CheckExpression(expression); (err == nil) != valid {
			t.Errorf("%q: %v", expression, err)
		}
	}
}

// TestGuardsPreserveMeaning evaluates random arithmetic with and without guards.
func TestGuardsPreserveMeaning(t *testing.T) {
	t.Parallel()
	var expression func(depth int) *rapid.Generator[string]
	expression = func(depth int) *rapid.Generator[string] {
		leaf := rapid.SampledFrom([]string{".a", ".b", ".s", ".l", "1", "2.5", `"x"`, "[1, 2]", "{k: .a}", "null"})
		if depth == 0 {
			return leaf
		}
		return rapid.Custom(func(t *rapid.T) string {
			left, right := expression(depth-1).Draw(t, "left"), expression(depth-1).Draw(t, "right")
			switch rapid.IntRange(0, 5).Draw(t, "form") {
			case 0:
				return "(" + left + ")"
			case 1:
				return "[" + left + ", " + right + "]"
			case 2:
				return "(try (" + left + ") catch (" + right + "))"
			case 3:
				return "(" + left + " | tojson)"
			}
			operator := rapid.SampledFrom([]string{"+", "-", "*", "/", "==", "!=", "<", ">=", "//"}).Draw(t, "operator")
			return "(" + left + " " + operator + " " + right + ")"
		})
	}
	input := map[string]any{"a": 3, "b": 4.5, "s": "text", "l": []any{1, "x"}}
	rapid.Check(t, func(t *rapid.T) {
		text := expression(3).Draw(t, "expression")
		query, err := gojq.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := query.Run(input).Next()
		got, gotErr := (&Workflow{}).Evaluate(text, input, Scope{})
		if wantErr, failed := want.(error); failed || !isFinite(want) {
			if gotErr == nil {
				t.Fatalf("%s is %s, want the error %v", text, Canonical(got), wantErr)
			}
			return
		}
		if gotErr != nil || !bytes.Equal(Canonical(got), Canonical(want)) {
			t.Fatalf("%s is %s, %v; want %s", text, Canonical(got), gotErr, Canonical(want))
		}
	})
}
