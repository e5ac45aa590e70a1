package language

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/itchyny/gojq"

	"github.com/weftmesh/weft/actors/budget"
)

// limits are the bounds of one evaluation.
var limits = budget.Limits{Steps: MaxSteps, Bytes: MaxAllocation, Time: MaxTime}

// meter is the budget of one evaluation. The interpreter calls Done for each instruction; the functions that guard inserts charge the
// data that is produced.
type meter struct {
	context.Context
	part budget.Budget
	// whole is the budget that the evaluation is a part of, while it runs; nil if there is none.
	whole *budget.Budget
}

func newMeter() *meter { return &meter{Context: context.Background()} }

// begin starts an evaluation within a budget, which may be nil; end charges that budget and lets go of it.
func (m *meter) begin(whole *budget.Budget) {
	m.whole = whole
	whole.Begin(&m.part, limits)
}

func (m *meter) end() {
	m.part.Close()
	m.whole = nil
}

// exhausted is the error of an evaluation whose budget is exhausted, or the whole that it is a part of.
func (m *meter) exhausted(err error) error {
	m.part.Close()
	var bound *budget.Error
	if m.whole.Err() != nil && errors.As(err, &bound) {
		return &Exhausted{"the expression, with those before it, exceeds the budget of " + bound.Bound, bound}
	}
	switch {
	case errors.Is(err, budget.ErrSteps):
		return ErrSteps
	case errors.Is(err, budget.ErrBytes):
		return ErrMemory
	}
	return ErrTime
}

var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Done counts an instruction, and returns a closed channel once the budget is exhausted.
func (m *meter) Done() <-chan struct{} {
	if m.part.Step(1) != nil {
		return closedChannel
	}
	return nil
}

// Err is the reason why the budget is exhausted.
func (m *meter) Err() error { return m.part.Err() }

// charge takes bytes that are copied or produced, and steps for the work.
func (m *meter) charge(bytes int) error { return m.part.Allocate(bytes) }

// functions are the checks that guard inserts into expressions. Those of two operands return null or an error, the
// others their input or an error.
func (m *meter) functions() []gojq.CompilerOption {
	input := func(name string, check func(any) error) gojq.CompilerOption {
		return gojq.WithFunction(name, 0, 0, func(value any, _ []any) any {
			if err := check(value); err != nil {
				return err
			}
			return value
		})
	}
	operands := func(name string, check func(left, right any) error) gojq.CompilerOption {
		return gojq.WithFunction(name, 2, 2, func(value any, args []any) any {
			if err := check(args[0], args[1]); err != nil {
				return err
			}
			return nil
		})
	}
	paired := func(name string, check func(value, argument any) error) gojq.CompilerOption {
		return gojq.WithFunction(name, 1, 1, func(value any, args []any) any {
			if err := check(value, args[0]); err != nil {
				return err
			}
			return value
		})
	}
	return []gojq.CompilerOption{
		input("__charge", func(value any) error { return m.charge(2 * m.size(value)) }),
		input("__index", boundIndex),
		input("__small", func(value any) error { return boundText(value, 4096) }),
		input("__pattern", func(value any) error {
			if err := boundText(value, maxPatternInput); err != nil {
				return err
			}
			return m.charge(2 * m.size(value))
		}),
		operands("__add", func(left, right any) error { return m.charge(width(left) + width(right)) }),
		operands("__times", m.times),
		operands("__compare", m.compare),
		paired("__join", func(value, separator any) error {
			list, _ := value.([]any)
			text, _ := separator.(string)
			return m.charge(2*m.size(value) + len(list)*len(text))
		}),
		paired("__search", func(value, argument any) error {
			if text, isText := value.(string); isText {
				return m.charge(len(text))
			}
			return m.charge(int(min(float64(m.size(value))/8*float64(m.size(argument))/8, MaxAllocation+1)))
		}),
	}
}

// maxPatternInput bounds the text to which a regular expression is applied repeatedly, in bytes.
const maxPatternInput = 16 << 10

func (m *meter) size(value any) int { return size(value, MaxAllocation, 4096) }

func (m *meter) times(left, right any) error {
	text, isText := left.(string)
	count := right
	if !isText {
		if text, isText = right.(string); isText {
			count = left
		}
	}
	if isText {
		times, _ := asFloat(count)
		if times*float64(len(text)) > MaxResult {
			return ErrMemory
		}
		return m.charge(int(max(times, 0)) * len(text))
	}
	if bits(left)+bits(right) > maxBits {
		return fmt.Errorf("an integer may have at most %d bits", maxBits)
	}
	return m.charge(m.size(left) + m.size(right))
}

// compare charges a comparison by the size of its left side, and the difference of two lists by the product of their
// lengths.
func (m *meter) compare(left, right any) error {
	list, isList := left.([]any)
	minus, both := right.([]any)
	if !isList && !both {
		if _, isObject := left.(map[string]any); !isObject {
			return nil
		}
	}
	if isList && both {
		return m.charge(m.size(left) + min(len(list)*len(minus)/16, MaxAllocation+1))
	}
	return m.charge(m.size(left))
}

// maxBits bounds the size of integers, which have arbitrary precision.
const maxBits = 4096

func bits(value any) int {
	switch value := value.(type) {
	case int:
		return 64
	case *big.Int:
		return value.BitLen()
	}
	return 0
}

func boundText(value any, most int) error {
	if text, isText := value.(string); isText && len(text) > most {
		return fmt.Errorf("the text is longer than %d bytes", most)
	}
	return nil
}

// boundIndex rejects large indices, up to which an assignment would allocate an array.
func boundIndex(value any) error {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			if err := boundIndex(item); err != nil {
				return err
			}
		}
	case int, float64, json.Number:
		if number, _ := asFloat(value); number > MaxIndex {
			return fmt.Errorf("an index may be at most %d", MaxIndex)
		}
	case nil, string, bool, map[string]any:
	default:
		return fmt.Errorf("an index may be at most %d", MaxIndex)
	}
	return nil
}

// width is the size of a shallow copy of a value, in bytes.
func width(value any) int {
	switch value := value.(type) {
	case string:
		return len(value)
	case json.Number:
		return len(value)
	case []any:
		return 16 * len(value)
	case map[string]any:
		return 64 * len(value)
	}
	return 8
}

// size is the approximate size of an encoded value, in bytes. Counting stops beyond bound; a value deeper than depth
// counts as larger than bound.
func size(value any, bound, depth int) int {
	total := width(value)
	if depth == 0 {
		return bound + 1
	}
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			if total > bound {
				return total
			}
			total += size(item, bound-total, depth-1)
		}
	case map[string]any:
		for key, item := range value {
			if total > bound {
				return total
			}
			total += len(key) + size(item, bound-total, depth-1)
		}
	}
	return total
}
