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

// Bounds of evaluation: for all expressions of one request or one answer together.
const (
	evaluationTime   = 2 * time.Second
	maxRequestValue  = 2 << 20
	maxResponseValue = 32 << 20
)

var (
	errTooLong = errors.New("the expression takes too long")
	errTooMuch = errors.New("the expression yields too much")
	// errFailed stands for jq's own words, which quote, shortened past redaction, the values at hand.
	errFailed = errors.New("the expression fails on what it was given")
)

// expression is one jq program, compiled when it is first needed. It is safe for concurrent use.
type expression struct {
	text string
	once sync.Once
	code *gojq.Code
	err  error
}

// isExpression reports whether a string of a manifest is `${ … }` as a whole.
func isExpression(text string) bool {
	return strings.HasPrefix(text, "${") && strings.HasSuffix(text, "}")
}

// compile compiles `${ … }` unless that has been done. Neither modules, nor the environment, nor further input is at hand.
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

// scope is what the expressions of one request or one answer see, and what they may still use up.
type scope struct {
	ctx  context.Context
	root map[string]any
	left int
}

// newScope bounds an evaluation; end releases its timer.
func newScope(root map[string]any, size int) (s *scope, end context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), evaluationTime)
	return &scope{ctx: ctx, root: root, left: size}, cancel
}

// eval is the expression's first value; present is false when it yields none.
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
			return nil, false, errTooLong
		}
		if _, secret := s.root["credentials"]; secret {
			return nil, false, errFailed
		}
		return nil, false, failed
	}
	if s.left = spend(value, s.left, 0); s.left < 0 {
		return nil, false, errTooMuch
	}
	return value, true, nil
}

// spend takes the size of value from left: its strings' bytes, and 16 for every value.
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

// normal is value in the types that jq knows. Anything else goes through JSON.
func normal(value any) (any, error) {
	switch v := value.(type) {
	case nil, bool, int, float64, *big.Int, json.Number, string:
		return v, nil
	case map[string]any:
		object := make(map[string]any, len(v))
		for key, item := range v {
			plain, err := normal(item)
			if err != nil {
				return nil, err
			}
			object[key] = plain
		}
		return object, nil
	case []any:
		items := make([]any, len(v))
		for i, item := range v {
			plain, err := normal(item)
			if err != nil {
				return nil, err
			}
			items[i] = plain
		}
		return items, nil
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("reading a value of type %T: %w", value, err)
	}
	return decodeJSON(encoded)
}
