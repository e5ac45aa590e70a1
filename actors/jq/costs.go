package jq

import (
	"fmt"
	"math/big"
)

// free are the functions whose work is that of an instruction.
var free = names("has", "toboolean", "type", "utf8bytelength", "_plus", "_range", "_alternative", "_allocator", "_break", "empty",
	"sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "floor", "round", "nearbyint", "rint",
	"ceil", "trunc", "significand", "fabs", "sqrt", "cbrt", "exp", "exp10", "exp2", "expm1", "frexp", "modf", "log", "log10", "log1p",
	"log2", "logb", "gamma", "tgamma", "lgamma", "erf", "erfc", "j0", "j1", "y0", "y1", "atan2", "copysign", "drem", "fdim", "fmax", "fmin",
	"fmod", "hypot", "nextafter", "nexttoward", "remainder", "ldexp", "scalb", "scalbln", "pow", "fma", "infinite", "isfinite",
	"isinfinite", "nan", "isnan", "isnormal", "gmtime", "mktime", "halt")

func names(all ...string) map[string]bool {
	set := make(map[string]bool, len(all))
	for _, name := range all {
		set[name] = true
	}
	return set
}

// encoders are the functions whose text can be longer than what they encode.
var encoders = names("tojson", "tostring", "format", "_tohtml", "_touri", "_tourid", "_tocsv", "_totsv", "_tosh", "_tobase64", "_tobase64d", "strftime")

// costs are the functions that work in proportion to their operands.
var costs map[string]cost

// replacements are functions of our own: see compare.go, match.go and paths.go.
var replacements map[string]func(m *meter, input any, args []any) any

func init() { //nolint:gochecknoinits // the tables refer to functions that refer to the tables
	costs = map[string]cost{
		"length": scanned, "startswith": scanned, "endswith": scanned, "ltrimstr": scanned, "rtrimstr": scanned, "trimstr": scanned,
		"ltrim": scanned, "rtrim": scanned, "trim": scanned, "_negate": scanned, "_modulo": scanned, "strptime": scanned, "_slice": scanned,
		"_captures": copied, "explode": times(24), "implode": times(4), "split": parted, "_divide": divided,
		"ascii_downcase": times(1), "ascii_upcase": times(1),
		"tojson": encoded, "tostring": encoded, "format": encoded, "_tohtml": encoded, "_touri": encoded, "_tourid": encoded,
		"_tocsv": encoded, "_totsv": encoded, "_tosh": encoded, "_tobase64": encoded, "_tobase64d": encoded,
		"tonumber": numeral, "strftime": formatted, "error": encoded,
		"keys": named, "reverse": copied, "flatten": flattened, "add": added, "join": joined, "transpose": transposed,
		"contains": searched, "inside": searched, "indices": searched, "index": searched, "rindex": searched, "bsearch": bisected,
		"min": compared, "max": compared, "_min_by": compared, "_max_by": compared,
		"sort": sorted, "_sort_by": sorted, "_group_by": sorted, "unique": sorted, "_unique_by": sorted,
		"_index": indexed, "getpath": followed, "setpath": updated, "_setpath": updated,
		"_add": joinedOperands, "_subtract": subtracted, "_multiply": multiplied,
		"jn": recurrence, "yn": recurrence,
	}
	replacements = map[string]func(m *meter, input any, args []any) any{
		"_equal":     func(m *meter, _ any, args []any) any { return m.equal(args, true) },
		"_notequal":  func(m *meter, _ any, args []any) any { return m.equal(args, false) },
		"_greater":   func(m *meter, _ any, args []any) any { return m.compare(args, func(n int) bool { return n > 0 }) },
		"_less":      func(m *meter, _ any, args []any) any { return m.compare(args, func(n int) bool { return n < 0 }) },
		"_greatereq": func(m *meter, _ any, args []any) any { return m.compare(args, func(n int) bool { return n >= 0 }) },
		"_lesseq":    func(m *meter, _ any, args []any) any { return m.compare(args, func(n int) bool { return n <= 0 }) },
		"_match":     match, "delpaths": deletePaths, "_delpaths": deletePaths, "fromjson": fromJSON,
	}
}

// scanned takes the steps of reading texts and large integers once.
func scanned(m *meter, input any, args []any) error {
	length := 0
	for _, operand := range append(args[:len(args):len(args)], input) {
		switch operand := operand.(type) {
		case string:
			length += len(operand)
		case *big.Int:
			length += operand.BitLen()
		}
	}
	return m.part.Step(length / bytesPerStep)
}

// copied takes a shallow copy of the input.
func copied(m *meter, input any, _ []any) error {
	size := width(input)
	return m.take(size/bytesPerStep, size)
}

// named takes the sorted names of the fields.
func named(m *meter, input any, _ []any) error {
	count := 0
	switch input := input.(type) {
	case []any:
		count = len(input) / nodesPerStep
	case map[string]any:
		count = len(input)
	}
	return m.take(count, 32*width(input)/16)
}

// times takes a multiple of the input's width.
func times(factor int) cost {
	return func(m *meter, input any, _ []any) error {
		size := width(input)
		return m.take(size/bytesPerStep+factor*size/(2*bytesPerStep), factor*size)
	}
}

// encoded takes a text that holds the whole input.
func encoded(m *meter, input any, args []any) error {
	if len(args) == 1 { // error(message), and format(name)
		if err := encoded(m, args[0], nil); err != nil {
			return err
		}
	}
	w, err := m.weigh(input)
	if err != nil {
		return err
	}
	if _, isText := input.(string); !isText {
		w.bytes *= 2
	}
	return m.take(w.bytes/bytesPerStep+w.nodes/2, w.bytes)
}

// maxNumeral bounds the text of a number, in characters.
const maxNumeral = 400

func numeral(_ *meter, input any, _ []any) error {
	if text, isText := input.(string); isText && len(text) > maxNumeral {
		return fmt.Errorf("the number %s… has more than %d characters", text[:20], maxNumeral)
	}
	return nil
}

// formatted takes the text of a time: a conversion of two letters or with a width makes at most 1,024 bytes.
func formatted(m *meter, _ any, args []any) error {
	format, _ := args[0].(string)
	return m.take(8*len(format), 256*len(format))
}

// flattened takes a list of all items at any depth.
func flattened(m *meter, input any, _ []any) error {
	w, err := m.weigh(input)
	if err != nil {
		return err
	}
	return m.take(w.nodes/itemsPerStep, 32*w.nodes)
}

// added takes the sum of the widths of the items, twice since the sum grows.
func added(m *meter, input any, _ []any) error { return m.sum(input, 0) }

func joined(m *meter, input any, args []any) error { return m.sum(input, width(args[0])) }

func (m *meter) sum(input any, between int) error {
	total, count := 0, 0
	switch input := input.(type) {
	case []any:
		count = len(input)
		for _, item := range input {
			total += width(item) + between
		}
	case map[string]any:
		count = len(input)
		for _, item := range input {
			total += width(item) + between
		}
	}
	return m.take(count/nodesPerStep+total/bytesPerStep, 2*total)
}
