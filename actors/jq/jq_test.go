package jq_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/itchyny/gojq"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/jq"
)

func compile(t testing.TB, text string) *jq.Program {
	t.Helper()
	p, err := jq.Compile(text, []string{"$__now"})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

// large is an input of about a megabyte: an object of many fields, a list, texts.
func large() map[string]any {
	object := map[string]any{}
	for i := range 20_000 {
		object[fmt.Sprintf("key%d", i)] = []any{i, "x"}
	}
	list := make([]any, 50_000)
	for i := range list {
		list[i] = (i * 7919) % 50_000
	}
	return map[string]any{"big": object, "list": list, "text": strings.Repeat("lorem ipsum dolor, ", 50_000), "a": strings.Repeat("a", 900_000)}
}

// TestHostileExpressionsEndByCounting: steps and bytes end each of these, not the clock, so they end the same way on every machine. The
// budget is a part of that of one evaluation, to be quick.
func TestHostileExpressionsEndByCounting(t *testing.T) {
	t.Parallel()
	input := large()
	for expression := range strings.SplitSeq(strings.TrimSpace(`
[repeat(1)]
[range(1e9)]
def f: 1 + f; f
def f: (1,2) | f; [f]
reduce range(60) as $i ("x"; . + .)
reduce range(60) as $i (1; [., .]) | tojson
reduce range(60) as $i (1; [., .]) | . == .
reduce range(60) as $i (1; [., .]) | . < .
reduce range(60) as $i (1; [., .]) | flatten
reduce range(60) as $i (1; [., .]) | del(.[0])
reduce range(60) as $i (1; [., .]) | .[0] |= empty
reduce range(60) as $i (1; [., .]) | error
reduce range(60) as $i (1; [., .]) | [., .] | index(1)
reduce range(60) as $i ({}; {a: ., b: .}) | . * .
reduce range(100000) as $i ([]; .[$i] = 1) | 1
reduce range(100000) as $i ({}; .["k\($i)"] = 1) | 1
.text | test("lorem|ipsum|dolor|amet|consectetur|x|y|z|w")
.text | gsub("ipsum"; "x")
.a | [match("(?:[^!]*!|a)?"; "g")]
.a | test("(a?){500}b")
.a | explode | implode
. as $d | [range(1000000) | $d.a[0:5]]
. as $d | [range(1000000) | $d.a | .[0]]
. as $d | [range(1000000) | $d.big | .[0]?]
. as $d | [range(1000000) | $d.a | .[]?]
. as $d | [range(1000000) | $d.a | .x?]
. as $d | [range(1000000) | first($d.big[])]
. as $d | [range(1000000) | $d.big | any(true)]
. as $d | def f: $d.list[] | f; f
. as $d | def f: $d.list | map(f); f
. as $d | [range(1000000) | try ($d.big + 1) catch .]
. as $d | [range(1000000) | $d.big == $d.big]
. as $d | [range(1000000) | $d.big | keys]
. as $d | [range(1000000) | $d.big | tojson]
. as $d | [range(1000000) | $d.big | del(.key1)]
. as $d | [range(1000000) | $d.big | .key1 = 1]
. as $d | [range(1000000) | $d.list | index(49999)]
. as $d | [range(1000000) | $d.list | sort]
. as $d | [range(1000000) | $d.list | min_by(.)]
.list - .list
[[range(50000)], ([range(5000) | []] | .[])] | transpose
jn(2000000000; 2e9)
[range(100)] | [combinations(9)]
[range(100000) | . as $i | "x" | test("a\($i)b{1,1000}")]
[range(100000) | strftime("%1000Y%1000Y%1000Y%1000Y")]
def f: (if true then f else (1 as $a|1 as $b|1 as $c|1 as $d|1 as $e|1 as $f|1 as $g|1 as $h|1 as $i|1 as $j|1) end) + 1; f
def f(g): g + f(g); f(if true then 1 else (1 as $a|1 as $b|1 as $c|1 as $d|1 as $e|1 as $f|1 as $g|1 as $h|1 as $i|1) end)
`), "\n") {
		whole := budget.New(budget.Limits{Steps: 150_000, Bytes: 8 << 20})
		_, _, err := compile(t, expression).Single(whole, input, []any{0})
		if !errors.Is(err, budget.ErrSteps) && !errors.Is(err, budget.ErrBytes) {
			t.Errorf("%s: %v after %d steps and %d bytes", expression, err, whole.Steps(), whole.Bytes())
		}
	}
}

// TestLongAndDeepExpressionsAreRefused: none of these is parsed or compiled, or takes the stack or more than a moment.
func TestLongAndDeepExpressionsAreRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"signs": strings.Repeat("-", 480_000) + "1", "brackets": strings.Repeat("[", 240_000) + strings.Repeat("]", 240_000),
		"spaced signs": strings.Repeat("- ", 8_000) + "1", "few signs": strings.Repeat("-", 10_000) + "1",
		"parentheses": strings.Repeat("(", 8_000) + "1" + strings.Repeat(")", 8_000), "objects": strings.Repeat("{a:", 5_000) + "1" + strings.Repeat("}", 5_000),
		"pipes": strings.Repeat(".|", 8_000) + ".", "sums": strings.Repeat("1+", 8_000) + "1", "commas": strings.Repeat("1,", 8_000) + "1",
		"tries": strings.Repeat("try ", 4_000) + "1", "ifs": strings.Repeat("if 1 then ", 1_600), "variables": strings.Repeat("1 as $a|", 2_000) + "1",
		"definitions": strings.Repeat("def f:", 2_600) + "1", "interpolations": strings.Repeat(`"\(`, 5_000), "labels": strings.Repeat("label $a|", 1_800) + "1",
		"indices": strings.Repeat(".[", 8_000) + "0" + strings.Repeat("]", 8_000), "negations": strings.Repeat("-(", 8_000), "reductions": strings.Repeat("reduce ", 2_000),
	} {
		if _, err := jq.Compile(text, []string{"$__now"}); err == nil {
			t.Errorf("%s of %d bytes compile", name, len(text))
		}
	}
	for name, text := range map[string]string{
		"suffixes": "." + strings.Repeat("[0]", 5_000), "questions": "." + strings.Repeat("?", 16_000), "iterations": "." + strings.Repeat("[]", 900),
		"alternatives": ". as " + strings.Repeat("$a?//", 3_000) + "$a | 1", "many definitions": strings.Repeat("def f: 1;", 1_700) + "f",
		"many keys": "{" + strings.Repeat("a:1,", 4_000) + "}", "digits": strings.Repeat("1", 16_000), "text": `"` + strings.Repeat("x", 16_000) + `"`,
	} {
		p, err := jq.Compile(text, []string{"$__now"})
		if err == nil {
			_, _, _ = p.Single(nil, nil, []any{0})
		}
		t.Logf("%s: %v", name, err)
	}
}

