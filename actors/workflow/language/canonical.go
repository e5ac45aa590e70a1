package language

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Canonical encodes a JSON value with sorted keys, without white space and without HTML escapes.
func Canonical(value any) []byte { return Append(nil, value) }

// Append appends the canonical encoding of a JSON value: that of encoding/json without HTML escapes. It panics for a
// value that has no JSON form.
func Append(out []byte, value any) []byte {
	switch value := value.(type) {
	case nil:
		return append(out, "null"...)
	case bool:
		return strconv.AppendBool(out, value)
	case string:
		return AppendText(out, value)
	case int:
		return strconv.AppendInt(out, int64(value), 10)
	case float64:
		return appendFloat(out, value)
	case *big.Int:
		return value.Append(out, 10)
	case json.Number:
		return append(out, value...)
	case map[string]any:
		return appendObject(out, value)
	case []any:
		if value == nil {
			return append(out, "null"...)
		}
		out = append(out, '[')
		for i, item := range value {
			if i > 0 {
				out = append(out, ',')
			}
			out = Append(out, item)
		}
		return append(out, ']')
	}
	return appendOther(out, value)
}

func appendObject(out []byte, object map[string]any) []byte {
	if object == nil {
		return append(out, "null"...)
	}
	var few [16]string
	keys := few[:0]
	for key := range object {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	out = append(out, '{')
	for i, key := range keys {
		if i > 0 {
			out = append(out, ',')
		}
		out = AppendText(out, key)
		out = append(out, ':')
		out = Append(out, object[key])
	}
	return append(out, '}')
}

// appendOther encodes any value that is not a plain JSON value, such as a struct.
func appendOther(out []byte, value any) []byte {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(fmt.Sprintf("encoding a JSON value: %v", err)) // callers pass normalized values only
	}
	return append(out, bytes.TrimRight(buffer.Bytes(), "\n")...)
}

// appendFloat encodes a number as ECMAScript does.
func appendFloat(out []byte, value float64) []byte {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		panic("encoding a JSON value: not a finite number")
	}
	format := byte('f')
	if size := math.Abs(value); size != 0 && (size < 1e-6 || size >= 1e21) {
		format = 'e'
	}
	out = strconv.AppendFloat(out, value, format, -1, 64)
	if n := len(out); format == 'e' && n >= 4 && out[n-4] == 'e' && out[n-3] == '-' && out[n-2] == '0' {
		out[n-2] = out[n-1]
		out = out[:n-1]
	}
	return out
}

// AppendText appends a JSON string.
func AppendText(out []byte, text string) []byte {
	out = append(out, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, width := utf8.DecodeRuneInString(text[i:])
			if r != utf8.RuneError && r != '\u2028' && r != '\u2029' || r == utf8.RuneError && width > 1 {
				i += width
				continue
			}
			out = append(out, text[start:i]...)
			out = append(out, `\u`...)
			out = append(out, strconv.FormatInt(int64(r), 16)...)
			i += width
			start = i
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		out = append(out, text[start:i]...)
		out = appendEscape(out, c)
		i++
		start = i
	}
	return append(append(out, text[start:]...), '"')
}

func appendEscape(out []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(out, '\\', c)
	case '\b':
		return append(out, `\b`...)
	case '\f':
		return append(out, `\f`...)
	case '\n':
		return append(out, `\n`...)
	case '\r':
		return append(out, `\r`...)
	case '\t':
		return append(out, `\t`...)
	}
	const hex = "0123456789abcdef"
	return append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
