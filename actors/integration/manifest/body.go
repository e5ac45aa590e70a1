package manifest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"golang.org/x/net/http/httpguts"
)

// body is a compiled BodySpec. field is the field of the input that json consists of; "" if there is more to it.
type body struct {
	json, form, raw, object, contentType *tree
	field                                string
	brackets, base64                     bool
	multipart                            []part
	related                              bool
	graphql                              *graphQL
}

func (c *compiler) body(spec BodySpec, pointer string) *body {
	b := &body{
		json:        c.tree(spec.JSON, pointerTo(pointer, "json")),
		form:        c.tree(spec.Form, pointerTo(pointer, "form")),
		raw:         c.optional(spec.Raw, pointerTo(pointer, "raw")),
		object:      c.optional(spec.Object, pointerTo(pointer, "object")),
		contentType: c.optional(spec.ContentType, pointerTo(pointer, "content_type")),
		brackets:    spec.FormStyle == "brackets", base64: spec.Base64, related: spec.ContentType == relatedType,
		multipart: c.multipart(spec.Multipart, pointerTo(pointer, "multipart")),
	}
	if text, ok := spec.JSON.(string); ok {
		if found := inputField.FindStringSubmatch(text); found != nil {
			b.field = found[1]
		}
	}
	if spec.GraphQL != nil {
		b.graphql = &graphQL{
			query: spec.GraphQL.Query, operation: spec.GraphQL.Operation,
			variables: c.tree(spec.GraphQL.Variables, pointerTo(pointer, "graphql", "variables")),
		}
	}
	return b
}

// graphQL is a compiled GraphQLSpec.
type graphQL struct {
	query, operation string
	variables        *tree
}

func (g *graphQL) encode(s *scope) ([]byte, error) {
	request := map[string]any{"query": g.query}
	variables, present, err := g.variables.eval(s)
	if err != nil {
		return nil, err
	}
	if present {
		request["variables"] = variables
	}
	if g.operation != "" {
		request["operationName"] = g.operation
	}
	return encodeJSON(request)
}

const (
	jsonType  = "application/json"
	formType  = "application/x-www-form-urlencoded"
	bytesType = "application/octet-stream"
)

// encode evaluates the body. The content is empty if no kind of body yields a value. contentType is the request's own header field, ""
// if it has none. objects finds the objects that the expressions refer to.
func (b *body) encode(s *scope, contentType string, objects objectFinder) (content, error) {
	if b == nil {
		return content{}, nil
	}
	value, present, err := b.json.eval(s)
	if err != nil {
		return content{}, err
	}
	if present {
		made, err := b.encodeAs(value, contentType)
		if err != nil && b.field != "" {
			err = &InputError{Fields: []FieldError{{Pointer: pointerTo("", b.field), Message: err.Error()}}}
		}
		return made, err
	}
	if value, present, err = b.form.eval(s); err != nil {
		return content{}, err
	}
	if present {
		data, err := b.encodeForm(value)
		return bytesOf(data, formType), err
	}
	if len(b.multipart) > 0 {
		return encodeParts(s, b.multipart, b.related, objects)
	}
	if b.graphql != nil {
		data, err := b.graphql.encode(s)
		return bytesOf(data, jsonType), err
	}
	return b.encodeRaw(s, objects)
}

func (b *body) encodeForm(value any) ([]byte, error) {
	if b.brackets {
		values, err := bracketValues(value)
		return []byte(values.Encode()), err
	}
	values, err := textValues(value)
	return []byte(values.Encode()), err
}

// encodeRaw returns an object or the value of raw.
func (b *body) encodeRaw(s *scope, objects objectFinder) (content, error) {
	contentType, err := b.contentType.evalString(s)
	if err != nil {
		return content{}, err
	}
	object, err := findObject(s, b.object, objects)
	if err != nil {
		return content{}, err
	}
	if object != nil {
		return content{contentType: cmp.Or(contentType, object.ContentType, bytesType), pieces: []piece{{object: object}}}, nil
	}
	text, err := b.raw.evalString(s)
	if err != nil || text == "" {
		return content{}, err
	}
	if !b.base64 {
		return bytesOf([]byte(text), cmp.Or(contentType, "text/plain; charset=utf-8")), nil
	}
	data, err := decodeBase64(text)
	return bytesOf(data, cmp.Or(contentType, bytesType)), err
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

// decodeJSON decodes exactly one JSON value, with numbers as json.Number.
func decodeJSON(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("decoding JSON: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("decoding JSON: data after the value")
	}
	return value, nil
}

// formFields yields the fields of a form that an object stands for, sorted by name: an array repeats its name, and nulls are omitted.
func formFields(object map[string]any) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for _, name := range slices.Sorted(maps.Keys(object)) {
			items, many := object[name].([]any)
			if !many {
				items = []any{object[name]}
			}
			for _, item := range items {
				if item != nil && !yield(name, item) {
					return
				}
			}
		}
	}
}

// textValues converts an object of scalars and arrays of scalars to text values. Nulls are omitted; an array repeats its
// name; a nested object is an error.
func textValues(value any) (url.Values, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("must be an object")
	}
	values := make(url.Values, len(object))
	for name, item := range formFields(object) {
		text, err := scalarText(item)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		values.Add(name, text)
	}
	return values, nil
}

// bracketValues converts an object to text values. Nested members are named a[b] and elements a[0]; nulls are omitted.
func bracketValues(value any) (url.Values, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("must be an object")
	}
	values := url.Values{}
	for name, item := range object {
		if err := addBrackets(values, name, item); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func addBrackets(values url.Values, name string, value any) error {
	switch v := value.(type) {
	case nil:
	case map[string]any:
		for key, item := range v {
			if err := addBrackets(values, name+"["+key+"]", item); err != nil {
				return err
			}
		}
	case []any:
		for i, item := range v {
			if err := addBrackets(values, name+"["+strconv.Itoa(i)+"]", item); err != nil {
				return err
			}
		}
	default:
		text, err := scalarText(value)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		values.Set(name, text)
	}
	return nil
}

// headerValues converts an object to header fields; names and values that HTTP does not allow are an error.
func headerValues(value any) (http.Header, error) {
	values, err := textValues(value)
	if err != nil {
		return nil, err
	}
	header := make(http.Header, len(values))
	for name, texts := range values {
		for _, text := range texts {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(text) {
				return nil, fmt.Errorf("header %q is not a valid HTTP header", name)
			}
			header.Add(name, text)
		}
	}
	return header, nil
}

// scalarText converts a string, number or boolean to the text used in a path, query, form or header.
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
