package jq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/itchyny/gojq"

	"github.com/weftmesh/weft/actors/budget"
)

// Program is a compiled expression with its meter. It serves one evaluation at a time.
type Program struct {
	code  *gojq.Code
	meter *meter
}

// Compile compiles an expression that may use variables, which are given with $. The last of them is $__now, the result of the function
// now.
func Compile(text string, variables []string) (p *Program, err error) {
	defer func() {
		if r := recover(); r != nil { // a fault of the compiler must end one expression only
			p, err = nil, fmt.Errorf("the expression cannot be compiled: %v", r)
		}
	}()
	query, called, err := parse(text)
	if err != nil {
		return nil, err
	}
	query.FuncDefs = append(definitions(called), query.FuncDefs...)
	m := &meter{Context: context.Background(), limits: limits}
	own := []gojq.CompilerOption{
		gojq.WithFunction("__iterate", 0, 0, m.iterate), gojq.WithFunction("__variables", 1, 1, m.variables), gojq.WithVariables(variables),
	}
	code, err := gojq.Compile(query, own...)
	if err != nil {
		return nil, err //nolint:wrapcheck // the text is for the expression's author
	}
	if err := m.attach(code); err != nil {
		return nil, err
	}
	return &Program{code: code, meter: m}, nil
}

// Limit gives the program other bounds than those of the constants.
func (p *Program) Limit(l Limits) { p.meter.limits = l }

// iterate takes the list of the items that an iteration makes before its first item.
func (m *meter) iterate(input any, _ []any) any {
	var err error
	switch input := input.(type) {
	case []any:
		err = m.take(len(input)/itemsPerStep, 32*len(input))
	case map[string]any:
		err = m.take(2*len(input), 32*len(input)) // the names are sorted
	default:
		err = m.quote(input, nil) // the error quotes it
	}
	if err != nil {
		return err
	}
	return input
}

// variables takes the bytes of a function's variables.
func (m *meter) variables(input any, args []any) any {
	size, _ := args[0].(int)
	if err := m.part.Allocate(size); err != nil {
		return err
	}
	return input
}

// Single evaluates the program within a budget, which may be nil, and returns its result, and false if it has none. More than one is
// ErrMany. An exceeded bound is an *Exhausted; what else the expression raises is cut to some hundred bytes.
func (p *Program) Single(whole *budget.Budget, input any, values []any) (result any, ok bool, err error) {
	p.meter.begin(whole)
	defer func() { result, ok, err = p.finish(recover(), result, ok, err) }()
	results := p.code.RunWithContext(p.meter, input, values...)
	result, ok, err = p.next(results)
	if !ok || err != nil {
		return nil, false, err
	}
	if _, more, err := p.next(results); more || err != nil {
		if err == nil {
			err = ErrMany
		}
		return nil, false, err
	}
	return p.bound(result)
}

// First is Single without a look for more results than the first.
func (p *Program) First(whole *budget.Budget, input any, values []any) (result any, ok bool, err error) {
	p.meter.begin(whole)
	defer func() { result, ok, err = p.finish(recover(), result, ok, err) }()
	result, ok, err = p.next(p.code.RunWithContext(p.meter, input, values...))
	if !ok || err != nil {
		return nil, false, err
	}
	return p.bound(result)
}

// finish ends an evaluation. A panic of the interpreter is an error of the expression.
func (p *Program) finish(panicked, result any, ok bool, err error) (any, bool, error) {
	p.meter.end()
	if panicked != nil {
		return nil, false, fmt.Errorf("the expression cannot be evaluated: %v", panicked)
	}
	return result, ok, err
}

func (p *Program) next(results gojq.Iter) (any, bool, error) {
	result, ok := results.Next()
	if !ok {
		return nil, false, nil
	}
	if err, failed := result.(error); failed {
		return nil, false, p.explain(err)
	}
	return result, true, nil
}

// bound returns a result, or an error for one that is too large or that the budget did not reach for.
func (p *Program) bound(result any) (any, bool, error) {
	if most := p.meter.limits.Result; Size(result, most, p.meter.limits.Depth) > most {
		return nil, false, ErrMemory
	}
	if err := p.meter.part.Err(); err != nil {
		return nil, false, p.meter.exhausted(err)
	}
	return result, true, nil
}

// maxMessage bounds the message of an expression's error, in bytes.
const maxMessage = 300

func (p *Program) explain(err error) error {
	var halt *gojq.HaltError
	if bound := p.meter.part.Err(); bound != nil {
		return p.meter.exhausted(bound)
	}
	if errors.Is(err, ErrMemory) {
		return ErrMemory
	}
	if errors.As(err, &halt) && halt.Value() == nil {
		return nil
	}
	return errors.New(cut(err.Error(), maxMessage))
}

// cut returns a text of at most limit bytes, cut after a whole character, with an ellipsis in place of the rest.
func cut(text string, limit int) string {
	text = strings.ToValidUTF8(text[:min(len(text), limit+utf8.UTFMax)], "\ufffd")
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}
