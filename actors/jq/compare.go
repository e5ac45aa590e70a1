package jq

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"github.com/itchyny/gojq"
)

// compare answers a comparison of two operands as gojq.Compare does, and takes steps for what it compares.
func (m *meter) compare(args []any, holds func(int) bool) any {
	result := m.order(args[0], args[1], 0)
	if err := m.part.Err(); err != nil {
		return err
	}
	return holds(result)
}

// equal answers whether two operands are equal, or differ.
func (m *meter) equal(args []any, holds bool) any {
	same := m.same(args[0], args[1], 0)
	if err := m.part.Err(); err != nil {
		return err
	}
	return same == holds
}

// same reports whether gojq.Compare finds no difference. Once the budget is exhausted its result means nothing.
func (m *meter) same(left, right any, depth int) bool {
	switch l := left.(type) {
	case []any:
		r, both := right.([]any)
		if !both || len(l) != len(r) {
			return false
		}
		if depth > maxDepth {
			_ = m.part.Allocate(unpayable)
		}
		for i := range l {
			if i%nodesPerStep == 0 && m.part.Step(1) != nil || !m.same(l[i], r[i], depth+1) {
				return false
			}
		}
		return true
	case map[string]any:
		r, both := right.(map[string]any)
		if !both || len(l) != len(r) {
			return false
		}
		if depth > maxDepth {
			_ = m.part.Allocate(unpayable)
		}
		if m.part.Step(1+len(l)/namesPerStep) != nil {
			return false
		}
		for name, item := range l {
			other, known := r[name]
			if !known || !m.same(item, other, depth+1) {
				return false
			}
		}
		return true
	}
	return m.order(left, right, depth) == 0
}

// order is gojq.Compare with steps. Once the budget is exhausted its result means nothing.
func (m *meter) order(left, right any, depth int) int {
	switch l := left.(type) {
	case string:
		if r, both := right.(string); both {
			_ = m.part.Step(min(len(l), len(r)) / bytesPerStep)
			return cmp.Compare(l, r)
		}
	case []any:
		if r, both := right.([]any); both {
			return m.orderLists(l, r, depth)
		}
	case map[string]any:
		if r, both := right.(map[string]any); both {
			return m.orderObjects(l, r, depth)
		}
	}
	return gojq.Compare(left, right)
}

func (m *meter) orderLists(left, right []any, depth int) int {
	if depth > maxDepth {
		_ = m.part.Allocate(unpayable)
	}
	for i := range min(len(left), len(right)) {
		if i%nodesPerStep == 0 && m.part.Step(1) != nil {
			return 0
		}
		if order := m.order(left[i], right[i], depth+1); order != 0 {
			return order
		}
	}
	return cmp.Compare(len(left), len(right))
}

func (m *meter) orderObjects(left, right map[string]any, depth int) int {
	if depth > maxDepth {
		_ = m.part.Allocate(unpayable)
	}
	if m.take(1+len(left)+len(right), 16*(len(left)+len(right))) != nil { // the names are sorted
		return 0
	}
	l, r := slices.Sorted(maps.Keys(left)), slices.Sorted(maps.Keys(right))
	if order := slices.Compare(l, r); order != 0 {
		return order
	}
	for _, key := range l {
		if order := m.order(left[key], right[key], depth+1); order != 0 || m.part.Err() != nil {
			return order
		}
	}
	return 0
}

func asFloat(value any) (float64, bool) {
	switch value := value.(type) {
	case int:
		return float64(value), true
	case float64:
		return value, true
	case json.Number:
		number, err := value.Float64()
		return number, err == nil
	}
	return 0, false
}
