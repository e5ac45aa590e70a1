//go:build torture

package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// evaluationAttacks take time and memory by what is evaluated.
func evaluationAttacks() []attack {
	return []attack{
		{name: "schemas that double", run: attackWithSchemas(doublingSchemas)},
		{name: "schemas over large data", run: attackWithSchemas(largeSchemas)},
		{name: "expressions that compute", run: attackWithComputations},
		{name: "expressions that match", run: attackWithMatches},
		{name: "values that grow", run: attackWithGrowingValues},
		{name: "patterns", run: attackWithPatterns},
	}
}

// schemaAttack is a schema with an input.
type schemaAttack struct {
	schema any
	input  any
}

type object = map[string]any

// doubled returns a schema whose references double at each of a number of levels, combined by a keyword, above a leaf.
func doubled(keyword string, levels int, leaf any) object {
	defs := object{fmt.Sprintf("a%d", levels): leaf}
	for n := range levels {
		next := object{"$ref": fmt.Sprintf("#/$defs/a%d", n+1)}
		defs[fmt.Sprintf("a%d", n)] = object{keyword: []any{next, next}}
	}
	return object{"$ref": "#/$defs/a0", "$defs": defs}
}

// doublingSchemas are small schemas that take very many steps, or have very many errors, for any value.
func doublingSchemas() []schemaAttack {
	var all []schemaAttack
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		for _, leaf := range []any{object{"type": "object"}, object{"type": "string"}, object{"required": []string{"missing"}}, true, false} {
			all = append(all, schemaAttack{doubled(keyword, 45, leaf), object{}}, schemaAttack{doubled(keyword, 22, leaf), object{}})
		}
	}
	conditions := object{"c30": object{"type": "string"}}
	for n := range 30 {
		next := object{"$ref": fmt.Sprintf("#/$defs/c%d", n+1)}
		conditions[fmt.Sprintf("c%d", n)] = object{"if": next, "then": next, "else": next}
	}
	deep := any(1)
	for range 60 {
		deep = object{"a": deep, "b": deep}
		if text, _ := json.Marshal(deep); len(text) > 100_000 {
			break
		}
	}
	branching := object{"$defs": object{"t": object{"properties": object{"a": object{"anyOf": []any{object{"$ref": "#/$defs/t"}, object{"allOf": []any{object{"$ref": "#/$defs/t"}}}}}}}}, "$ref": "#/$defs/t"}
	chain := any(1)
	for range 60 {
		chain = object{"a": chain}
	}
	return append(all, schemaAttack{object{"$ref": "#/$defs/c0", "$defs": conditions}, object{}}, schemaAttack{branching, chain},
		schemaAttack{object{"$dynamicAnchor": "n", "anyOf": []any{object{"properties": object{"a": object{"$dynamicRef": "#n"}, "b": object{"$dynamicRef": "#n"}}}, object{"additionalProperties": object{"$dynamicRef": "#n"}}}, "unevaluatedProperties": false}, deep})
}

// largeSchemas take long because of their input, which has at most 256 KiB.
func largeSchemas() []schemaAttack {
	numbers, objects, texts, strange := make([]any, 30_000), make([]any, 4_000), make([]any, 5_000), object{}
	for n := range numbers {
		numbers[n] = n
	}
	for n := range objects {
		objects[n] = object{"a": []any{n, "b"}, "c": "d"}
	}
	for n := range texts {
		texts[n] = strings.Repeat("a", 28) + "!"
	}
	for n := range 4_000 {
		strange[strings.Repeat("a", 24)+fmt.Sprint(n)+"!"] = n
	}
	nested := any("a")
	for range 20_000 {
		nested = []any{nested}
	}
	many := object{}
	for n := range 400 {
		many[fmt.Sprintf("^(a|b|aa)*%d$", n)] = object{"type": "integer"}
	}
	rest := slices.Repeat([]any{object{"contains": object{"const": -1}, "minContains": 0}}, 200)
	return []schemaAttack{
		{object{"type": "array", "uniqueItems": true}, numbers}, {object{"type": "array", "uniqueItems": true}, objects}, {object{"uniqueItems": true}, texts},
		{object{"items": object{"pattern": "^(a+)+$"}}, texts}, {object{"items": object{"pattern": "^(?=(a+)+$)(a|aa)+$"}}, texts},
		{object{"patternProperties": object{"^(a+)+$": true, "^(a|aa)+$": true}}, strange}, {object{"patternProperties": many}, strange}, {object{"propertyNames": object{"pattern": `^(\w+\s?)*$`}}, strange},
		{object{"items": object{"enum": numbers[:5000]}}, numbers}, {object{"allOf": rest}, numbers}, {object{"items": object{"anyOf": slices.Repeat([]any{object{"type": "string"}}, 400)}}, numbers},
		{object{"$defs": object{"n": object{"anyOf": []any{object{"items": object{"$ref": "#/$defs/n"}}, object{"type": "string"}}}}, "$ref": "#/$defs/n", "unevaluatedItems": false}, nested},
		{object{"items": object{"format": "regex", "type": "integer"}}, texts}, {object{"dependentSchemas": many}, strange}, {object{"additionalProperties": object{"type": "string"}}, strange},
	}
}

