package manifest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"

	"github.com/itchyny/gojq"
)

// Limits for all expressions of one request or one response together: time, and size as spend counts it.
const (
	evaluationTime   = 2 * time.Second
	maxRequestValue  = 2 << 20
	maxResponseValue = 32 << 20
)

var (
	errTimeout  = errors.New("the expression exceeds the time limit")
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
	code *gojq.Code
	err  error
}

// isExpression reports whether a string of a manifest has the form `${ … }`.
func isExpression(text string) bool {
	return strings.HasPrefix(text, "${") && strings.HasSuffix(text, "}")
}

// compile compiles the program once. Modules, the environment and further inputs are not available to it.
func (e *expression) compile() error {
	e.once.Do(func() { e.code, e.err = compileJQ(strings.TrimSuffix(strings.TrimPrefix(e.text, "${"), "}")) })
	return e.err
}

func compileJQ(text string) (*gojq.Code, error) {
	query, err := gojq.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parsing jq: %w", err)
	}
	code, err := gojq.Compile(query, gojq.WithEnvironLoader(func() []string { return nil }))
	if err != nil {
		return nil, fmt.Errorf("compiling jq: %w", err)
	}
	return code, nil
}

// scope is the input of the expressions of one request or one response, and the rest of their limits.
type scope struct {
	ctx  context.Context
	root map[string]any
	left int
	// unreadable means that the response's body, which is nil then, is a text that cannot be decoded.
	unreadable error
}

// newScope starts the time limit of an evaluation. end must be called to release its timer.
func newScope(root map[string]any, size int) (s *scope, end context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), evaluationTime)
	return &scope{ctx: ctx, root: root, left: size}, cancel
}

// eval returns the first value that the expression yields; present is false if it yields none.
func (e *expression) eval(s *scope) (value any, present bool, err error) {
	if err := e.compile(); err != nil {
		return nil, false, err
	}
	value, present = e.code.RunWithContext(s.ctx, s.root).Next()
	if !present {
		return nil, false, nil
	}
	if failed, ok := value.(error); ok {
		if s.ctx.Err() != nil {
			return nil, false, errTimeout
		}
		if _, secret := s.root["credentials"]; secret {
			return nil, false, errFailed
		}
		return nil, false, failed
	}
	if s.left = spend(value, s.left, 0); s.left < 0 {
		return nil, false, errTooLarge
	}
	return value, true, nil
}

// spend subtracts the size of a value from left: the bytes of its strings, plus 16 for each value. A negative result means
// that the limit is exceeded.
func spend(value any, left, depth int) int {
	if left -= 16; left < 0 || depth > 1000 {
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
