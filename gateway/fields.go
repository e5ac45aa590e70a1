package gateway

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weftmesh/weft/subjects"
)

// field is a request field that does not come in a JSON body: its text is typed by its schema.
type field struct {
	name string
	// where is how errors name the place: path, query, header or body.
	where string
	// header is the header's canonical name where the field comes from one.
	header string
	kind   string
	list   bool
}

// newField fails for a type that text cannot carry.
func newField(f subjects.Field) (field, error) {
	schema := resolve(f.Schema)
	made := field{name: f.Name, where: f.In, kind: schema.Type}
	if schema.Type == huma.TypeArray {
		made.list, made.kind = true, resolve(schema.Items).Type
	}
	switch made.kind {
	case huma.TypeString, huma.TypeInteger, huma.TypeNumber, huma.TypeBoolean:
		return made, nil
	}
	return field{}, fmt.Errorf("field %s: the %s cannot carry a value of type %q", f.Name, f.In, made.kind)
}

func resolve(s *huma.Schema) *huma.Schema {
	for s.Ref != "" {
		s = subjects.Schemas()[strings.TrimPrefix(s.Ref, schemaPrefix)]
	}
	return s
}

const schemaPrefix = "#/components/schemas/"

// message is a request message under construction: as the value that is validated, and as its JSON members.
type message struct {
	value   map[string]any
	members []byte
}

func (m *message) name(name string) {
	if len(m.members) > 0 {
		m.members = append(m.members, ',')
	}
	// A field's name is ours and needs no escape that could fail.
	m.members, _ = jsontext.AppendQuote(m.members, name)
	m.members = append(m.members, ':')
}

// add reads a field from its texts. The error is CodeInvalid and never repeats a text.
func (m *message) add(f *field, texts []string) error {
	if !f.list && len(texts) > 1 {
		return subjects.InvalidField(f.name, "is given twice")
	}
	if m.value == nil {
		m.value = make(map[string]any, 4)
	}
	if _, twice := m.value[f.name]; twice {
		return subjects.InvalidField(f.name, "is given twice")
	}
	m.name(f.name)
	if !f.list {
		v, err := m.scalar(f, texts[0])
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
			v, err := m.scalar(f, item)
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

// scalar appends one value and returns it as a JSON decoder would.
func (m *message) scalar(f *field, text string) (any, error) {
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
		return nil, subjects.InvalidField(f.name, "is not UTF-8")
	}
	m.members = members
	return text, nil
}