// attackWithSchemas has the schemas evaluated at the start of an execution, in a task, and after a wait for which an execution leaves memory.
func attackWithSchemas(schemas func() []schemaAttack) func(*attackers) {
	return func(b *attackers) {
		all := schemas()
		b.crowd(4, func(n int) bool {
			s := all[n/3%len(all)]
			text, err := json.Marshal(s.schema)
			if err != nil {
				b.t.Error(err)
			}
			check := fmt.Sprintf("{schema: {document: %s}}", text)
			document := b.document("input: "+check+"\n", "- a: {set: {x: 1}}")
			switch n % 3 {
			case 1:
				document = b.document("", "- a: {set: '${ . }', output: "+check+"}")
			case 2:
				document = b.document("", "- rest: {wait: {seconds: 3}}\n- a: {input: "+check+", set: {x: 1}}")
			}
			if id := b.create(b.user(n), document); id != "" && n%3 == 2 {
				b.begin(b.user(n), id, s.input)
			} else if id != "" {
				b.execute(b.user(n), id, s.input)
			}
			return true
		})
	}
}

// attackWithComputations executes many expressions, each within the bound of one.
func attackWithComputations(b *attackers) {
	entries := func(n int, expression string) string {
		var all strings.Builder
		for k := range n {
			fmt.Fprintf(&all, "    x%d: '${ %s }'\n", k, expression)
		}
		return all.String()
	}
	const reduce = "reduce range(8000) as $i (0; . + $i)"
	loop := func(n int, do string) string {
		return fmt.Sprintf("- a:\n    for: {each: i, in: '${ [range(%d)] }'}\n    do:\n    - b:\n%s", n, do)
	}
	documents := []string{
		b.document("", "- a:\n   set:\n"+entries(3000, reduce)),
		b.document("", loop(600, "        set:\n"+strings.ReplaceAll(entries(50, reduce), "    x", "          x"))),
		b.document("", "- a: {switch: ["+strings.Repeat("{c: {when: '${ "+reduce+" < 0 }', then: end}}, ", 500)+"{d: {then: end}}]}"),
		b.document("", "- a: {set: {x: 1}, then: b}", "- b: {set: {x: '${ "+reduce+" }'}, then: a}"),
		b.document("", loop(3000, "        if: '${ "+reduce+" < 0 }'\n        set: {x: 1}")),
		b.document("", "- a: {for: {each: i, in: '${ [range(50000)] }'}, while: '${ "+reduce+" > 0 }', do: [{b: {set: {x: '${ $i }'}}}]}"),
		b.document("", "- a: {fork: {branches: ["+strings.Repeat("{b: {set: {x: '${ "+reduce+" }'}}}, ", 400)+"{c: {set: {x: 1}}}]}}"),
		b.document("output: {as: '${ "+reduce+" }'}\n", "- a: {set: {x: '${ [range(100000)] | map(. * 3) | sort_by(-.) | group_by(. % 7) | length }'}}"),
		b.document("", "- a: {set: {x: '${ last(range(1e12)) }'}}"), b.document("", "- a: {set: {x: '${ [limit(1e6; repeat(1))] | length }'}}"),
		b.document("", "- a: {set: {x: '${ reduce range(40) as $i (3; . * .) | tostring | length }'}}"),
		b.document("", "- a: {set: {x: '${ reduce range(1e6) as $i (1; . * 7) | tostring | length }'}}"),
		b.document("", "- a: {set: {x: '${ [range(12)] | [combinations(6)] | length }'}}"), b.document("", "- a: {set: {x: '${ [range(20000)] | [range(20000)] - . | length }'}}"),
		b.document("", "- a: {set: {x: '${ [range(20000) | {a: ., b: [.]}] | unique | map(tojson | fromjson) | index({a: -1}) }'}}"),
		b.document("", "- a: {set: {x: '${ [range(1e5)] | [paths] | length }'}}"), b.document("", "- a: {set: {x: '${ def f: if . > 1 then (. - 1 | f) + (. - 2 | f) else . end; 45 | f }'}}"),
	}
	b.runAll(8, map[string]any{}, documents...)
}

