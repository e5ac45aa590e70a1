//go:build torture

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// grammar composes definitions that are meant to take time and memory. It is deterministic: the same source yields the same definitions.
type grammar struct {
	rnd *rand.Rand
	// name is the name of the definition, so that it can refer to itself.
	name string
	// tasks is how many tasks may still be added.
	tasks int
}

func newGrammar(seed, n uint64) *grammar {
	return &grammar{rnd: rand.New(rand.NewPCG(seed, n)), name: fmt.Sprintf("g%d-%d", seed%1_000_000, n), tasks: 12}
}

func (g *grammar) pick(all ...string) string { return all[g.rnd.IntN(len(all))] }

func (g *grammar) oneIn(n int) bool { return g.rnd.IntN(n) == 0 }

// count returns a number whose order of magnitude is random.
func (g *grammar) count(magnitude int) int {
	n := 1 + g.rnd.IntN(9)
	for range g.rnd.IntN(magnitude + 1) {
		n *= 10
	}
	return n
}

// expression returns a jq expression.
func (g *grammar) expression(depth int) string {
	if depth <= 0 {
		return g.pick(".", ".n", "$context", "$workflow.input", "$input", "now", "nan", "infinite", "null", "{}", "[]", "empty", "$workflow.definition", "$task", "1e1000",
			fmt.Sprintf("[range(%d)]", g.count(7)), fmt.Sprintf("(%q * %d)", g.pick("a", "<", "é", `"`, "aA1 "), g.count(7)), fmt.Sprintf("range(%d)", g.count(9)))
	}
	e := func() string { return g.expression(depth - 1 - g.rnd.IntN(2)) }
	switch g.rnd.IntN(24) {
	case 0:
		return "(" + e() + " | " + e() + ")"
	case 1:
		return "[" + e() + ", " + e() + "]"
	case 2:
		return "{a: " + e() + ", b: " + e() + "}"
	case 3, 4:
		return fmt.Sprintf("reduce range(%d) as $i (%s; %s)", g.count(6), e(), g.growth())
	case 5:
		return fmt.Sprintf("[foreach range(%d) as $i (%s; %s; %s)]", g.count(5), e(), g.growth(), g.pick(".", "length", "$i"))
	case 6:
		return fmt.Sprintf("[limit(%d; repeat(%s))]", g.count(7), e())
	case 7:
		return "(def f: " + e() + " | " + g.pick("f", "[f, f]", "f | f", "if . == 1 then . else f end") + "; f)"
	case 8, 9, 10:
		return "(" + e() + " | tostring | " + g.matching() + ")"
	case 11, 12, 13:
		return "(" + e() + " | " + g.pick("sort", "unique", "flatten", "tojson", "tostring", "[paths]", "[..]", "to_entries?", "transpose?", "[leaf_paths]", "add?", "keys?", "length", "explode?", "@json", "@text", "tojson | fromjson",
			"group_by(.)?", "min_by(.)?", "[splits(\"a\")]?", "combinations?", "[combinations(9)]?", "ascii_downcase?", "walk(.)", "walk([.])", "del(..)?", "@base64 | @base64d", "@uri", "@sh?", "@html", "reverse?", "strftime(\"%c\")?", "todate?", "any", "indices([1])?") + ")"
	case 14:
		return "(" + e() + " == " + e() + ")"
	case 15:
		return fmt.Sprintf("(%s | setpath([%d]; 1)?)", e(), g.count(8))
	case 16:
		return fmt.Sprintf("(%s | .[%d]? = %s)", e(), g.count(8), e())
	case 17:
		open, end, _ := strings.Cut(g.pick("until(false; E)", "last(recurse(E))", "[recurse(E)]", "[.[]? | E]", "path(E)", "first(E)", "isempty(E)", "[limit(3; E)]", "(label $out | E)", "getpath([E])?"), "E")
		return open + e() + end
	case 18:
		return "(try " + e() + " catch " + e() + ")"
	case 19:
		return "(" + e() + " as [$a, {b: $c}] ?// $a | " + e() + ")"
	case 20:
		n := g.count(3)
		return strings.Repeat("[", n) + e() + strings.Repeat("]", n)
	case 21:
		return "1" + strings.Repeat(g.pick("+1", ",1", "|1", "//1"), g.count(4))
	case 22:
		return `"` + strings.Repeat(`\(`+"."+`)`, g.count(3)) + `"`
	default:
		return "([.[]? | " + e() + "] | " + e() + ")"
	}
}

// growth returns the body of a reduction that makes its value larger.
func (g *grammar) growth() string {
	return g.pick(". + .", "[., .]", "[.]", "{a: .}", "{a: ., b: .}", ". * .", "tojson", "@base64", ". + [$i]", `"\(.)\(.)"`, ". + $i", `. + {"k\($i)": .}`, "[.[]?, .[]?]", ".[$i]? = $i", "[limit(2; .[]?)]")
}

