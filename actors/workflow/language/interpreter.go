package language

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/itchyny/gojq"
)

// expressions caches the compiled expressions of a definition. Only text of the definition gets here, so the cache
// is bounded by it.
type expressions struct {
	known atomic.Pointer[map[expressionKey]*sync.Pool] // of *program; copied when it grows
	grow  sync.Mutex
}

// expressionKey is an expression's text and the names that enclosing tasks define where it stands.
type expressionKey struct{ text, names string }

func (e *expressions) pool(text string, names []string) *sync.Pool {
	key := expressionKey{text, strings.Join(names, ",")}
	if known := e.known.Load(); known != nil {
		if pool := (*known)[key]; pool != nil {
			return pool
		}
	}
	e.grow.Lock()
	defer e.grow.Unlock()
	more := map[expressionKey]*sync.Pool{}
	if known := e.known.Load(); known != nil {
		maps.Copy(more, *known)
	}
	if more[key] == nil {
		names := slices.Clone(names)
		more[key] = &sync.Pool{New: func() any { return compile(text, names) }}
		e.known.Store(&more)
	}
	return more[key]
}

// program is one compiled expression with the meter that its guarded functions charge. It serves one evaluation at
// a time.
type program struct {
	code  *gojq.Code
	meter *meter
	err   error
	// uses are the variables that the text may use, nil in the places of the others.
	uses []string
	// values are those of the variables; root and path are set for an expression that only follows fields: of its
	// input, or of a variable.
	values []any
	root   string
	path   []string
	simple bool
}

func (e *expressions) run(text string, input any, scope *Scope) (any, error) {
	pool := e.pool(text, scope.Names)
	p, _ := pool.Get().(*program)
	defer pool.Put(p)
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
	all := slices.Concat(Variables, names)
	variables := make([]string, 0, len(all)+1)
	for _, name := range all {
		variables = append(variables, "$"+name)
		if !strings.Contains(text, "$"+name) {
			name = ""
		}
		p.uses = append(p.uses, name)
	}
	p.values = make([]any, len(variables)+1)
	options := append(p.meter.functions(), gojq.WithVariables(append(variables, "$__now")))
	p.code, p.err = gojq.Compile(query, options...)
	if p.err == nil {
		p.follow(text)
	}
	return p
}

// fields is an expression that only follows fields: ., .a.b, $name, $name.a.b.
var fields = regexp.MustCompile(`^\s*(?:\.|(\$[a-zA-Z_]\w*)?((?:\.[a-zA-Z_]\w*)*))\s*$`)

func (p *program) follow(text string) {
	match := fields.FindStringSubmatch(text)
	if len(match) < 3 || match[1] == "$__loc__" || match[1] == "$ENV" {
		return
	}
	p.simple, p.root = true, strings.TrimPrefix(match[1], "$")
	if match[2] != "" {
		p.path = strings.Split(match[2][1:], ".")
	}
}

// walk follows the fields; false where the interpreter has to say what is wrong.
func (p *program) walk(value any) (any, bool) {
	for _, name := range p.path {
		switch object := value.(type) {
		case map[string]any:
			value = object[name]
		case nil:
		default:
			return nil, false
		}
	}
	return value, size(value, MaxResult, MaxResultDepth) <= MaxResult
}

func (p *program) run(input any, scope *Scope) (any, error) {
	if p.simple {
		value := input
		if p.root != "" {
			value = scope.value(p.root)
		}
		if found, ok := p.walk(value); ok {
			return found, nil
		}
	}
	for i, name := range p.uses {
		if p.values[i] = nil; name != "" {
			p.values[i] = scope.value(name)
		}
	}
	p.values[len(p.uses)] = float64(scope.Now.UnixMilli()) / 1000
	defer clear(p.values)
	p.meter.left = MaxAllocation
	budget := &budget{Context: context.Background(), until: time.Now().Add(MaxTime)}
	results := p.code.RunWithContext(budget, input, p.values...)
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
