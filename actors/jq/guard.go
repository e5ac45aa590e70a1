package jq

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/itchyny/gojq"
)

// forbidden are functions that access something outside of the expression, or are not deterministic.
var forbidden = []string{"env", "$ENV", "input", "inputs", "debug", "stderr", "input_filename", "input_line_number",
	"modulemeta", "get_search_list", "builtins", "halt", "halt_error", "localtime", "strflocaltime", "$__loc__",
	"$__prog_args"}

// Parse parses an expression of at most MaxText bytes and MaxNesting levels, and rejects what the package does not allow.
func Parse(text string) (*gojq.Query, error) {
	query, _, err := parse(text)
	return query, err
}

// parse is Parse, and returns the names of the functions that the expression calls.
func parse(text string) (*gojq.Query, map[string]bool, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil, errors.New("the expression is empty")
	}
	if err := checkText(text); err != nil {
		return nil, nil, err
	}
	query, err := gojq.Parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("the expression does not parse: %w", err)
	}
	if query.Meta != nil || len(query.Imports) > 0 {
		return nil, nil, errors.New("import and include are not allowed")
	}
	g := guard{called: map[string]bool{}, catches: strings.Contains(text, "?") || strings.Contains(text, "try")}
	g.walk(reflect.ValueOf(query), 0)
	if g.err != nil {
		return nil, nil, g.err
	}
	return query, g.called, nil
}

// guard reads a syntax tree, and rewrites it in place where an instruction of the interpreter would do more work than one step. It reserves
// names that start with an underscore.
type guard struct {
	err error
	// own is set for the package's own definitions, whose names are reserved.
	own bool
	// catches is set for an expression that catches errors.
	catches bool
	// called are the names of the functions that are called.
	called map[string]bool
}

func (g *guard) refuse(err error) {
	if g.err == nil {
		g.err = err
	}
}

// walk visits the children of a node before the node itself.
func (g *guard) walk(v reflect.Value, depth int) {
	if depth > MaxNesting {
		g.refuse(errNesting)
	}
	if g.err != nil {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		if _, isQuery := v.Interface().(*gojq.Query); isQuery {
			depth++
		}
		g.walk(v.Elem(), depth)
		g.visit(v.Interface())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				g.walk(v.Field(i), depth)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			g.walk(v.Index(i), depth)
		}
	}
}

func (g *guard) visit(node any) {
	switch node := node.(type) {
	case *gojq.FuncDef:
		g.checkReserved(node.Name)
		node.Body = charged(node.Body, len(node.Args))
	case *gojq.Pattern:
		g.checkReserved(strings.TrimPrefix(node.Name, "$"))
	case *gojq.Term:
		g.term(node)
	case *gojq.Index:
		g.index(node)
	}
}

// index has the function for an index called in place of the instruction for a constant one, where that would do more work than one step:
// a number reads the whole of a text, and an error that is caught quotes what has no such field.
func (g *guard) index(node *gojq.Index) {
	var key *gojq.Query
	switch {
	case node.IsSlice:
		node.Start, node.End = computed(node.Start), computed(node.End)
		return
	case node.Start != nil && node.Start.Term != nil:
		key = node.Start
	case g.catches && node.Name != "":
		key = &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeString, Str: &gojq.String{Str: node.Name}}}
	case g.catches && node.Str != nil:
		key = &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeString, Str: node.Str}}
	default:
		return
	}
	node.Name, node.Str, node.Start = "", nil, computed(key)
}

// computed is a query that the compiler does not take for a constant.
func computed(query *gojq.Query) *gojq.Query {
	if query == nil {
		return nil
	}
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeQuery, Query: query}}
}

func (g *guard) checkReserved(name string) {
	if strings.HasPrefix(name, "_") && !g.own {
		g.refuse(fmt.Errorf("names that start with an underscore are reserved: %s", name))
	}
}

func (g *guard) term(t *gojq.Term) {
	if t.Type == gojq.TermTypeFunc && t.Func != nil {
		g.function(t.Func)
	}
	if t.Type == gojq.TermTypeRecurse {
		g.called["recurse"] = true
	}
	for i, suffix := range t.SuffixList {
		if suffix.Iter {
			iterate(t, i)
			return
		}
	}
}

func (g *guard) function(f *gojq.Func) {
	if slices.Contains(forbidden, f.Name) {
		g.refuse(fmt.Errorf("%s is not allowed", f.Name))
		return
	}
	g.checkReserved(strings.TrimPrefix(f.Name, "$"))
	g.called[f.Name] = true
	for i, argument := range f.Args {
		f.Args[i] = charged(argument, 0)
	}
	if f.Name == "now" && len(f.Args) == 0 {
		f.Name = "$__now"
	}
}

// iterate makes t[] into t | __iterate | .[], as the instruction lists all items before the first. The suffixes after it, whose indices
// are evaluated on the input of the whole term, stay with it.
func iterate(t *gojq.Term, at int) {
	before := *t
	before.SuffixList = t.SuffixList[:at:at]
	end := at + 1
	for end < len(t.SuffixList) && t.SuffixList[end].Optional { // t[]? catches the error of [] only
		end++
	}
	items := &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeIdentity, SuffixList: t.SuffixList[at:end:end]}}
	rest := &gojq.Term{Type: gojq.TermTypeQuery, Query: pipe(&gojq.Query{Term: &before}, pipe(call("__iterate"), items)),
		SuffixList: t.SuffixList[end:]}
	for i, suffix := range rest.SuffixList {
		if suffix.Iter {
			iterate(rest, i)
			break
		}
	}
	*t = *rest
}

// freeVariables is how many variables a function may have without taking bytes for them. Each level of a recursion keeps its variables.
const freeVariables = 8

// charged makes the body of a function, or an argument, take bytes for its variables when it is called, if it has many.
func charged(body *gojq.Query, arguments int) *gojq.Query {
	count := countVariables(reflect.ValueOf(body)) + arguments
	if count <= freeVariables {
		return body
	}
	size := &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeNumber, Number: fmt.Sprint(64 * count)}}
	return pipe(call("__variables", size), body)
}

// countVariables counts the patterns of a function, and what the interpreter keeps in variables of its own.
func countVariables(v reflect.Value) int {
	count := 0
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return 0
		}
		switch node := v.Interface().(type) {
		case *gojq.FuncDef:
			return 1
		case *gojq.Pattern:
			count++
		case *gojq.Term:
			if node.Type == gojq.TermTypeObject || node.Type == gojq.TermTypeArray || node.Type == gojq.TermTypeReduce ||
				node.Type == gojq.TermTypeForeach || node.Type == gojq.TermTypeLabel {
				count += 2
			}
		}
		count += countVariables(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				count += countVariables(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			count += countVariables(v.Index(i))
		}
	}
	return count
}

func pipe(left, right *gojq.Query) *gojq.Query {
	return &gojq.Query{Left: left, Op: gojq.OpPipe, Right: right}
}

func call(name string, args ...*gojq.Query) *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeFunc, Func: &gojq.Func{Name: name, Args: args}}}
}
