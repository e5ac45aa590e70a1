package machine

import (
	"math"
	"math/big"
	"reflect"
	"unicode/utf8"
	"unsafe"
)

// maxDepth bounds the nesting of the values that an execution holds. It leaves room above what a single expression yields
// (language.MaxResultDepth), and is far below what encoders and decoders accept.
const maxDepth = 512

// Weights, in bytes, of what has no text of its own. They do not depend on the Go type of a number, which decoding may change.
const (
	scalarWeight = 4
	numberWeight = 16
	itemWeight   = 2
	// eventWeight is that of an event without data. shortText is the length of the names and keys that it includes.
	eventWeight = 64
	shortText   = 64
)

// scale weighs values: their approximate sizes when encoded, in bytes. Weighing stops beyond the bound, so its cost is bounded by
// that, also for values that contain others many times.
type scale struct {
	weight, bound int
	// deep: a value is nested more than maxDepth levels deep. invalid: a text is not UTF-8.
	deep, invalid bool
}

// add weighs a value that is nested at a depth.
func (s *scale) add(value any, depth int) {
	switch value := value.(type) {
	case string:
		s.addText(value)
	case map[string]any:
		s.weight += scalarWeight
		if s.tooDeep(depth) {
			return
		}
		for key, item := range value {
			if s.weight > s.bound {
				return
			}
			s.weight += itemWeight
			s.addText(key)
			s.add(item, depth+1)
		}
	case []any:
		s.weight += scalarWeight
		if s.tooDeep(depth) {
			return
		}
		for _, item := range value {
			if s.weight > s.bound {
				return
			}
			s.weight += itemWeight
			s.add(item, depth+1)
		}
	case nil, bool:
		s.weight += scalarWeight
	case *big.Int:
		s.weight += numberWeight
		if bits := value.BitLen(); bits > 1024 { // no float has as many
			s.weight += bits / 3
		}
	default:
		s.weight += numberWeight
	}
}

// same reports whether two values are one value in memory, or equal scalars. It compares no contents of maps and lists.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, isObject := b.(map[string]any)
		return isObject && reflect.ValueOf(a).UnsafePointer() == reflect.ValueOf(b).UnsafePointer()
	case []any:
		b, isList := b.([]any)
		return isList && len(a) == len(b) && unsafe.SliceData(a) == unsafe.SliceData(b)
	}
	return a == b
}

func (s *scale) tooDeep(depth int) bool {
	s.deep = s.deep || depth >= maxDepth
	return s.deep
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

// addText weighs a text.
func (s *scale) addText(text string) {
	s.weight += len(text)
	s.invalid = s.invalid || !utf8.ValidString(text)
}

// validText is a text with U+FFFD in place of each byte that is not UTF-8, as the log has it.
func validText(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return string([]rune(text))
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
		s.weight += itemWeight
		s.addText(name)
		s.add(value, 1)
	}
	return s
}