// matching returns a function that applies a pattern.
func (g *grammar) matching() string {
	p := asText([]any{g.pattern(3)})
	p = p[1 : len(p)-1]
	return g.pick("test("+p+")", "[match("+p+`; "g")]`, "gsub("+p+`; "xx")`, "[scan("+p+")]", "[splits("+p+")]", "capture("+p+")", "sub("+p+`; "\(.)\(.)")`, "indices("+p+")", "split("+p+")", "ltrimstr("+p+")")
}

// pattern returns a regular expression.
func (g *grammar) pattern(depth int) string {
	if depth <= 0 {
		return g.pick("a", "b", ".", "[a-z]", `\w`, `\s`, "[^x]", `\p{L}`, "aa", "a?", "a*", "a+", `\1`, "$", "^", "(a|aa)", "(a+)+", "(a*)*")
	}
	p := func() string { return g.pattern(depth - 1) }
	switch g.rnd.IntN(9) {
	case 0:
		return "(" + p() + "|" + p() + ")"
	case 1:
		return "(" + p() + ")" + g.pick("*", "+", "?", "*?", "+?")
	case 2:
		return fmt.Sprintf("(%s){%d,%d}", p(), g.count(1), 10+g.count(2))
	case 3:
		return "(?=" + p() + ")" + p()
	case 4:
		return "(?!" + p() + ")" + p()
	case 5:
		return "^" + p() + "$"
	case 6:
		return strings.Repeat(p(), g.rnd.IntN(12)+1)
	default:
		return p() + p()
	}
}

// schema returns a JSON Schema. Its references may recur and double.
func (g *grammar) schema(depth int) any {
	if depth <= 0 {
		leaf := []any{
			object{"type": g.pick("string", "object", "array", "integer")}, true, false, object{"pattern": g.pattern(3)}, object{"const": g.data(1)}, object{"uniqueItems": true}, object{"$ref": "#"},
			object{"$ref": "#/$defs/a0"}, object{"format": g.pick("regex", "email", "uri", "date-time", "idn-hostname")}, object{"required": []any{"a", "b"}}, object{"$dynamicRef": "#n"},
		}
		return leaf[g.rnd.IntN(len(leaf))]
	}
	s := func() any { return g.schema(depth - 1) }
	several := func() []any {
		all, repeated := []any{}, s()
		for range 1 + g.rnd.IntN(30) {
			all = append(all, repeated)
		}
		return append(all, s())
	}
	switch g.rnd.IntN(12) {
	case 0, 1:
		return object{g.pick("allOf", "anyOf", "oneOf", "prefixItems"): several()}
	case 2:
		return object{"if": s(), "then": s(), "else": s()}
	case 3:
		return object{"items": s(), g.pick("contains", "unevaluatedItems", "not"): s()}
	case 4:
		return object{"properties": object{"a": s(), "b": s()}, g.pick("additionalProperties", "unevaluatedProperties", "propertyNames"): s()}
	case 5:
		return object{"patternProperties": object{g.pattern(3): s(), g.pattern(2): s()}}
	case 6:
		return object{"dependentSchemas": object{"a": s(), "b": s()}}
	case 7:
		return object{"items": object{"enum": []any{g.data(2), g.data(1)}}, "uniqueItems": true}
	case 8, 9:
		return doubled(g.pick("allOf", "anyOf", "oneOf"), g.count(1)+g.rnd.IntN(40), s())
	default:
		return object{"$dynamicAnchor": "n", "items": s(), "additionalProperties": s()}
	}
}

// data returns JSON of up to some hundred kilobytes.
func (g *grammar) data(depth int) any {
	if depth <= 0 {
		if g.oneIn(4) {
			return strings.Repeat(g.pick("a", "b", "<", "é", "0"), g.count(3)) + "!"
		}
		return []any{nil, 1, "a!", g.count(9), []any{}, object{}}[g.rnd.IntN(6)]
	}
	switch g.rnd.IntN(5) {
	case 0:
		all := make([]any, g.count(3))
		for n := range all {
			all[n] = n % (1 + g.count(3))
		}
		return all
	case 1:
		all := object{}
		for n := range g.count(2) {
			all[fmt.Sprint(strings.Repeat("a", 25), n)] = g.data(depth - 2)
		}
		return all
	case 2:
		deep := g.data(0)
		for range g.count(3) {
			deep = []any{deep}
		}
		return deep
	case 3:
		all := make([]any, g.count(2))
		one := strings.Repeat("a", 25) + "!"
		for n := range all {
			all[n] = one
		}
		return all
	default:
		return object{"a": g.data(depth - 1), "b": g.data(depth - 1), "n": 1}
	}
}
