package language

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/jq"
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

// program is a compiled expression. It serves one evaluation at a time.
type program struct {
	code *jq.Program
	err  error
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
	p := &program{}
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
	if p.code, p.err = jq.Compile(text, append(variables, "$__now")); p.err == nil {
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
func (p *program) followPath(value any, whole *budget.Budget) (any, bool) {
	for _, name := range p.path {
		switch object := value.(type) {
		case map[string]any:
			value = object[name]
		case nil:
		default:
			return nil, false
		}
	}
	size := jq.Size(value, MaxResult, MaxResultDepth)
	return value, size <= MaxResult && whole.Step(1+len(p.path)+size/256) == nil
}

func (p *program) run(input any, scope *Scope) (any, error) {
	if p.simple {
		value := input
		if p.root != "" {
			value = scope.value(p.root)
		}
		if found, ok := p.followPath(value, scope.Budget); ok {
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
	result, ok, err := p.code.Single(scope.Budget, input, p.values)
	if err != nil || !ok {
		return nil, err //nolint:wrapcheck // Evaluate names the expression
	}
	if !isFinite(result) {
		return nil, ErrNumber
	}
	if !isText(result) {
		result = validText(result)
	}
	return result, nil
}
