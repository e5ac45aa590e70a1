package language

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/itchyny/gojq"
)

// forbiddenFunctions access something outside of the expression, or are not deterministic.
var forbiddenFunctions = []string{"env", "$ENV", "input", "inputs", "debug", "stderr", "input_filename", "input_line_number",
	"modulemeta", "get_search_list", "builtins", "halt", "halt_error", "localtime", "strflocaltime", "$__loc__",
	"$__prog_args"}

// copyingFunctions copy or encode their whole input, so their input is charged.
var copyingFunctions = []string{"tojson", "tostring", "fromjson", "add", "flatten", "implode", "explode", "format", "split",
	"ascii_downcase", "ascii_upcase", "keys", "keys_unsorted", "to_entries", "from_entries", "with_entries",
	"reverse", "sort", "sort_by", "group_by", "unique", "unique_by", "min", "max", "min_by", "max_by", "test", "walk",
	"combinations", "transpose", "tostream", "fromstream", "trim", "ltrim", "rtrim", "trimstr", "ltrimstr", "rtrimstr",
	"utf8bytelength", "delpaths", "del", "bsearch", "strptime", "error", "tonumber"}

// patternFunctions apply a regular expression repeatedly, in time that is quadratic in their input.
var patternFunctions = []string{"match", "capture", "scan", "splits", "split"}

// searchingFunctions take time proportional to the product of the sizes of their input and argument.
var searchingFunctions = []string{"contains", "inside", "indices", "index", "rindex", "IN"}

// parseExpression parses an expression, rejects forbidden constructs, and inserts guards where data can grow.
func parseExpression(text string) (query *gojq.Query, err error) {
	if strings.TrimSpace(text) == "" {
		return nil, fmt.Errorf("the expression is empty")
	}
	query, err = gojq.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the expression does not parse: %w", err)
	}
	if query.Meta != nil || len(query.Imports) > 0 {
		return nil, fmt.Errorf("import and include are not allowed")
	}
	g := &guard{}
	g.walk(reflect.ValueOf(query))
	return query, g.err
}

// guard rewrites a syntax tree in place. It reserves names that start with an underscore.
type guard struct {
	err error
}

func (g *guard) refuse(format string, args ...any) {
	if g.err == nil {
		g.err = fmt.Errorf(format, args...)
	}
}

// walk visits the children of a node before the node itself.
func (g *guard) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		g.walk(v.Elem())
		g.visit(v.Interface())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				g.walk(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			g.walk(v.Index(i))
		}
	}
}

func (g *guard) visit(node any) {
	switch node := node.(type) {
	case *gojq.FuncDef:
		g.checkReserved(node.Name)
	case *gojq.Pattern:
		g.checkReserved(strings.TrimPrefix(node.Name, "$"))
	case *gojq.Query:
		g.query(node)
	case *gojq.Term:
		g.term(node)
	case *gojq.Index:
		if node.Start != nil && !node.IsSlice {
			node.Start = pipe(node.Start, call("__index"))
		}
	case *gojq.String:
		for i, part := range node.Queries {
			if part.Term == nil || part.Term.Str == nil || len(part.Term.Str.Queries) > 0 {
				node.Queries[i] = &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeQuery, Query: pipe(part, call("__charge"))}}
			}
		}
	}
}

func (g *guard) checkReserved(name string) {
	if strings.HasPrefix(name, "_") {
		g.refuse("names that start with an underscore are reserved: %s", name)
	}
}

// checks are the guards of operators: the check to call before, and the operator to apply.
var checks = map[gojq.Operator]struct {
	check string
	op    gojq.Operator
}{
	gojq.OpAdd: {"__add", gojq.OpAdd}, gojq.OpUpdateAdd: {"__add", gojq.OpAdd},
	gojq.OpMul: {"__times", gojq.OpMul}, gojq.OpUpdateMul: {"__times", gojq.OpMul},
	gojq.OpSub: {"__compare", gojq.OpSub}, gojq.OpUpdateSub: {"__compare", gojq.OpSub},
	gojq.OpDiv: {"__add", gojq.OpDiv}, gojq.OpUpdateDiv: {"__add", gojq.OpDiv},
	gojq.OpEq: {"__compare", gojq.OpEq}, gojq.OpNe: {"__compare", gojq.OpNe},
	gojq.OpGt: {"__compare", gojq.OpGt}, gojq.OpLt: {"__compare", gojq.OpLt},
	gojq.OpGe: {"__compare", gojq.OpGe}, gojq.OpLe: {"__compare", gojq.OpLe},
}

