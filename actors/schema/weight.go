package schema

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
)

// weight is the size of a value.
type weight struct {
	nodes, objects, numbers, bytes, depth int
	// big says that there is an integer that the validator does not accept as it is.
	big bool
	// extreme says that there is a number whose digits would have to be written out: 1e-999999.
	extreme bool
	// over says that counting stopped.
	over bool
}

// maxNodes bounds how many values are counted.
const maxNodes = 1 << 20

func (w *weight) add(value any, depth int) {
	w.nodes++
	if w.depth = max(w.depth, depth); depth > MaxDepth || w.nodes > maxNodes {
		w.over = true
		return
	}
	switch value := value.(type) {
	case string:
		w.bytes += len(value)
	case *big.Int:
		w.big = true
		w.numbers++
	case int, float64:
		w.numbers++
	case json.Number:
		w.numbers++
		w.extreme = w.extreme || isExtreme(value)
	case []any:
		for _, item := range value {
			if w.add(item, depth+1); w.over {
				return
			}
		}
	case map[string]any:
		w.objects++
		for name, item := range value {
			w.bytes += len(name)
			if w.add(item, depth+1); w.over {
				return
			}
		}
	}
}

// maxExponent bounds the exponent of a number, and its digits.
const maxExponent = 500

func isExtreme(number json.Number) bool {
	at := strings.IndexAny(string(number), "eE")
	if at < 0 {
		return len(number) > maxExponent
	}
	exponent, err := strconv.Atoi(string(number[at+1:]))
	return err != nil || exponent > maxExponent || exponent < -maxExponent || at > maxExponent
}

// steps is how many steps comparing or hashing the value takes.
func (w *weight) steps() int { return w.nodes/4 + 4*w.numbers + w.bytes/128 }

// accepted converts numbers to the forms that the validator accepts.
func accepted(value any) any {
	switch value := value.(type) {
	case *big.Int:
		return json.Number(value.String())
	case map[string]any:
		out := make(map[string]any, len(value))
		for key, item := range value {
			out[key] = accepted(item)
		}
		return out
	case []any:
		out := make([]any, len(value))
		for i, item := range value {
			out[i] = accepted(item)
		}
		return out
	}
	return value
}
