package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Object is a JSON object with the order of its members, in which each iterates. The zero value is empty.
type Object struct {
	names  []string
	values map[string]any
}

// Set adds a member or replaces its value. A value is what Decode returns.
func (o *Object) Set(name string, value any) {
	if o.values == nil {
		o.values = map[string]any{}
	}
	if _, known := o.values[name]; !known {
		o.names = append(o.names, name)
	}
	o.values[name] = value
}

// with returns a copy that can be changed.
func (o *Object) with() *Object {
	result := &Object{}
	if o != nil {
		for _, name := range o.names {
			result.Set(name, o.values[name])
		}
	}
	return result
}

// number is a JSON number.
type number string

type undefinedValue struct{}

// undefined is the value of a variable that is missing; nil is that of one which is null.
var undefined any = undefinedValue{}

var errDepth = fmt.Errorf("is nested more than %d deep", MaxData)

// Decode decodes JSON. The error's text completes a sentence about the value.
func Decode(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	value, err := decode(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("is not one JSON value")
	}
	return value, nil
}

func decode(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, errors.New("is not JSON")
	}
	if depth > MaxData {
		return nil, errDepth
	}
	switch token := token.(type) {
	case json.Number:
		return number(token), nil
	case json.Delim:
		if token == '[' {
			return decodeList(d, depth)
		}
		return decodeObject(d, depth)
	}
	return token, nil // a text, a truth value or null
}

func decodeList(d *json.Decoder, depth int) (any, error) {
	list := []any{}
	for d.More() {
		item, err := decode(d, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	_, err := d.Token()
	return list, err
}

func decodeObject(d *json.Decoder, depth int) (any, error) {
	o := &Object{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errors.New("is not JSON")
		}
		value, err := decode(d, depth+1)
		if err != nil {
			return nil, err
		}
		o.Set(name.(string), value)
	}
	// JavaScript iterates members whose names are indexes first, by number (ECMA-262 §10.1.11).
	slices.SortStableFunc(o.names, func(a, b string) int {
		i, first := index(a)
		j, second := index(b)
		switch {
		case first && second:
			return i - j
		case first:
			return -1
		case second:
			return 1
		}
		return 0
	})
	_, err := d.Token()
	return o, err
}

// index is the index that a name is.
func index(name string) (int, bool) {
	if name == "" || name[0] < '0' || name[0] > '9' { // most names, when an object is sorted
		return 0, false
	}
	i, err := strconv.Atoi(name)
	return i, err == nil && i < 1<<31 && strconv.Itoa(i) == name
}

// member returns a member of a value: undefined where there is none.
func member(value any, name string) any {
	switch v := value.(type) {
	case *Object:
		if item, known := v.values[name]; known {
			return item
		}
	case []any:
		if name == "length" {
			return number(strconv.Itoa(len(v)))
		}
		if i, ok := index(name); ok && i < len(v) {
			return v[i]
		}
	case string:
		if name == "length" {
			length := 0
			for _, r := range v {
				length += utf16.RuneLen(r)
			}
			return number(strconv.Itoa(length))
		}
	}
	return undefined
}

// empty reports whether a condition on the value fails: missing, null, false, an empty text, an empty list, and zero.
func empty(value any, zero bool) bool {
	switch v := value.(type) {
	case nil, undefinedValue:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case number:
		return !zero && v.float() == 0
	case []any:
		return len(v) == 0
	}
	return false
}

// absent reports whether a value is missing or null.
func absent(value any) bool { return value == nil || value == undefined }

// same reports whether two values are one and the same, for which handlebars.js does not change the context.
func same(a, b any) bool {
	if left, ok := a.([]any); ok {
		right, ok := b.([]any)
		return ok && len(left) == len(right) && (len(left) == 0 || &left[0] == &right[0])
	}
	if _, ok := b.([]any); ok {
		return false
	}
	return a == b
}

func (n number) float() float64 {
	f, _ := strconv.ParseFloat(string(n), 64)
	return f
}

// whole reports whether the number is written as an integer.
func (n number) whole() bool { return !strings.ContainsAny(string(n), ".eE") }

// String writes the number: an integer as it is, any other as JavaScript does (ECMA-262 §6.1.6.1.20).
func (n number) String() string {
	if n.whole() {
		if strings.Trim(string(n), "-0") == "" {
			return "0"
		}
		return string(n)
	}
	return formatFloat(n.float())
}

// exponents are written without a leading zero.
var exponents = strings.NewReplacer("e-0", "e-", "e+0", "e+")

func formatFloat(f float64) string {
	size := f
	if size < 0 {
		size = -size
	}
	if size == 0 {
		return "0"
	}
	if size >= 1e-6 && size < 1e21 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return exponents.Replace(strconv.FormatFloat(f, 'e', -1, 64))
}
