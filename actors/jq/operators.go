package jq

import (
	"fmt"
	"math"
	"math/big"
	"strings"
)

// joinedOperands takes the sum of two values.
func joinedOperands(m *meter, _ any, args []any) error {
	left, right := width(args[0]), width(args[1])
	if left <= 8 && right <= 8 {
		return nil
	}
	return m.take((left+right)/bytesPerStep, left+right)
}

// subtracted takes the comparison of each item of a list with each of another.
func subtracted(m *meter, _ any, args []any) error {
	left, both := args[0].([]any)
	if _, isList := args[1].([]any); !both || !isList {
		return scanned(m, nil, args)
	}
	w, err := m.weigh(args[1])
	if err != nil {
		return err
	}
	if err := m.product(len(left)+1, w.nodes+w.bytes/bytesPerStep, nodesPerStep); err != nil {
		return err
	}
	return m.part.Allocate(16 * len(left))
}

// maxBits bounds the size of integers, which have arbitrary precision.
const maxBits = 4096

func bitsOf(value any) int {
	switch value := value.(type) {
	case int:
		return 64
	case *big.Int:
		return value.BitLen()
	}
	return 0
}

func multiplied(m *meter, _ any, args []any) error {
	left, right := args[0], args[1]
	text, isText := left.(string)
	count := right
	if !isText {
		if text, isText = right.(string); isText {
			count = left
		}
	}
	if isText {
		times, _ := asFloat(count)
		size := times * float64(len(text))
		if size > float64(m.limits.Result) {
			return ErrMemory
		}
		return m.take(int(max(size, 0))/bytesPerStep, int(max(size, 0)))
	}
	if bitsOf(left)+bitsOf(right) > maxBits {
		return fmt.Errorf("an integer may have at most %d bits", maxBits)
	}
	if _, isObject := left.(map[string]any); !isObject {
		return nil
	}
	return m.merge(left, right, 0)
}

// merge takes the recursive merge of two objects: what only one of them has is not copied.
func (m *meter) merge(left, right any, depth int) error {
	l, isObject := left.(map[string]any)
	r, both := right.(map[string]any)
	if !isObject || !both {
		return nil
	}
	if depth > maxDepth {
		return m.part.Allocate(unpayable)
	}
	if err := m.take((len(l)+len(r))/namesPerStep+1, width(l)+width(r)); err != nil {
		return err
	}
	for key, item := range r {
		if err := m.merge(l[key], item, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// parted takes the parts of a text.
func parted(m *meter, input any, args []any) error {
	text, _ := input.(string)
	separator, _ := args[0].(string)
	parts := strings.Count(text, separator) + 1
	return m.take(len(text)/bytesPerStep+parts/4, 32*parts)
}

func divided(m *meter, _ any, args []any) error {
	if _, isText := args[0].(string); isText {
		return parted(m, args[0], args[1:])
	}
	return scanned(m, nil, args)
}

// recurrence takes the steps of a Bessel function, which are in proportion to its order.
func recurrence(m *meter, _ any, args []any) error {
	order, _ := asFloat(args[0])
	if math.IsNaN(order) {
		return nil
	}
	return m.part.Step(int(min(math.Abs(order)/32, unpayable)))
}