// query inserts a check before an operator whose cost grows with its operands.
func (g *guard) query(q *gojq.Query) {
	checked, ok := checks[q.Op]
	if !ok {
		return
	}
	apply := pipe(call(checked.check, call("$__l"), call("$__r")),
		&gojq.Query{Left: call("$__l"), Op: checked.op, Right: call("$__r")})
	if q.Op == checked.op {
		// l + r becomes r as $__r | l as $__l | __add($__l; $__r) | $__l + $__r: jq evaluates the right operand first.
		*q = *withDefs(bind(q.Right, "$__r", bind(q.Left, "$__l", apply)), q.FuncDefs)
		return
	}
	// l += r becomes r as $__r | l |= (. as $__l | __add($__l; $__r) | $__l + $__r).
	update := &gojq.Query{Left: q.Left, Op: gojq.OpModify,
		Right: bind(&gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeIdentity}}, "$__l", apply)}
	*q = *withDefs(bind(q.Right, "$__r", update), q.FuncDefs)
}

func (g *guard) term(t *gojq.Term) {
	switch {
	case t.Type == gojq.TermTypeFormat && t.Str == nil:
		guardInput(t, "__charge")
	case t.Type == gojq.TermTypeFunc && t.Func != nil:
		g.function(t)
	}
}

func (g *guard) function(t *gojq.Term) {
	f := t.Func
	if slices.Contains(forbiddenFunctions, f.Name) {
		g.refuse("%s is not allowed", f.Name)
		return
	}
	g.checkReserved(strings.TrimPrefix(f.Name, "$"))
	switch {
	case f.Name == "now" && len(f.Args) == 0:
		f.Name = "$__now"
	case f.Name == "setpath" && len(f.Args) == 2:
		f.Args[0] = pipe(f.Args[0], call("__index"))
	case f.Name == "sub" || f.Name == "gsub":
		if len(f.Args) >= 2 {
			f.Args[1] = pipe(f.Args[1], call("__small"))
		}
		guardInput(t, "__pattern")
	case slices.Contains(patternFunctions, f.Name) && (f.Name != "split" || len(f.Args) == 2):
		guardInput(t, "__pattern")
	case f.Name == "join" && len(f.Args) == 1:
		g.guardArgument(t, "__join")
	case slices.Contains(searchingFunctions, f.Name) && len(f.Args) == 1:
		g.guardArgument(t, "__search")
	case f.Name == "error" && len(f.Args) == 1:
		f.Args[0] = pipe(f.Args[0], call("__charge"))
	case f.Name == "add" && len(f.Args) == 1:
		list := &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeArray, Array: &gojq.Array{Query: f.Args[0]}}}
		*t = gojq.Term{Type: gojq.TermTypeQuery, Query: pipe(list, pipe(call("__charge"), call("add"))),
			SuffixList: t.SuffixList}
	case slices.Contains(copyingFunctions, f.Name):
		guardInput(t, "__charge")
	}
}

// guardArgument inserts a check of a function's input and its argument before the call.
func (g *guard) guardArgument(t *gojq.Term, check string) {
	name, argument := t.Func.Name, t.Func.Args[0]
	inner := pipe(call(check, call("$__s")), call(name, call("$__s")))
	*t = gojq.Term{Type: gojq.TermTypeQuery, Query: bind(argument, "$__s", inner), SuffixList: t.SuffixList}
}

// guardInput inserts a check of a term's input before the term.
func guardInput(t *gojq.Term, check string) {
	inner := *t
	inner.SuffixList = nil
	*t = gojq.Term{Type: gojq.TermTypeQuery, SuffixList: t.SuffixList,
		Query: pipe(call(check), &gojq.Query{Term: &inner})}
}

func pipe(left, right *gojq.Query) *gojq.Query {
	return &gojq.Query{Left: left, Op: gojq.OpPipe, Right: right}
}

func call(name string, args ...*gojq.Query) *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeFunc, Func: &gojq.Func{Name: name, Args: args}}}
}

func bind(value *gojq.Query, name string, then *gojq.Query) *gojq.Query {
	return &gojq.Query{Left: value, Op: gojq.OpPipe, Right: then, Patterns: []*gojq.Pattern{{Name: name}}}
}

func withDefs(q *gojq.Query, defs []*gojq.FuncDef) *gojq.Query {
	q.FuncDefs = defs
	return q
}
