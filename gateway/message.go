package gateway

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weftmesh/weft/subjects"
)

// field is a request field that is not part of a JSON body. Its text is parsed by its schema type.
type field struct {
	name string
	// in is the place as errors name it: path, query, header, cookie or body.
	in string
	// httpName is the canonical header name or the cookie name of a field that comes from one.
	httpName string
	kind     string
	list     bool
}

// newField returns an error for a type that text cannot represent.
func newField(f subjects.Field) (field, error) {
	schema := resolve(f.Schema)
	parsed := field{name: f.Name, in: f.In, kind: schema.Type}
	if schema.Type == huma.TypeArray {
		parsed.list, parsed.kind = true, resolve(schema.Items).Type
	}
	switch parsed.kind {
	case huma.TypeString, huma.TypeInteger, huma.TypeNumber, huma.TypeBoolean:
		return parsed, nil
	}
	return field{}, fmt.Errorf("field %s: a value of type %q cannot come from the %s", f.Name, parsed.kind, f.In)
}

// resolve follows a schema's references.
func resolve(s *huma.Schema) *huma.Schema {
	for s.Ref != "" {
		s = subjects.Schemas()[strings.TrimPrefix(s.Ref, schemaPrefix)]
	}
	return s
}

const schemaPrefix = "#/components/schemas/"

// message is a request message under construction, both as the value to validate and as its JSON members.
type message struct {
	value   map[string]any
	members []byte
}

// addName appends a member's name and colon.
func (m *message) addName(name string) {
	if len(m.members) > 0 {
		m.members = append(m.members, ',')
	}
	// Field names are valid UTF-8, so that quoting cannot fail.
	m.members, _ = jsontext.AppendQuote(m.members, name)
	m.members = append(m.members, ':')
}

// addBytes adds a field of bytes, which is base64 in JSON. It is valid whatever the bytes are.
func (m *message) addBytes(name string, data []byte) {
	if m.value == nil {
		m.value = make(map[string]any, 4)
	}
	m.value[name] = "AAAA" // any base64
	m.members = slices.Grow(m.members, base64.StdEncoding.EncodedLen(len(data))+len(name)+8)
	m.addName(name)
	m.members = append(m.members, '"')
	m.members = base64.StdEncoding.AppendEncode(m.members, data)
	m.members = append(m.members, '"')
}

// add parses a field from its texts. The error is CodeInvalid and does not contain a text.
func (m *message) add(f *field, texts []string) error {
	if !f.list && len(texts) > 1 {
		return subjects.InvalidField(f.name, "given more than once")
	}
	if m.value == nil {
		m.value = make(map[string]any, 4)
	}
	if _, exists := m.value[f.name]; exists {
		return subjects.InvalidField(f.name, "given more than once")
	}
	m.addName(f.name)
	if !f.list {
		v, err := m.addScalar(f, texts[0])
		m.value[f.name] = v
		return err
	}
	list := []any{}
	m.members = append(m.members, '[')
	for _, text := range texts {
		for item := range strings.SplitSeq(text, ",") {
			if len(list) > 0 {
				m.members = append(m.members, ',')
			}
			v, err := m.addScalar(f, item)
			if err != nil {
				return err
			}
			list = append(list, v)
		}
	}
	m.members = append(m.members, ']')
	m.value[f.name] = list
	return nil
}

// addScalar appends one value and returns it as a JSON decoder would.
func (m *message) addScalar(f *field, text string) (any, error) {
	switch f.kind {
	case huma.TypeInteger:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, subjects.InvalidField(f.name, "expected integer")
		}
		m.members = strconv.AppendInt(m.members, n, 10)
		return float64(n), nil
	case huma.TypeNumber:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return nil, subjects.InvalidField(f.name, "expected number")
		}
		m.members = strconv.AppendFloat(m.members, n, 'g', -1, 64)
		return n, nil
	case huma.TypeBoolean:
		if text != "true" && text != "false" {
			return nil, subjects.InvalidField(f.name, "expected true or false")
		}
		m.members = append(m.members, text...)
		return text == "true", nil
	}
	members, err := jsontext.AppendQuote(m.members, text)
	if err != nil {
		return nil, subjects.InvalidField(f.name, "is not valid UTF-8")
	}
	m.members = members
	return text, nil
}
