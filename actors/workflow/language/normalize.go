package language

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
)

// Decode decodes a JSON value. Its numbers have the forms that expressions use: int, *big.Int for integers that do not
// fit, float64. Integers keep all their digits. A byte order mark is ignored (RFC 8259 §8.1).
func Decode(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("decoding JSON: %w", err)
	}
	if decoder.More() {
		return nil, fmt.Errorf("decoding JSON: data after the value")
	}
	return Normalize(value), nil
}

// Normalize converts the numbers of a JSON value to the forms that expressions use, and replaces by null anything that
// is not a JSON value. It changes maps and lists in place, and does not write to those that are normalized already.
func Normalize(value any) any {
	switch value := value.(type) {
	case json.Number:
		number, ok := parseNumber(value.String())
		if !ok {
			return nil
		}
		return number
	case map[string]any:
		for key, item := range value {
			if changed, ok := normalizeItem(item); ok {
				value[key] = changed
			}
		}
	case []any:
		for i, item := range value {
			if changed, ok := normalizeItem(item); ok {
				value[i] = changed
			}
		}
	case int64:
		return Integer(big.NewInt(value))
	case uint64:
		return Integer(new(big.Int).SetUint64(value))
	case int32:
		return int(value)
	case float32:
		return Normalize(float64(value))
	case float64:
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return nil
		}
	case nil, bool, string, int, *big.Int:
	default:
		return nil
	}
	return value
}

// normalizeItem returns an item in normal form, and whether it differs from the item.
func normalizeItem(item any) (any, bool) {
	switch item := item.(type) {
	case nil, bool, string, int, *big.Int:
		return item, false
	case map[string]any, []any:
		Normalize(item)
		return item, false
	case float64:
		return nil, math.IsNaN(item) || math.IsInf(item, 0)
	}
	return Normalize(item), true
}

// isFinite reports whether a value contains only finite numbers.
func isFinite(value any) bool {
	switch value := value.(type) {
	case float64:
		return !math.IsNaN(value) && !math.IsInf(value, 0)
	case []any:
		for _, item := range value {
			if !isFinite(item) {
				return false
			}
		}
	case map[string]any:
		for _, item := range value {
			if !isFinite(item) {
				return false
			}
		}
	}
	return true
}
