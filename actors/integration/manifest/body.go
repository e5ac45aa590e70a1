package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"golang.org/x/net/http/httpguts"
)

// body is a compiled BodySpec.
type body struct {
	json, form, raw, contentType *tree
}

func (c *compiler) body(spec BodySpec, pointer string) *body {
	return &body{
		json:        c.tree(spec.JSON, pointerTo(pointer, "json")),
		form:        c.tree(spec.Form, pointerTo(pointer, "form")),
		raw:         c.optional(spec.Raw, pointerTo(pointer, "raw")),
		contentType: c.optional(spec.ContentType, pointerTo(pointer, "content_type")),
	}
}

// encode is the body and its content type; both are empty when no kind yields a value.
func (b *body) encode(s *scope) (data []byte, contentType string, err error) {
	if b == nil {
		return nil, "", nil
	}
	value, present, err := b.json.eval(s)
	if err != nil {
		return nil, "", err
	}
	if present {
		data, err = encodeJSON(value)
		return data, "application/json", err
	}
	if value, present, err = b.form.eval(s); err != nil {
		return nil, "", err
	}
	if present {
		values, err := textValues(value)
		return []byte(values.Encode()), "application/x-www-form-urlencoded", err
	}
	text, err := b.raw.evalString(s)
	if err != nil || text == "" {
		return nil, "", err
	}
	contentType, err = b.contentType.evalString(s)
	if contentType == "" {
		contentType = "text/plain; charset=utf-8"
	}
	return []byte(text), contentType, err
}

func encodeJSON(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("encoding JSON: %w", err)
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}

// decodeJSON reads one JSON value and nothing after it; numbers keep their digits.
func decodeJSON(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("decoding JSON: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("decoding JSON: something follows the value")
	}
	return value, nil
}

// textValues is an object as names with texts: null members are left out, an array is its name repeated, an
// object as a value is refused.
func textValues(value any) (url.Values, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("not an object of names and values")
	}
	values := make(url.Values, len(object))
	for _, name := range slices.Sorted(maps.Keys(object)) {
		items, many := object[name].([]any)
		if !many {
			items = []any{object[name]}
		}
		for _, item := range items {
			if item == nil {
				continue
			}
			text, err := scalarText(item)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			values.Add(name, text)
		}
	}
	return values, nil
}

// headerValues is an object as header fields that may stand on the wire.
func headerValues(value any) (http.Header, error) {
	values, err := textValues(value)
	if err != nil {
		return nil, err
	}
	header := make(http.Header, len(values))
	for name, texts := range values {
		for _, text := range texts {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(text) {
				return nil, fmt.Errorf("header %q cannot be sent", name)
			}
			header.Add(name, text)
		}
	}
	return header, nil
}

// scalarText is a string, number or boolean as it stands in a path, query, form or header.
func scalarText(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		return strconv.Itoa(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case *big.Int:
		return v.String(), nil
	case json.Number:
		return v.String(), nil
	}
	return "", fmt.Errorf("must be a string, number or boolean")
}