// attackWithMatches makes single steps of an expression long: functions that walk a long text or list.
func attackWithMatches(b *attackers) {
	text := `("a" * 1000000)`
	var documents []string
	for _, expression := range []string{
		text + ` | test("a1|a2|a3|a4|a5|a6|a7|a8|a9")`, `[range(3000)] | map(` + text + ` | test("(a|b|c|d|e|f|g|h|i)*z"))`, text + ` | test("(a?){500}(a*)*b")`, text + ` | test("((a{30}){30}|b)*c")`,
		text + ` | [match("a"; "g")] | length`, text + ` | gsub("a"; "bb") | length`, text + ` | gsub("(?<x>a)"; "\(.x)\(.x)") | length`, text + ` | [splits("a")] | length`, text + ` | [scan("a*?")] | length`,
		text + ` | indices("` + strings.Repeat("a", 200) + `b") | length`, text + ` | indices("a" * 500000) | length`, text + ` | explode | implode | length`, text + ` | split("") | join("") | length`,
		text + ` | ascii_downcase | ascii_upcase | ltrimstr("a") | rtrimstr("a") | length`, text + ` | @base64 | @base64 | @base64d | @uri | length`, `[range(300000)] | indices([range(150000)]) | length`,
		`[range(100000) | tostring] | join(",") | split(",") | length`, `[range(100000)] | tojson | fromjson | length`, text + ` | tojson | tojson | length`, text + ` | [limit(5; repeat(.))] | map(. == ` + text + `)`,
		`[range(3000)] | map(` + text + ` == ` + text + `) | all`, text + ` | test("(?i)[^x]*[^y]*[^z]*$q")`, `[range(2000)] | map("\(.)" as $p | ` + text + ` | test($p + "{900}"))`, text + ` | sub("(?<x>a+)$"; .x + .x) | length`,
		`now | [range(200000)] | map(strftime("%c%c%c%c")) | length`, text + ` | ltrimstr("a" * 999999)`, `[range(1e5)] | [.[] | getpath([])] | min_by(-.)`, text + ` | [range(0; length; 10)] as $s | [$s[] as $i | ` + text + `[$i:]] | length`,
	} {
		documents = append(documents, b.document("", "- a: {set: {x: '${ "+expression+" }'}}"),
			b.document("", "- l: {for: {each: i, in: '${ [range(500)] }'}, do: [{a: {if: '${ "+expression+" | not }', set: {x: 1}}}]}"))
	}
	b.runAll(8, map[string]any{}, documents...)
}

