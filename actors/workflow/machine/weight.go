package machine

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// maxDepth bounds the nesting of the values that an execution holds. It leaves room above what a single expression yields
// (language.MaxResultDepth), and is far below what encoders and decoders accept.
const maxDepth = 512

// eventWeight is the weight of an event without data. shortText is the length of the names and keys that it includes.
const (
	eventWeight = 64
	shortText   = 64
)

// scale weighs values: the sizes of their encodings (language.Append), in bytes. Weighing stops beyond the bound, so its cost is bounded
// by that, also for values that contain others many times.
type scale struct {
	weight, bound int
	// refused is why the log cannot hold a value; empty where it can.
	refused string
	// invalid: a text is not UTF-8. unusual: a number has a form that language.Normalize may change.
	invalid, unusual bool
}

const nullWeight = len("null")

// add weighs a value that is nested at a depth.
func (s *scale) add(value any, depth int) {
	switch value := value.(type) {
	case nil:
		s.weight += nullWeight
	case bool:
		s.weight += len("false")
		if value {
			s.weight--
		}
	case string:
		s.addText(value)
	case int:
		s.addInteger(value)
	case map[string]any:
		s.weight += len("{}") + max(0, len(value)-1)
		if s.tooDeep(depth) {
			return
		}
		for key, item := range value {
			if s.weight > s.bound {
				return
			}
			s.weight += len(":")
			s.addText(key)
			s.add(item, depth+1)
		}
	case []any:
		s.weight += len("[]") + max(0, len(value)-1)
		if s.tooDeep(depth) {
			return
		}
		for _, item := range value {
			if s.weight > s.bound {
				return
			}
			s.add(item, depth+1)
		}
	default:
		s.addNumber(value)
	}
}

// addText weighs a text.
func (s *scale) addText(text string) {
	s.weight += len(text) + len(`""`)
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			continue
		}
		if c < utf8.RuneSelf {
			s.weight += escapeWeight(c)
			continue
		}
		r, width := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && width == 1:
			s.invalid = true
			s.weight += len(`\ufffd`) - 1
		case r == '\u2028' || r == '\u2029':
			s.weight += len(`\u2028`) - width
		}
		i += width - 1
	}
}

// escapeWeight is by how much the escape of a character is longer.
func escapeWeight(c byte) int {
	switch c {
	case '"', '\\', '\b', '\f', '\n', '\r', '\t':
		return 1
	}
	return len(`\u0000`) - 1
}

func (s *scale) addInteger(value int) {
	s.weight++
	if value < 0 {
		s.weight++
	}
	for value /= 10; value != 0; value /= 10 {
		s.weight++
	}
}

// addNumber weighs a number that is no int. Anything else weighs like null, which it becomes.
func (s *scale) addNumber(value any) {
	switch value := value.(type) {
	case float64:
		if !math.IsNaN(value) && !math.IsInf(value, 0) {
			s.weight += floatWeight(value)
			return
		}
	case json.Number:
		s.unusual = true
		s.weight += len(value)
		return
	case *big.Int:
		digits := len(value.String())
		if s.weight += digits; digits > language.MaxNumber {
			s.refuse(fmt.Sprintf("has a number of more than %d digits", language.MaxNumber))
		}
		return
	}
	s.unusual = true
	s.weight += nullWeight
}

// floatWeight is the length of a number as ECMAScript writes it. The log does not keep the sign of a zero.
func floatWeight(value float64) int {
	size, format := math.Abs(value), byte('f')
	switch {
	case size == 0:
		return 1
	case size < 1e-6 || size >= 1e21:
		format = 'e'
	}
	var buffer [32]byte
	out := strconv.AppendFloat(buffer[:0], value, format, -1, 64)
	length := len(out)
	if format == 'e' && length >= 4 && string(out[length-4:length-1]) == "e-0" {
		length--
	}
	return length
}

func (s *scale) tooDeep(depth int) bool {
	if depth >= maxDepth {
		s.refuse(fmt.Sprintf("is nested more than %d levels deep", maxDepth))
	}
	return s.refused != ""
}

func (s *scale) refuse(reason string) {
	if s.refused == "" {
		s.refused = reason
	}
}

// refusal is the error of data that no event can hold; nil for any other.
func (m *meter) refusal(size *scale, what string) *Error {
	switch {
	case size.refused != "":
		return NewError(TypeRuntime, what+" "+size.refused)
	case size.weight > m.maxEvent:
		return NewError(TypeRuntime, fmt.Sprintf("%s has more than %d bytes, which one event of the log can hold", what, m.maxEvent))
	}
	return nil
}

// weightOf is the weight of a value that is known to be bounded.
func weightOf(value any) int {
	s := scale{bound: math.MaxInt}
	s.add(value, 0)
	return s.weight
}

func (s *scale) addValue(value Value) {
	if value.Set {
		s.add(value.V, 0)
	}
}

// weigh weighs the data of an event. It is the same for an event that was decided and for the same event from the log.
func (e *Event) weigh(bound int) scale {
	s := scale{weight: eventWeight, bound: bound}
	texts := len(e.Execution) + len(e.Task) + len(e.Name) + len(e.Key) + len(e.Extension) + len(e.MessageID) + len(e.Then)
	s.weight += max(0, texts-shortText)
	s.weight += len(e.Reason)
	if e.Error != nil && e.Type != TimerFired { // its detail is complete only after it was applied
		s.weight += len(e.Error.Type) + len(e.Error.Title) + len(e.Error.Detail) + len(e.Error.Instance)
	}
	s.addValue(e.Input)
	s.addValue(e.Data)
	s.addValue(e.Output)
	s.addValue(e.Context)
	s.addValue(e.Items)
	s.addValue(e.Message)
	for name, value := range e.Correlation {
		s.addText(name)
		s.add(value, 1)
	}
	return s
}

// same reports whether two values are one value in memory, or equal scalars. It compares no contents of maps and lists.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, isObject := b.(map[string]any)
		return isObject && reflect.ValueOf(a).UnsafePointer() == reflect.ValueOf(b).UnsafePointer()
	case []any:
		b, isList := b.([]any)
		return isList && len(a) == len(b) && unsafe.SliceData(a) == unsafe.SliceData(b) //nolint:gosec // they are only compared
	}
	return a == b
}

// validText is a text with U+FFFD in place of each byte that is not UTF-8, as the log has it.
func validText(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return string([]rune(text))
}
