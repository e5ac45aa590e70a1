package language

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/itchyny/gojq"
)

// expressionCache caches the compiled expressions of a definition. Its size is bounded by the definition.
type expressionCache struct {
	programs atomic.Pointer[map[expressionKey]*sync.Pool] // pools of *program; the map is copied on write
	mutex    sync.Mutex
}

// expressionKey is the text of an expression and the variables that enclosing tasks define.
type expressionKey struct{ text, names string }

func (e *expressionCache) pool(text string, names []string) *sync.Pool {
	key := expressionKey{text, strings.Join(names, ",")}
	if known := e.programs.Load(); known != nil {
		if pool := (*known)[key]; pool != nil {
			return pool
		}
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	more := map[expressionKey]*sync.Pool{}
	if known := e.programs.Load(); known != nil {
		maps.Copy(more, *known)
	}
	if more[key] == nil {
		names := slices.Clone(names)
		more[key] = &sync.Pool{New: func() any { return compile(text, names) }}
		e.programs.Store(&more)
	}
	return more[key]
}

// program is a compiled expression with the meter that its guards charge. It serves one evaluation at a time.
type program struct {
	code  *gojq.Code
	meter *meter
	err   error
	// usedVariables are the variables of the code in order; those that the text does not mention are "".
	usedVariables []string
	// values are the values of the variables. simple marks an expression that only follows fields of its input or of the
	// variable root: path; it is evaluated without the interpreter.
	values []any
	root   string
	path   []string
	simple bool
}

func (e *expressionCache) run(text string, input any, scope *Scope) (any, error) {
	pool := e.pool(text, scope.Names)
	p, _ := pool.Get().(*program)
	defer pool.Put(p)
	if p.err != nil {
		return nil, p.err
	}
	return p.run(input, scope)
}

func compile(text string, names []string) *program {
	p := &program{meter: newMeter()}
	query, err := parseExpression(text)
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
		p.usedVariables = append(p.usedVariables, name)
	}
	p.values = make([]any, len(variables)+1)
	options := append(p.meter.functions(), gojq.WithVariables(append(variables, "$__now")))
	p.code, p.err = gojq.Compile(query, options...)
	if p.err == nil {
		p.detectPath(text)
	}
	return p
}

// fieldPath matches an expression that only follows fields: ., .a.b, $name, $name.a.b.
var fieldPath = regexp.MustCompile(`^\s*(?:\.|(\$[a-zA-Z_]\w*)?((?:\.[a-zA-Z_]\w*)*))\s*$`)

func (p *program) detectPath(text string) {
	match := fieldPath.FindStringSubmatch(text)
	if len(match) < 3 || match[1] == "$__loc__" || match[1] == "$ENV" {
		return
	}
	p.simple, p.root = true, strings.TrimPrefix(match[1], "$")
	if match[2] != "" {
		p.path = strings.Split(match[2][1:], ".")
	}
}

// followPath follows the fields; false means that the interpreter has to evaluate the expression, to report its error.
func (p *program) followPath(value any) (any, bool) {
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
		if err := scope.Budget.Step(1 + len(p.path)); err != nil {
			p.meter.whole = scope.Budget
			defer p.meter.end()
			return nil, p.meter.exhausted(err)
		}
		value := input
		if p.root != "" {
			value = scope.value(p.root)
		}
		if found, ok := p.followPath(value); ok {
			return found, nil
		}
	}
	for i, name := range p.usedVariables {
		if p.values[i] = nil; name != "" {
			p.values[i] = scope.value(name)
		}
	}
	p.values[len(p.usedVariables)] = float64(scope.Now.UnixMilli()) / 1000
	defer clear(p.values)
	p.meter.begin(scope.Budget)
	defer p.meter.end()
	results := p.code.RunWithContext(p.meter, input, p.values...)
	result, ok := results.Next()
	if !ok {
		return nil, nil
	}
	if err, failed := result.(error); failed {
		return nil, p.explain(err)
	}
	if extra, more := results.Next(); more {
		if err, failed := extra.(error); failed {
			return nil, p.explain(err)
		}
		return nil, ErrMany
	}
	if size(result, MaxResult, MaxResultDepth) > MaxResult {
		return nil, ErrMemory
	}
	if err := p.meter.part.Err(); err != nil {
		return nil, p.meter.exhausted(err)
	}
	if !isFinite(result) {
		return nil, ErrNumber
	}
	if !isText(result) {
		result = validText(result)
	}
	return result, nil
}

// maxMessage bounds the message of an expression's error, in bytes.
const maxMessage = 300

func (p *program) explain(err error) error {
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
	return errors.New(Cut(err.Error(), maxMessage))
}
