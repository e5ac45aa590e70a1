package jq

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/itchyny/gojq"
)

// native is a function of the interpreter: the input, and the arguments.
type native = func(any, []any) any

// cost takes what a call of a native function takes, before it is made.
type cost func(m *meter, input any, args []any) error

// attach puts the meter between a compiled expression and the interpreter's functions: those of operators, of built-in functions, and
// those that built-in functions written in jq call. gojq has no hook for that, so it replaces them in the compiled code, whose fields are
// not exported. A function that is in neither table is refused, so that a new one of gojq is not called without a meter.
func (m *meter) attach(code *gojq.Code) error {
	codes := reflect.ValueOf(code).Elem().FieldByName("codes")
	if codes.Kind() != reflect.Slice {
		return errLayout
	}
	for i := range codes.Len() {
		field := codes.Index(i).Elem().FieldByName("v")
		if field.Kind() != reflect.Interface || !field.CanAddr() {
			return errLayout
		}
		called, isCall := reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Interface().(*any) //nolint:gosec // the field keeps its type
		if !isCall {
			return errLayout
		}
		call, isCall := (*called).([3]any)
		if !isCall {
			continue
		}
		name, named := call[2].(string)
		function, isNative := call[0].(native)
		if !named || !isNative {
			return errLayout
		}
		metered, err := m.metered(name, function)
		if err != nil {
			return err
		}
		call[0] = metered
		*called = call
	}
	return nil
}

var errLayout = errors.New("this version of gojq cannot be metered")

// metered is a native function that takes its cost before it is called, and what its result adds to that after it.
func (m *meter) metered(name string, function native) (native, error) {
	if free[name] || len(name) > 1 && name[:2] == "__" {
		return function, nil
	}
	if own := replacements[name]; own != nil {
		return func(input any, args []any) any { return own(m, input, args) }, nil
	}
	take := costs[name]
	if take == nil {
		return nil, fmt.Errorf("%s is not allowed", name)
	}
	encodes := encoders[name]
	return func(input any, args []any) any {
		before := m.part.Bytes()
		if err := take(m, input, args); err != nil {
			return err
		}
		taken := m.part.Bytes() - before
		result := function(input, args)
		if _, failed := result.(error); failed {
			// The text of an error quotes the operands, whose fields are sorted for it.
			if err := m.quote(input, args); err != nil {
				return err
			}
		}
		if text, isText := result.(string); isText && encodes && len(text) > taken {
			if err := m.take((len(text)-taken)/bytesPerStep, len(text)-taken); err != nil {
				return err
			}
		}
		return result
	}, nil
}

// quote takes the steps of the text of an error.
func (m *meter) quote(input any, args []any) error {
	for _, operand := range append(args[:len(args):len(args)], input) {
		w, err := m.weigh(operand)
		if err == nil {
			err = m.part.Step(w.nodes/nodesPerStep + w.bytes/bytesPerStep)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
