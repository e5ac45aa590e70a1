package subjects

import (
	"bytes"
	"encoding/base64"
	stdjson "encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// registry holds the schema of every declared type. It is filled while package variables are initialised and only read
// afterwards.
var registry = newRegistry()

func newRegistry() huma.Registry {
	// Without strict casing {"email":…,"EMAIL":…} passes validation, and decoding takes the second value.
	huma.ValidateStrictCasing = true
	return huma.NewMapRegistry(componentPrefix, huma.DefaultSchemaNamer)
}

// Schemas returns every named schema, for the OpenAPI document. The caller must not modify it.
func Schemas() map[string]*huma.Schema { return registry.Map() }

// encodingExtension marks the schema of bytes, which are base64 in JSON.
const encodingExtension = "contentEncoding"

// schemaOf returns a type's schema. For byte fields it moves contentEncoding to an extension, where the validator ignores it,
// because huma would match every character by a regular expression, at a cost that dominates uploads. Decoding rejects
// invalid base64 instead.
func schemaOf(t reflect.Type) *huma.Schema {
	s := registry.Schema(t, true, t.Name())
	for _, field := range resolve(s).Properties {
		if field.ContentEncoding != "" {
			field.Extensions = map[string]any{encodingExtension: field.ContentEncoding}
			field.ContentEncoding = ""
		}
	}
	return s
}

// requestSchema returns a request's schema, in which required lists are not nullable.
func requestSchema(t reflect.Type) *huma.Schema {
	s := schemaOf(t)
	named := resolve(s)
	for _, name := range named.Required {
		if field := named.Properties[name]; field.Type == huma.TypeArray {
			field.Nullable = false
		}
	}
	return s
}

// replySchema returns a reply's schema, in which secrets are optional because a replay omits them.
func replySchema(t reflect.Type, secrets []string) *huma.Schema {
	s := schemaOf(t)
	named := resolve(s)
	named.Required = slices.DeleteFunc(named.Required, func(name string) bool { return slices.Contains(secrets, name) })
	return s
}

// resolve follows references to the schema itself.
func resolve(s *huma.Schema) *huma.Schema {
	for s.Ref != "" {
		s = registry.SchemaFromRef(s.Ref)
	}
	return s
}

// maxFieldErrors is how many violations an error lists.
const maxFieldErrors = 100

type validation struct {
	path   *huma.PathBuffer
	result huma.ValidateResult
}

var validations = sync.Pool{New: func() any {
	return &validation{path: huma.NewPathBuffer(make([]byte, 0, 64), 0)}
}}

// Validate checks a message against the request's schema: types, bounds, required and unknown fields, duplicate keys, and
// keys that differ from a field only in case. An empty message counts as {}, and a byte order mark is ignored (RFC 8259 §8.1). The
// error is an *Error with CodeInvalid whose Fields list the violations, or one of Outline.
func (d *Descriptor) Validate(data []byte) error {
	data = TrimBOM(data)
	if len(bytes.TrimSpace(data)) == 0 {
		data = []byte("{}")
	}
	v, err := d.Outline(data)
	if err != nil {
		return err
	}
	return d.ValidateValue(v)
}

// ValidateValue is Validate for a decoded JSON value, such as an outline.
func (d *Descriptor) ValidateValue(v any) error {
	if fault := unstorable(d.Request, v); fault != nil {
		return InvalidField(fault.Field, "%s", fault.Message)
	}
	check := validations.Get().(*validation)
	defer validations.Put(check)
	check.path.Reset()
	check.result.Reset()
	huma.Validate(registry, d.Request, check.path, huma.ModeWriteToServer, v, &check.result)
	if len(check.result.Errors) == 0 {
		return nil
	}
	violations := check.result.Errors[:min(len(check.result.Errors), maxFieldErrors)]
	fields := make([]FieldError, 0, len(violations))
	for _, err := range violations {
		fields = append(fields, fieldError(err))
	}
	detail := fields[0].Message
	if fields[0].Field != "" {
		detail = fields[0].Field + ": " + detail
	}
	return &Error{Code: CodeInvalid, Detail: detail, Fields: fields}
}

// unstorable finds values that huma's validator accepts or panics on: U+0000 in strings, which PostgreSQL cannot store
// (PostgreSQL 17 §8.3) and SQLite treats as the end of a statement; and lists or objects among uniqueItems, which huma compares
// as map keys. Free-form JSON is exempt because it is stored as text with the character escaped. The returned field path is
// relative to v.
func unstorable(s *huma.Schema, v any) *FieldError {
	s = resolve(s)
	switch v := v.(type) {
	case string:
		if s.Type == huma.TypeString && strings.IndexByte(v, 0) >= 0 {
			return &FieldError{Message: "contains the character U+0000"}
		}
	case []any:
		for i, item := range v {
			if fault := unstorableItem(s, item); fault != nil {
				return fault.within("[" + strconv.Itoa(i) + "]")
			}
		}
	case map[string]any:
		return unstorableMember(s, v)
	}
	return nil
}

// within prepends a path element to the field's path and returns f.
func (f *FieldError) within(name string) *FieldError {
	if f.Field != "" && f.Field[0] != '[' {
		name += "."
	}
	f.Field = name + f.Field
	return f
}

func unstorableItem(list *huma.Schema, item any) *FieldError {
	switch item.(type) {
	case []any, map[string]any:
		if list.UniqueItems {
			return &FieldError{Message: "expected a scalar value"}
		}
	}
	if list.Items == nil {
		return nil
	}
	return unstorable(list.Items, item)
}

// unstorableMember is unstorable for an object. The names of additional properties are chosen by the caller, so they are checked too.
func unstorableMember(s *huma.Schema, object map[string]any) *FieldError {
	more, _ := s.AdditionalProperties.(*huma.Schema)
	for name, value := range object {
		of := s.Properties[name]
		if of == nil && more != nil {
			if of = more; strings.IndexByte(name, 0) >= 0 {
				return &FieldError{Message: "has a property name with the character U+0000"}
			}
		}
		if of == nil {
			continue
		}
		if fault := unstorable(of, value); fault != nil {
			return fault.within(name)
		}
	}
	return nil
}

// fieldError converts a validation error. For a missing property huma names the parent; fieldError names the property.
func fieldError(err error) FieldError {
	var detail *huma.ErrorDetail
	if !errors.As(err, &detail) {
		return FieldError{Message: err.Error()}
	}
	field := detail.Location
	if rest, ok := strings.CutPrefix(detail.Message, "expected required property "); ok {
		name, _, _ := strings.Cut(rest, " ")
		if field != "" {
			field += "."
		}
		return FieldError{Field: field + name, Message: "is required"}
	}
	message := detail.Message
	if strings.HasPrefix(message, "expected string to be ") {
		// What follows a colon is the text of the library that parsed the string.
		message, _, _ = strings.Cut(message, ": ")
	}
	return FieldError{Field: field, Message: message}
}

// notJSON returns the error for a message that cannot be decoded: what is wrong, and where.
func notJSON(err error) error {
	fault := &Error{Code: CodeInvalid, Detail: "the message is not valid JSON", Cause: err}
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.As(err, &syntax) && errors.Is(err, jsontext.ErrDuplicateName):
		field := fieldOf(syntax.JSONPointer)
		fault.Detail = field + ": given more than once"
		fault.Fields = []FieldError{{Field: field, Message: "given more than once"}}
	case errors.Is(err, io.ErrUnexpectedEOF):
		fault.Fields = []FieldError{{Message: "ends too early"}}
	case errors.As(err, &syntax):
		fault.Fields = []FieldError{{Message: "has a syntax error at byte " + strconv.FormatInt(syntax.ByteOffset+1, 10)}}
	case errors.As(err, &semantic):
		field := fieldOf(semantic.JSONPointer)
		fault.Detail = field + ": has an unexpected type or value"
		fault.Fields = []FieldError{{Field: field, Message: "has an unexpected type or value"}}
	}
	return fault
}

// fieldOf returns the path of a field as errors name it.
func fieldOf(pointer jsontext.Pointer) string {
	return strings.Join(slices.Collect(pointer.Tokens()), ".")
}

// TrimBOM returns data without a byte order mark, U+FEFF in UTF-8, at its beginning: a JSON text should not begin with one, and a parser
// may ignore it (RFC 8259 §8.1).
func TrimBOM(data []byte) []byte { return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) }

// keepDigits decodes the numbers of free-form JSON to encoding/json.Number, so that one that no float64 is equal to keeps its digits.
var keepDigits = json.WithUnmarshalers(json.UnmarshalFromFunc(func(decoder *jsontext.Decoder, v *any) error {
	if decoder.PeekKind() != '0' {
		return errors.ErrUnsupported
	}
	number, err := decoder.ReadValue()
	*v = stdjson.Number(number)
	return err
}))

func decodeInto(data []byte, v any) error {
	data = TrimBOM(data)
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	err := json.Unmarshal(data, v, keepDigits)
	var at *json.SemanticError
	var corrupt base64.CorruptInputError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &at) && errors.As(err, &corrupt):
		return InvalidField(fieldOf(at.JSONPointer), "is not valid base64")
	}
	return notJSON(err)
}
