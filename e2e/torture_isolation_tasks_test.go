//go:build torture

package e2e_test

import (
	"fmt"
	"strings"
)

// definition returns a workflow definition, as what is encoded as JSON, which is YAML.
func (g *grammar) definition() object {
	d := object{"document": object{"dsl": "1.0.3", "namespace": "attack", "name": g.name, "version": "1.0.0"}}
	metadata := object{}
	if g.oneIn(5) {
		metadata["flow"] = object{"concurrency": object{"limit": 1 + g.rnd.IntN(5), "key": g.value(2)}, "priority": g.value(2)}
	}
	if g.oneIn(5) {
		metadata["attributes"] = object{"x": g.value(3)}
	}
	if len(metadata) > 0 {
		d["document"].(object)["metadata"] = metadata
	}
	switch g.rnd.IntN(8) {
	case 0:
		d["schedule"] = object{"every": object{"milliseconds": 100 * g.count(1)}}
	case 1:
		d["schedule"] = object{"on": object{g.pick("any", "all"): []any{g.filter(), g.filter()}}}
	case 2:
		d["schedule"] = object{"on": object{"any": []any{g.filter()}, "until": g.value(3)}}
	}
	if g.oneIn(4) {
		d["input"] = object{"schema": object{"document": g.schema(3)}}
	}
	if g.oneIn(4) {
		d["output"] = object{"as": g.value(4)}
	}
	if g.oneIn(6) {
		d["timeout"] = object{"after": object{"milliseconds": g.count(4)}}
	}
	if g.oneIn(6) {
		d["use"] = object{
			"functions":  object{"own": g.task(1)},
			"extensions": []any{object{"around": object{"extend": g.pick("all", "set", "call"), "when": g.value(2), "before": g.list(1), "after": g.list(1)}}},
		}
	}
	d["do"] = g.list(4)
	return d
}

// value returns an expression where a value may stand.
func (g *grammar) value(depth int) string { return "${ " + g.expression(depth) + " }" }

// filter returns a filter of events.
func (g *grammar) filter() object {
	with := object{"type": g.pick("bad.told", "bad\\..*", `(b|ba|bad|\.|t|o|l|d)*x?`, `([a-z.]{0,30}){0,30}`, "http\\..*", "io.serverlessworkflow.task.completed.v1")}
	if g.oneIn(2) {
		with["data"] = g.value(3)
	}
	f := object{"with": with}
	if g.oneIn(3) {
		f["correlate"] = object{"k": object{"from": g.value(2)}}
	}
	return f
}

// list returns a list of tasks.
func (g *grammar) list(depth int) []any {
	all := []any{}
	for n := range 1 + g.rnd.IntN(3) {
		all = append(all, object{fmt.Sprintf("t%d", n): g.task(depth)})
	}
	return all
}

// task returns a task with whatever may surround one.
func (g *grammar) task(depth int) object {
	g.tasks--
	t := g.kind(depth)
	if g.oneIn(6) {
		t["if"] = g.value(3)
	}
	if g.oneIn(6) {
		t["input"] = object{"from": g.value(3), "schema": object{"document": g.schema(3)}}
	}
	if g.oneIn(6) {
		t["output"] = object{"as": g.value(3), "schema": object{"document": g.schema(3)}}
	}
	if g.oneIn(5) {
		t["export"] = object{"as": g.pick("${ [$context, .] }", "${ {a: $context, b: .} }", g.value(3))}
	}
	if g.oneIn(8) {
		t["timeout"] = object{"after": object{"milliseconds": g.count(4)}}
	}
	if g.oneIn(8) {
		t["then"] = g.pick("t0", "end", "exit")
	}
	return t
}

// kind returns a task of some kind.
func (g *grammar) kind(depth int) object {
	if depth <= 0 || g.tasks <= 0 {
		switch g.rnd.IntN(3) {
		case 0:
			return object{"set": g.value(4)}
		case 1:
			return object{"set": g.entries()}
		default:
			return object{"call": "echo", "with": object{"x": g.value(4)}}
		}
	}
	switch g.rnd.IntN(14) {
	case 0, 1:
		return object{"for": object{"each": "i", "in": fmt.Sprintf("${ [range(%d)] }", g.count(5))}, "do": g.list(depth - 1)}
	case 2:
		return object{"for": object{"each": "i", "in": g.value(3)}, "while": g.value(3), "do": g.list(depth - 1)}
	case 3, 4:
		branches, branch := []any{}, g.task(depth-1)
		for n := range 1 + g.count(2) {
			branches = append(branches, object{fmt.Sprintf("b%d", n): branch})
		}
		return object{"fork": object{"compete": g.oneIn(3), "branches": branches}}
	case 5:
		retry := object{"delay": object{"milliseconds": g.rnd.IntN(3)}, "limit": object{"attempt": object{"count": g.count(5)}}}
		return object{"try": g.list(depth - 1), "catch": object{"as": "e", "when": g.value(2), "retry": retry, "do": g.list(depth - 1)}}
	case 6:
		return object{"listen": object{"to": object{"any": []any{g.filter()}, "until": g.value(3)}}}
	case 7:
		return object{"emit": object{"event": object{"with": object{"type": "bad.told", "source": "https://bad.example.com", "data": g.value(4)}}}}
	case 8:
		return object{"wait": object{"milliseconds": g.count(4)}}
	case 9:
		return object{"switch": []any{object{"a": object{"when": g.value(3), "then": "t0"}}, object{"b": object{"when": g.value(3), "then": "end"}}, object{"c": object{"then": "exit"}}}}
	case 10:
		return object{"call": "http.get", "with": object{"connection": "bad", "path": g.pick("/hang", "/drip", "/busy", "/broken", "/large", "/x"), "query": object{"q": g.value(3)}}}
	case 11:
		return object{"run": object{"workflow": object{"namespace": "attack", "name": g.name, "version": "1.0.0", "input": object{"x": g.value(3)}}}}
	case 12:
		return object{"raise": object{"error": object{"type": "https://bad.example.com/x", "status": 503, "title": g.value(3), "detail": g.value(3)}}}
	default:
		return object{"do": g.list(depth - 1)}
	}
}

// entries returns the fields of a set.
func (g *grammar) entries() object {
	all, one := object{}, g.value(3)
	for n := range g.count(2) {
		all[fmt.Sprint("x", n)] = one
	}
	all[strings.Repeat("y", g.count(3))] = g.value(3)
	return all
}
