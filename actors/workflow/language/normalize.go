package language

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
)

// Decode reads a JSON value with numbers in the forms that expressions take: int, *big.Int, float64. Whole numbers
// keep all their digits.
func Decode(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
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

// Normalize gives the numbers of a JSON value the forms that expressions take, and makes null of what is no JSON value.
// It changes maps and lists in place, and writes to none that is in these forms already.
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
			if changed, ok := normal(item); ok {
				value[key] = changed
			}
		}
	case []any:
		for i, item := range value {
			if changed, ok := normal(item); ok {
				value[i] = changed
			}
		}
	case int64:
		return Whole(big.NewInt(value))
	case uint64:
		return Whole(new(big.Int).SetUint64(value))
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

// normal is an item in its normal form, and whether that is another value than the item.
func normal(item any) (any, bool) {
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

// finite tells whether a value holds only numbers that JSON can write.
func finite(value any) bool {
	switch value := value.(type) {
	case float64:
		return !math.IsNaN(value) && !math.IsInf(value, 0)
	case []any:
		for _, item := range value {
			if !finite(item) {
				return false
			}
		}
	case map[string]any:
		for _, item := range value {
			if !finite(item) {
				return false
			}
		}
	}
	return true
}
