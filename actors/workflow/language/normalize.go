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

// Normalize gives the numbers of a JSON value the forms that expressions take. It changes maps and lists in place,
// and makes null of what is no JSON value.
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
			value[key] = Normalize(item)
		}
	case []any:
		for i, item := range value {
			value[i] = Normalize(item)
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
