package language

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"unicode/utf8"
)

// Normalize converts the numbers of a JSON value to the forms that expressions use (see Number), and replaces by null
// anything that is not a JSON value. It changes maps and lists in place, and does not write to those that are normalized
// already. Decode and DecodeStrict return normalized values, and errors where Normalize has only null.
func Normalize(value any) any {
	switch value := value.(type) {
	case json.Number:
		number, err := Number(value.String())
		if err != nil {
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
	case json.Number:
		_, err := Number(value.String())
		return err == nil
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

// isText reports whether all text of a value is valid UTF-8.
func isText(value any) bool {
	switch value := value.(type) {
	case string:
		return utf8.ValidString(value)
	case []any:
		for _, item := range value {
			if !isText(item) {
				return false
			}
		}
	case map[string]any:
		for key, item := range value {
			if !utf8.ValidString(key) || !isText(item) {
				return false
			}
		}
	}
	return true
}

// validText copies a value with U+FFFD in place of what is not UTF-8, as the log has it.
func validText(value any) any {
	switch value := value.(type) {
	case string:
		return strings.ToValidUTF8(value, "\ufffd")
	case []any:
		list := make([]any, len(value))
		for i, item := range value {
			list[i] = validText(item)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(value))
		for key, item := range value {
			object[strings.ToValidUTF8(key, "\ufffd")] = validText(item)
		}
		return object
	}
	return value
}
