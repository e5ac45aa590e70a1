//go:build torture

package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
)

// textAttacks send texts that are costly to read.
func textAttacks() []attack {
	return []attack{
		{name: "expressions that nest", run: attackWithNestedExpressions},
		{name: "documents that nest", run: attackWithNestedDocuments},
		{name: "data that nests", run: attackWithNestedData},
		{name: "large definitions", run: attackWithLargeDefinitions},
	}
}

// nestedExpressions are expressions that recurse in a parser or in what follows it.
func nestedExpressions() []string {
	nest := func(open, inner, end string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	return []string{
		nest("-", "1", "", 480_000), nest("[", "", "", 240_000), nest("[", "", "]", 230_000), nest("(", "1", ")", 230_000), nest("{", "", "", 240_000),
		nest(`{"a":`, "1", "}", 80_000), nest(`"\(`, "1", `)"`, 95_000), nest("..", "", "", 240_000), nest(".a", "", "", 230_000), nest("|.", "", "", 1),
		"." + nest("|.", "", "", 230_000), nest("try ", "1", "", 110_000), nest("if . then ", "1", " else 1 end", 20_000),
		nest("reduce . as $x(1;", "1", ")", 25_000), nest("def f:", "1;", "1", 60_000), "." + nest("?", "", "", 450_000), "." + nest("[0]", "", "", 150_000),
		"1" + nest("+1", "", "", 220_000), "1" + nest("//1", "", "", 150_000), "1" + nest(",1", "", "", 220_000), "1" + nest(" and 1", "", "", 70_000),
		". as " + nest("[", "$x", "]", 200_000) + "|1", ". as " + nest("{a:", "$x", "}", 100_000) + "|1", nest("label $x|", "1", "", 45_000),
		". as [$a] " + nest("?// [$a]", "", "", 55_000) + "|1", nest("not|", "1", "", 110_000), nest("path(", ".", ")", 70_000), nest("limit(1;", "1", ")", 50_000),
		`"` + nest(`\(1)`, "", "", 110_000) + `"`, nest("@json \"\\(", "1", ")\"", 40_000), nest("[.[]|", "1", "]", 75_000), nest("first(", "1", ")", 60_000),
		nest("1 as $x|", "$x", "", 50_000), nest("(.a=", "1", ")", 90_000), "1" + nest("==1", "", "", 150_000), nest(".[", "0", "]", 150_000),
	}
}

// attackWithNestedExpressions puts the expressions where a definition may have one.
func attackWithNestedExpressions(b *attackers) {
	places := []func(e string) string{
		func(e string) string { return b.document("", "- a: {set: {x: '${ "+e+" }'}}") },
		func(e string) string { return b.document("", "- a: {if: '${ "+e+" }', set: {x: 1}}") },
		func(e string) string {
			return b.document("", "- a: {for: {each: i, in: '${ "+e+" }'}, do: [{b: {set: {x: 1}}}]}")
		},
		func(e string) string {
			return b.document("schedule: {on: {one: {with: {type: a, data: '${ "+e+" }'}}}}\n", "- a: {set: {x: 1}}")
		},
		func(e string) string { return b.document("output: {as: '${ "+e+" }'}\n", "- a: {set: {x: 1}}") },
		func(e string) string {
			return b.document("", "- a: {call: http, with: {method: get, endpoint: '${ "+e+" }'}}")
		},
		func(e string) string { return b.document("", "- a: {wait: '${ "+e+" }'}") },
		func(e string) string {
			return strings.Replace(b.document("", "- a: {set: {x: 1}}"), "version: 1.0.0}", "version: 1.0.0, metadata: {attributes: {x: '${ "+e+" }'}}}", 1)
		},
	}
	expressions := nestedExpressions()
	b.crowd(4, func(n int) bool {
		document := places[n/len(expressions)%len(places)](expressions[n%len(expressions)])
		if n%3 < 2 {
			b.validate(b.user(n), document)
		} else if id := b.create(b.user(n), document); id != "" {
			b.execute(b.user(n), id, map[string]any{})
		}
		return true
	})
}

// attackWithNestedDocuments sends definitions whose structure is deep or grows by aliases.
func attackWithNestedDocuments(b *attackers) {
	indented := ""
	for n := range 900 {
		indented += strings.Repeat(" ", n) + "a:\n"
	}
	aliases := "x-0: &a0 [1,1]\n"
	merges := "x-0: &m0 {a: 1, b: 2}\n"
	for n := range 40 {
		aliases += fmt.Sprintf("x-%d: &a%d [*a%d,*a%d,*a%d]\n", n+1, n+1, n, n, n)
		merges += fmt.Sprintf("x-%d: &m%d {<<: [*m%d, *m%d, *m%d], k%d: *m%d}\n", n+1, n+1, n, n, n, n, n)
	}
	tasks := strings.Repeat("[{do: ", 70_000)
	documents := []string{
		strings.Repeat("[", 480_000), strings.Repeat("{", 480_000), strings.Repeat(`{"a":`, 95_000), strings.Repeat("[", 240_000) + strings.Repeat("]", 240_000),
		strings.Repeat("- ", 240_000) + "a", strings.Repeat("? ", 240_000) + "a", indented, "do: " + tasks, strings.Repeat("&a ", 150_000) + "1",
		strings.Repeat("!!map ", 80_000) + "{}", b.document(aliases, "- a: {set: {x: *a40}}"), b.document(merges, "- a: {set: {x: *m40}}"),
		strings.Repeat("'", 480_000), strings.Repeat("a: b\n", 100_000), strings.Repeat("---\n", 120_000), "%YAML 1.2\n" + strings.Repeat("%TAG ! x\n", 50_000),
		strings.Repeat("- |\n", 120_000), strings.Repeat("*a ", 150_000), "a: &a [*a, *a]\n", "x: " + strings.Repeat("9", 480_000), "x: 1e" + strings.Repeat("9", 400_000),
		"? " + strings.Repeat("[", 200_000) + "\n: 1", strings.Repeat("{a: ", 120_000) + strings.Repeat("}", 120_000),
	}
	for n, document := range documents { // the same below a field that may have any value
		if n < 5 {
			documents = append(documents, b.document("", "- a: {set: {x: "+document[:min(len(document), 450_000)]+"}}"))
		}
	}
	b.crowd(4, func(n int) bool {
		document, user := documents[n%len(documents)], b.user(n)
		switch n % 4 {
		case 0:
			b.create(user, document)
		case 1:
			b.post(user, "validate", "/v1/workflows/validate", map[string]any{"definition": document})
		default:
			b.validate(user, document)
		}
		return true
	})
}

// attackWithNestedData sends deep JSON as inputs, events, secrets, settings and notifications.
func attackWithNestedData(b *attackers) {
	workflow := b.create(b.users[0], b.document("", "- a: {set: {x: '${ . }'}}"))
	deep := []string{
		strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), strings.Repeat(`{"a":`, 40_000) + "1" + strings.Repeat("}", 40_000), strings.Repeat("[", 900_000),
		"[" + strings.Repeat("[],", 300_000) + "0]", "[" + strings.Repeat("{},", 300_000) + "0]", "[" + strings.Repeat(`"",`, 300_000) + "0]", strings.Repeat("9", 900_000),
		`"` + strings.Repeat(`\u0000`, 150_000) + `"`, `{` + strings.Repeat(`"a":1,`, 150_000) + `"a":1}`, strings.Repeat("[[],", 220_000) + "0" + strings.Repeat("]", 220_000),
	}
	paths := []struct{ path, before, after string }{
		{"/v1/workflows/" + workflow + "/execute", `{"input":`, "}"}, {"/v1/workflows/" + workflow + "/executions", `{"input":{"a":`, "}}"},
		{"/v1/events", `{"specversion":"1.0","id":"1","source":"https://a.example","type":"a","data":`, "}"},
		{"/v1/notifications", `{"category":"system","subject":"a","data":{"a":`, "}}"}, {"/v1/integrations", `{"provider":"http","label":"a","settings":{"a":`, "}}"},
		{"/v1/workflows/validate", "", ""}, {"/v1/auth/login", "", ""}, {"/v1/auth/passkeys/login/finish", `{"ceremony_id":"a","credential":`, "}"},
		{"/v1/consents/validate/bulk", `{"scopes":`, "}"},
	}
	b.crowd(8, func(n int) bool {
		p, data := paths[n/len(deep)%len(paths)], deep[n%len(deep)]
		b.send(b.user(n), "post", http.MethodPost, p.path, []byte(p.before+data+p.after))
		return true
	})
}

// attackWithLargeDefinitions fills whatever keeps definitions in memory: hundreds of them, each almost as large as is allowed.
func attackWithLargeDefinitions(b *attackers) {
	tasks := make([]string, 1900)
	for n := range tasks {
		tasks[n] = fmt.Sprintf("- t%d: {if: '${ .n == %d }', set: {x: '${ [.a, .b, .c, {d: .d, e: (.e // 1), f: (.f | tostring), g: [.g[]?]}] | length + %d }'}, "+
			"output: {as: '${ {n: .n, x: (.x // 0)} }'}}", n, n, n)
	}
	b.crowd(6, func(n int) bool {
		user := b.user(n)
		if id := b.create(user, b.document("", tasks...)); id != "" {
			b.send(user, "diagram", http.MethodGet, "/v1/workflows/"+id+"/diagram", nil)
			b.send(user, "update", http.MethodPut, "/v1/workflows/"+id, []byte(b.document("", tasks...)), "Content-Type: application/yaml")
			b.execute(user, id, map[string]any{"n": 1})
		}
		return true
	})
}
