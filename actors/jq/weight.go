package jq

import (
	"encoding/json"
	"math/big"
)

// weight is the size of a value.
type weight struct {
	// nodes counts values and names of fields, each time that they are reached. bytes is the approximate size in memory or encoded.
	nodes, bytes int
	// over says that counting stopped: the value has more than maxNodes, or is nested too deeply.
	over bool
}

const (
	// maxNodes bounds how many nodes are counted, and maxDepth how deep. A value that is shared counts as often as it is reached, since
	// that is how often functions visit it.
	maxNodes = 1 << 20
	maxDepth = 4_096
)

func (w *weight) add(value any, depth int) {
	w.nodes++
	w.bytes += width(value)
	if w.over = w.over || w.nodes > maxNodes || depth > maxDepth; w.over {
		return
	}
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			if w.add(item, depth+1); w.over {
				return
			}
		}
	case map[string]any:
		for key, item := range value {
			w.bytes += len(key)
			if w.add(item, depth+1); w.over {
				return
			}
		}
	}
}

// width is the size of a shallow copy of a value, in bytes.
func width(value any) int {
	switch value := value.(type) {
	case string:
		return len(value)
	case json.Number:
		return len(value)
	case *big.Int:
		return value.BitLen() / 8
	case []any:
		return 16 * len(value)
	case map[string]any:
		return 64 * len(value)
	}
	return 8
}

// Width is the approximate size of a shallow copy of a value, in bytes.
func Width(value any) int { return width(value) }

// Size is the approximate size of an encoded value, in bytes. Counting stops beyond bound; a value deeper than depth counts as larger
// than bound.
func Size(value any, bound, depth int) int {
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
			total += Size(item, bound-total, depth-1)
		}
	case map[string]any:
		for key, item := range value {
			if total > bound {
				return total
			}
			total += len(key) + Size(item, bound-total, depth-1)
		}
	}
	return total
}

// weigh walks a value, and takes the steps of that. A value that is too large to be walked exhausts the bytes.
func (m *meter) weigh(value any) (weight, error) {
	var w weight
	switch value.(type) {
	case []any, map[string]any:
		w.add(value, 0)
	default:
		w.nodes, w.bytes = 1, width(value)
		return w, nil
	}
	if w.over {
		return w, m.part.Allocate(unpayable)
	}
	return w, m.part.Step(w.nodes / nodesPerStep)
}

// unpayable is more than any budget has.
const unpayable = 1 << 50

// take takes steps and bytes.
func (m *meter) take(steps, bytes int) error {
	if err := m.part.Step(steps); err != nil {
		return err
	}
	return m.part.Allocate(bytes)
}

// How much work counts as a step.
const (
	nodesPerStep = 8   // values that are visited
	bytesPerStep = 128 // bytes that are copied, scanned or encoded
	itemsPerStep = 16  // items of a list that are copied
	namesPerStep = 2   // fields of an object that are copied
)