// TestOwnFunctionsHaveTheResultsOfGojq: what replaces a function of gojq, or is read by the guard, does not change what it yields.
func TestOwnFunctionsHaveTheResultsOfGojq(t *testing.T) {
	t.Parallel()
	input := `{"a":[1,2,3,4,5],"o":{"x":1,"y":{"z":[1,2]}},"s":"aXbXXc déjà","l":[[1,2],[3]],"n":null,"t":"a b"}`
	for expression := range strings.SplitSeq(strings.TrimSpace(`
del(.a[0])
del(.a[1], .a[3])
del(.a[-1])
del(.a[1:3])
del(.a[2:][0])
del(.a[10])
del(.a[])
del(.o.y.z[0], .o.x)
del(.o.y, .o.y.z)
del(.missing.x)
del(.)
delpaths([["a", 0], ["a", 0], ["o", "x"]])
.a |= map(select(. > 2))
.a[] |= empty
(.a[] | select(. == 2)) |= empty
[.s | match("X*"; "g") | [.offset, .length, .string]]
[.s | match("(?<one>.)(X)?"; "g")]
[.s | match("\\b"; "g").offset]
[.s | match("X")]
[.s | match(["x", "gi"]).offset]
.s | [scan("[a-z]+")]
.s | gsub("(?<c>[ab])"; "<\(.c)>")
.s | gsub("^"; ">")
.s | gsub("$"; "<")
.s | gsub(""; "-")
.s | sub("X+"; "_"; "g")
.s | capture("(?<a>a)(?<q>q)?")
.s | split("X+"; null)
.s | test("DÉJÀ"; "i")
[.[] | .[0]?]
[.[] | .x?]
[.[]?[]?]
[.a[]?]
[.l[][0]]
[.l[][0,1]?]
try (.s[]) catch .
try .a.b catch .
.a as [$x, $y] | $x + $y
.o as {x: $v, y: {z: [$w]}} | [$v, $w]
[.a[1:3][], .s[0:2], .s[-1:]]
.a[.o.x:]
.s[2]?
[paths]
[..]
[tostream]
fromstream(tostream)
[.a, .l] | [combinations]
walk(if type == "number" then . + 1 else . end)
.o | with_entries(.key |= "k" + .)
[.a[] | select(. > 1)] | any(. > 4), all(. > 1)
path(..)
[path(.l[][])]
[.l | .[] | .[]] | IN([1,2,3])
.a | IN(.[]; 1, 2)
INDEX(.a[]; .)
[.a | group_by(. % 2)[] | add]
.a | min_by(-.), max_by(-.)
[limit(2; .a[])]
first(.a[])
[.a == .a, .a < .l, .o != .o, .s >= .t, .o > .o, .n == null, .a <= .a]
"[1,{\"a\":2}]" | fromjson
(.o, .l[0]) |= (.x? // 3)
.l |= map_values(length)
to_entries | map(.key)
[.a[] as $x | .l[] | length + $x]
.o * {y: {q: 1}}
.["s"], ."t"
.a | .[1] = 9 | .[7] = 1
.o.y["z"][0] += 1
.a | to_entries | from_entries?
[.l[] | (.[0], .[1]) // "none"]
[recurse(if type == "array" then .[] else empty end)]
`), "\n") {
		var value any
		if err := json.Unmarshal([]byte(input), &value); err != nil {
			t.Fatal(err)
		}
		query, err := gojq.Parse("[" + strings.ReplaceAll(expression, "\n", "") + "]")
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		want, _ := query.Run(value).Next()
		_ = json.Unmarshal([]byte(input), &value) // gojq may have changed it
		got, _, gotErr := compile(t, "["+expression+"]").Single(nil, value, []any{0})
		if wantErr, failed := want.(error); failed {
			if gotErr == nil {
				t.Errorf("%s is %v, want the error %v", expression, got, wantErr)
			}
			continue
		}
		if gotErr != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is\n%v, %v, want\n%v", expression, got, gotErr, want)
		}
	}
}

// TestDeletionsDoNotWriteToTheInput: evaluations read shared data at the same time; the race detector sees one that writes.
func TestDeletionsDoNotWriteToTheInput(t *testing.T) {
	t.Parallel()
	input := map[string]any{"a": map[string]any{"b": 1, "c": []any{1, map[string]any{"d": 2}}}, "e": 1}
	var group sync.WaitGroup
	for _, expression := range []string{"del(.a.b)", "del(.e)", ".a.c[0] |= empty", ".a | to_entries", "del(.a.c[0])", "delpaths([[\"e\"]])"} {
		p := compile(t, expression)
		group.Go(func() {
			for range 200 {
				if _, _, err := p.Single(nil, input, []any{0}); err != nil {
					t.Errorf("%s: %v", expression, err)
				}
			}
		})
	}
	group.Wait()
}
