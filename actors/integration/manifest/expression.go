package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/jq"
)

// Bounds of all expressions of one request or one response together: their budget, and the size of their values as spend counts it.
const (
	evaluationSteps  = 2_000_000
	evaluationBytes  = 64 << 20
	evaluationTime   = 5 * time.Second
	maxRequestValue  = 2 << 20
	maxResponseValue = 32 << 20
	maxValueDepth    = 1000
)

var (
	// ErrBudget is the error of expressions that exceed their budget. It wraps the budget's error.
	ErrBudget   = errors.New("the expressions of the manifest exceed their budget")
	errTooLarge = errors.New("the value of the expression exceeds the size limit")
	errPartial  = errors.New(`an expression must be the whole value, such as ${ "text" + .input.field }`)
	// errFailed replaces jq's errors where credentials are in scope: they quote values, truncated so that redaction misses
	// them.
	errFailed = errors.New("the expression failed")
)

// expression is a jq program, compiled on first use. It is safe for concurrent use.
type expression struct {
	text string
	once sync.Once
	// idle are compiled programs, of type *jq.Program. One serves one evaluation at a time.
	idle sync.Pool
	err  error
}

// isExpression reports whether a string of a manifest has the form `${ … }`.
func isExpression(text string) bool {
	return strings.HasPrefix(text, "${") && strings.HasSuffix(text, "}")
}

// compile compiles the program once. Modules, the environment and further inputs are not available to it.
func (e *expression) compile() error {
	e.once.Do(func() {
		p, err := compileJQ(expressionBody(e.text))
		if e.err = err; err == nil {
			e.idle.Put(p)
		}
	})
	return e.err
}

func expressionBody(text string) string {
	return strings.TrimSuffix(strings.TrimPrefix(text, "${"), "}")
}

func compileJQ(text string) (*jq.Program, error) {
	p, err := jq.Compile(text, []string{"$__now"})
	if err != nil {
		return nil, fmt.Errorf("compiling jq: %w", err)
	}
	p.Limit(jq.Limits{Limits: budget.Limits{Steps: evaluationSteps, Bytes: evaluationBytes, Time: evaluationTime}, Result: maxResponseValue, Depth: maxValueDepth})
	return p, nil
}

// scope is the input of the expressions of one request or one response, and the rest of their limits.
type scope struct {
	budget *budget.Budget
	root   map[string]any
	left   int
	// unreadable means that the response's body, which is nil then, is a text that cannot be decoded.
	unreadable error
}

// newScope begins the budget of an evaluation.
func newScope(root map[string]any, size int) *scope {
	b := budget.New(budget.Limits{Steps: evaluationSteps, Bytes: evaluationBytes, Time: evaluationTime})
	return &scope{budget: b, root: root, left: size}
}

// eval returns the first value that the expression yields; present is false if it yields none.
func (e *expression) eval(s *scope) (value any, present bool, err error) {
	if err := e.compile(); err != nil {
		return nil, false, err
	}
	p, _ := e.idle.Get().(*jq.Program)
	if p == nil {
		if p, err = compileJQ(expressionBody(e.text)); err != nil {
			return nil, false, err
		}
	}
	defer e.idle.Put(p)
	value, present, err = p.First(s.budget, s.root, []any{float64(time.Now().UnixMilli()) / 1000})
	var exhausted *jq.Exhausted
	switch {
	case errors.As(err, &exhausted):
		return nil, false, fmt.Errorf("%w of %s: %w", ErrBudget, exhausted.Bound.Bound, exhausted.Bound)
	case err != nil:
		if _, secret := s.root["credentials"]; secret {
			return nil, false, errFailed
		}
		return nil, false, fmt.Errorf("evaluating jq: %w", err)
	case !present:
		return nil, false, nil
	}
	if s.left = spend(value, s.left, 0); s.left < 0 {
		return nil, false, errTooLarge
	}
	return value, true, nil
}

// spend subtracts the size of a value from left: the bytes of its strings, plus 16 for each value. A negative result means
// that the limit is exceeded.
func spend(value any, left, depth int) int {
	if left -= 16; left < 0 || depth > maxValueDepth {
		return -1
	}
	switch v := value.(type) {
	case string:
		return left - len(v)
	case []any:
		for _, item := range v {
			if left = spend(item, left, depth+1); left < 0 {
				return -1
			}
		}
	case map[string]any:
		for key, item := range v {
			if left = spend(item, left-len(key), depth+1); left < 0 {
				return -1
			}
		}
	}
	return left
}

// normalize converts a value to the types that gojq accepts. Other types are encoded as JSON and decoded.
func normalize(value any) (any, error) {
	switch v := value.(type) {
	case nil, bool, int, float64, *big.Int, json.Number, string:
		return v, nil
	case map[string]any:
		object := make(map[string]any, len(v))
		for key, item := range v {
			plain, err := normalize(item)
			if err != nil {
				return nil, err
			}
			object[key] = plain
		}
		return object, nil
	case []any:
		items := make([]any, len(v))
		for i, item := range v {
			plain, err := normalize(item)
			if err != nil {
				return nil, err
			}
			items[i] = plain
		}
		return items, nil
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encoding a value of type %T: %w", value, err)
	}
	return decodeJSON(encoded)
}
