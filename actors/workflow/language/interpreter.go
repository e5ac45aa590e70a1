package language

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/itchyny/gojq"
)

// expressions caches the compiled expressions of a definition. Only text of the definition gets here, so the cache
// is bounded by it.
type expressions struct {
	pools sync.Map // of program text and names to *sync.Pool of *program
}

// program is one compiled expression with the meter that its guarded functions charge. It serves one evaluation at
// a time.
type program struct {
	code  *gojq.Code
	meter *meter
	err   error
}

func (e *expressions) run(text string, input any, scope Scope) (any, error) {
	key := text + "\x00" + strings.Join(scope.Names, ",")
	pool, ok := e.pools.Load(key)
	if !ok {
		names := scope.Names
		pool, _ = e.pools.LoadOrStore(key, &sync.Pool{New: func() any { return compile(text, names) }})
	}
	p := pool.(*sync.Pool).Get().(*program)
	defer pool.(*sync.Pool).Put(p)
	if p.err != nil {
		return nil, p.err
	}
	return p.run(input, scope)
}

func compile(text string, names []string) *program {
	p := &program{meter: &meter{}}
	query, err := prepare(text)
	if err != nil {
		p.err = err
		return p
	}
	variables := make([]string, 0, len(Variables)+len(names)+1)
	for _, name := range Variables {
		variables = append(variables, "$"+name)
	}
	for _, name := range names {
		variables = append(variables, "$"+name)
	}
	options := append(p.meter.functions(), gojq.WithVariables(append(variables, "$__now")))
	p.code, p.err = gojq.Compile(query, options...)
	return p
}

func (p *program) run(input any, scope Scope) (any, error) {
	values := make([]any, 0, len(Variables)+len(scope.Names)+1)
	for _, name := range Variables {
		values = append(values, scope.Values[name])
	}
	for _, name := range scope.Names {
		values = append(values, scope.Values[name])
	}
	values = append(values, float64(scope.Now.UnixMilli())/1000)
	p.meter.left = MaxAllocation
	budget := &budget{Context: context.Background(), until: time.Now().Add(MaxTime)}
	results := p.code.RunWithContext(budget, input, values...)
	result, ok := results.Next()
	if !ok {
		return nil, nil
	}
	if err, failed := result.(error); failed {
		return nil, p.explain(err, budget)
	}
	if extra, more := results.Next(); more {
		if err, failed := extra.(error); failed {
			return nil, p.explain(err, budget)
		}
		return nil, ErrMany
	}
	if p.meter.left < 0 || size(result, MaxResult, MaxResultDepth) > MaxResult {
		return nil, ErrMemory
	}
	if !finite(result) {
		return nil, ErrNumber
	}
	return result, nil
}

func (p *program) explain(err error, budget *budget) error {
	var halt *gojq.HaltError
	switch {
	case budget.err != nil:
		return budget.err
	case p.meter.left < 0:
		return ErrMemory
	case errors.As(err, &halt) && halt.Value() == nil:
		return nil
	}
	message := err.Error()
	if len(message) > 300 {
		message = message[:300] + "…"
	}
	return errors.New(message)
}

// budget is a context that ends after a number of looks at it. The interpreter looks once an instruction, which
// makes the bound the same on every machine.
type budget struct {
	context.Context
	until time.Time
	steps int
	err   error
}

var ended = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Done counts an instruction, and is closed once the budget is spent.
func (b *budget) Done() <-chan struct{} {
	b.steps++
	if b.err == nil && b.steps > MaxSteps {
		b.err = ErrSteps
	}
	// The clock only guards against instructions that are slow by themselves.
	if b.err == nil && b.steps&63 == 0 && time.Now().After(b.until) {
		b.err = ErrTime
	}
	if b.err != nil {
		return ended
	}
	return nil
}

// Err is the reason why the budget is spent.
func (b *budget) Err() error { return b.err }