// attackWithGrowingValues evaluates short expressions whose values are large, deep, or shared and therefore large when they are written.
func attackWithGrowingValues(b *attackers) {
	var documents []string
	for _, expression := range []string{
		`[range(1e9)]`, `"a" * 1e9`, `.[500000000] = 1`, `[] | .[536870910] = 0`, `[.] | setpath([400000000]; 1)`, `reduce range(60) as $i ("a"; . + .)`, `reduce range(60) as $i ([1]; . + .)`,
		`reduce range(60) as $i ([1]; [., .])`, `reduce range(60) as $i ({}; {a: ., b: .})`, `reduce range(60) as $i ("a"; "\(.)\(.)")`, `reduce range(60) as $i ("\""; tojson)`, `reduce range(60) as $i ("%"; @uri)`,
		`reduce range(60) as $i ("&"; @html)`, `reduce range(60) as $i ("a"; @base64)`, `reduce range(60) as $i ([1]; [., .]) | tojson | length`, `reduce range(60) as $i ([1]; [., .]) | . == .`,
		`reduce range(60) as $i ([1]; [., .]) | [.. | numbers] | length`, `reduce range(60) as $i ([1]; [., .]) | flatten | length`, `reduce range(60) as $i ([1]; [., .]) | sort`, `reduce range(60) as $i ([1]; [., .]) | tostring`,
		`reduce range(3000000) as $i (0; [.])`, `reduce range(3000000) as $i (0; [.]) | tojson | length`, `reduce range(3000000) as $i (0; {a: .}) | . == .`, `reduce range(3000000) as $i (0; [.]) | flatten`,
		`reduce range(100000) as $i (0; [.])`, `[limit(1e8; repeat("abcdefgh"))]`, `[range(1e6)] | map([range(1e3)])`, `[range(3e6) | tostring]`, `[range(1e6) | {a: ., b: [.]}]`, `def f: [f, f]; f`, `def f: f | f; f`,
		`[recurse([., .]; true)]`, `reduce range(30) as $i (3; . * .)`, `1e1000 | tostring`, `[range(1e5)] | [combinations(2)]`, `["a" * 1000000, "b" * 1000000] | combinations(3)`, `[range(1e6)] | tostring | tojson`,
		`"a" * 1000000 | [., .] | [., .] | [., .] | [., .] | [., .] | [., .] | [., .] | tojson`, `"a" * 1000000 | split("")`, `"a" * 1000000 | explode`, `[range(2e5)] | transpose`, `[[range(2e5)]] | transpose`,
		`[range(2000) | [range(2000)]] | transpose | tojson | length`, `{} | reduce range(1e6) as $i (.; .["k\($i)"] = $i)`, `"\u0000" * 900000`, `"<" * 900000 | tojson`,
	} {
		documents = append(documents, b.document("", "- a: {set: {x: '${ "+expression+" }'}}"), b.document("", "- a: {if: '${ "+expression+" | not }', set: {x: 1}}"),
			b.document("", "- a: {set: {n: 1}, export: {as: '${ "+expression+" }'}}", "- b: {set: {x: 1}}"))
	}
	b.runAll(8, map[string]any{}, documents...)
}

// catastrophicPatterns take exponential or polynomial time where a matcher backtracks, or very much where it does not.
var catastrophicPatterns = []string{
	"^(a+)+$", "^(a|aa)+$", "^(a*)*$", "^((a+)+)+$", `^(\w+\s?)*$`, "^(?=(a+)+$).*$", `^(a+)\1+$`, `^(?:(a)|\1)+$`, "^(?!(a|a)*c)(a|a)*c$", "^(.*)(.*)(.*)(.*)(.*)=$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(a?){50}a{50}$",
	"((((a{10}){10}){10}){10})", "^(a{1,100}){1,100}$", `^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}$`, "(?<=(a+)+)b", "^(?>(a+))+$", strings.Repeat("(a|", 2000) + "b" + strings.Repeat(")", 2000), "[" + strings.Repeat("a-z", 20_000) + "]+$",
	strings.Repeat("a?", 5000) + strings.Repeat("a", 5000), strings.Repeat("(", 200_000) + strings.Repeat(")", 200_000), `\p{L}*\p{N}*$`,
}

// attackWithPatterns puts the patterns into schemas, filters of events and expressions.
func attackWithPatterns(b *attackers) {
	text := strings.Repeat("a", 40) + "!"
	items := make([]any, 3000)
	for n := range items {
		items[n] = text
	}
	b.crowd(8, func(n int) bool {
		user, quoted := b.user(n), asText([]any{catastrophicPatterns[n/4%len(catastrophicPatterns)]})
		pattern := quoted[1 : len(quoted)-1]
		switch n % 4 {
		case 0:
			if id := b.create(user, b.document("input: {schema: {document: {items: {pattern: "+pattern+"}}}}\n", "- a: {set: {x: 1}}")); id != "" {
				b.execute(user, id, items)
			}
		case 1:
			b.create(user, b.document("schedule: {on: {any: [{with: {type: "+pattern+"}}, {with: {type: bad.text, source: "+pattern+"}}]}}\n", "- a: {set: {x: 1}}"))
		case 2:
			if id := b.create(user, b.document("", "- a: {listen: {to: {any: [{with: {type: "+pattern+"}}, {with: {subject: "+pattern+"}}], until: '${ length > 1000 }'}}}")); id != "" {
				b.begin(user, id, map[string]any{})
			}
		case 3:
			b.postEvent(user, map[string]any{"specversion": "1.0", "id": fmt.Sprint(n, time.Now()), "source": "https://bad.example.com/" + strings.Repeat("a", 1000), "type": strings.Repeat("a", 40), "subject": strings.Repeat("a", 1000)})
		}
		return true
	})
}
