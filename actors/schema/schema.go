// Package schema validates values against JSON Schemas that users wrote, within a budget. It is santhosh-tekuri/jsonschema with a meter:
// every application of a subschema to a value takes steps for what it looks at, before it looks. A validation that exceeds a bound is an
// error, never a verdict. A schema may refer to itself only.
package schema

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/pattern"
)

// Bounds of a schema.
const (
	// MaxSubschemas bounds the subschemas of one schema.
	MaxSubschemas = 2_000
	// MaxObjects bounds the objects of the document: subschemas, and what holds them.
	MaxObjects = 4_000
	// MaxValues bounds the values of the document, those of enum and examples included.
	MaxValues = 50_000
	// MaxChain bounds how deep a validation can recurse: how many subschemas apply to one value by way of each other, at most, times the
	// depth of the value.
	MaxChain = 20_000
	// MaxDepth bounds the nesting of a value.
	MaxDepth = 512
)

// Bounds of one validation. A step is about 200 ns of work, so that the steps end a validation after some 200 ms; MaxTime is the
// fallback for patterns with lookaround or backreferences. MaxErrorBytes bounds the memory of the reasons of a failure: the verdict
// does not depend on them.
const (
	MaxSteps      = 1_000_000
	MaxBytes      = 32 << 20
	MaxTime       = 3 * time.Second
	MaxErrorSteps = 100_000
	MaxErrorBytes = 8 << 20
)

var (
	limits      = budget.Limits{Steps: MaxSteps, Bytes: MaxBytes, Time: MaxTime}
	errorLimits = budget.Limits{Steps: MaxErrorSteps, Bytes: MaxErrorBytes, Time: MaxTime}
)

// Exhausted is the error of a validation that exceeds a bound. It wraps the budget's error.
type Exhausted struct {
	Text  string
	Bound *budget.Error
}

func (e *Exhausted) Error() string { return e.Text }

// Unwrap returns the budget's error: budget.ErrSteps, budget.ErrBytes or budget.ErrTime.
func (e *Exhausted) Unwrap() error { return e.Bound }

// ErrDepth is the error of a value that is nested too deeply for a schema.
var ErrDepth = errors.New("the data is nested too deeply for the schema")

// ErrNumber is the error of a value with a number that has hundreds of digits, written out.
var ErrNumber = errors.New("a number in the data is out of range")

// Options say how a schema is compiled.
type Options struct {
	// AssertFormat makes format an assertion, as in drafts before 2019-09.
	AssertFormat bool
	// Trusted documents are not validated against the meta-schema.
	Trusted bool
	// Pattern compiles a pattern; nil is pattern.CompileECMA.
	Pattern func(text string) (*pattern.Pattern, error)
}

// Schema is a compiled schema. It is safe for concurrent use.
type Schema struct {
	document any
	options  Options

	mu sync.Mutex
	// idle are instances that no validation is using. An instance serves one validation at a time.
	idle []*instance
}

// maxIdle bounds the instances that are kept.
const maxIdle = 4

// Compile compiles a schema, JSON Schema 2020-12 unless it names another draft.
func Compile(document any, options Options) (*Schema, error) {
	var w weight
	if w.add(document, 0); w.nodes > MaxValues || w.over || w.extreme || w.objects > MaxObjects {
		return nil, fmt.Errorf("the schema has more than %d values or %d objects, or is nested more than %d levels deep", MaxValues, MaxObjects, MaxDepth)
	}
	s := &Schema{document: document, options: options}
	made, err := newInstance(document, options)
	if err != nil {
		return nil, err
	}
	s.idle = append(s.idle, made)
	return s, nil
}

// Objects is how many objects a document of a schema has, which compiling it takes time for; more than MaxObjects for any that has more.
func Objects(document any) int {
	var w weight
	if w.add(document, 0); w.over {
		return MaxObjects + 1
	}
	return w.objects
}

func (s *Schema) take() (*instance, error) {
	s.mu.Lock()
	if n := len(s.idle); n > 0 {
		i := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.mu.Unlock()
		return i, nil
	}
	s.mu.Unlock()
	return newInstance(s.document, s.options)
}

func (s *Schema) giveBack(i *instance) {
	s.mu.Lock()
	if len(s.idle) < maxIdle {
		s.idle = append(s.idle, i)
	}
	s.mu.Unlock()
}

// Check validates a value within a budget, which may be nil. Failure is nil for a value that matches. An error means that there is no
// verdict: it is an *Exhausted, ErrDepth or ErrNumber.
func (s *Schema) Check(value any, whole *budget.Budget) (failure *Failure, err error) {
	i, err := s.take()
	if err != nil {
		return nil, err
	}
	defer s.giveBack(i)
	whole.Begin(&i.meter.part, limits)
	plain, err := i.check(value)
	if err == nil && plain != nil {
		failure = &Failure{}
	}
	if err != nil {
		return nil, i.explain(err, whole)
	}
	i.meter.part.Close()
	if failure == nil {
		return nil, nil
	}
	// The reasons are a second validation, which keeps what the first drops.
	whole.Begin(&i.meter.part, errorLimits)
	failure.Reasons = i.reasons(plain.value)
	i.meter.part.Close()
	return failure, nil
}

// Failure says that a value does not match.
type Failure struct {
	// Reasons are the errors of the validation; nil if they are too many.
	Reasons *jsonschema.ValidationError
}

// explain is the error of a validation whose budget is exhausted, or the whole that it is a part of.
func (i *instance) explain(err error, whole *budget.Budget) error {
	i.meter.part.Close()
	var bound *budget.Error
	switch {
	case !errors.As(err, &bound):
		return err
	case i.meter.part.Err() == nil: // a bound of one operation
		return &Exhausted{Text: err.Error(), Bound: bound}
	}
	text := fmt.Sprintf("validating the data against the schema exceeds its budget of %s (at most %d steps, %d bytes, %s)", bound.Bound, MaxSteps,
		MaxBytes, MaxTime)
	if whole.Err() != nil {
		text = "validating the data against the schema exceeds the budget of " + bound.Bound + " that is left"
	}
	return &Exhausted{Text: text, Bound: bound}
}
