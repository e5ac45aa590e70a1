package subjects

import (
	"bytes"
	"encoding/base64"
	"errors"
	"reflect"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
)

// registry holds the schema of every declared type. It is filled while the package's variables are
// initialised and only read afterwards.
var registry = newRegistry()

func newRegistry() huma.Registry {
	// Without it {"email":…,"EMAIL":…} passes validation and the struct gets the second.
	huma.ValidateStrictCasing = true
	return huma.NewMapRegistry(componentPrefix, huma.DefaultSchemaNamer)
}

// Schemas returns every named schema, for the OpenAPI document. It must not be changed.
func Schemas() map[string]*huma.Schema { return registry.Map() }

// schemaOf is a type's schema. A field of bytes says that it is base64, and its decoding holds it to that: huma's own check reads
// every character with a regular expression, which costs more than all else that is done with a part of a file.
func schemaOf(t reflect.Type) *huma.Schema {
	s := registry.Schema(t, true, t.Name())
	for _, field := range resolve(s).Properties {
		if field.ContentEncoding != "" {
			field.Extensions = map[string]any{"contentEncoding": field.ContentEncoding}
			field.ContentEncoding = ""
		}
	}
	return s
}

// resolve follows references.
func resolve(s *huma.Schema) *huma.Schema {
	for s.Ref != "" {
		s = registry.SchemaFromRef(s.Ref)
	}
	return s
}

type validation struct {
	path   *huma.PathBuffer
	result huma.ValidateResult
}

var validations = sync.Pool{New: func() any {
	return &validation{path: huma.NewPathBuffer(make([]byte, 0, 64), 0)}
}}

// Validate checks a message against the request's schema: types, bounds, required and unknown fields,
// duplicate keys and keys that differ only in case. An empty message counts as {}. The error is a
// *Error with CodeInvalid whose Fields name every fault.
func (d *Descriptor) Validate(data []byte) error {
	if len(bytes.TrimSpace(data)) == 0 {
		data = []byte("{}")
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return notJSON(err)
	}
	return d.ValidateValue(v)
}

// ValidateValue is Validate for a decoded message.
func (d *Descriptor) ValidateValue(v any) error {
	check := validations.Get().(*validation)
	defer validations.Put(check)
	check.path.Reset()
	check.result.Reset()
	huma.Validate(registry, d.Request, check.path, huma.ModeWriteToServer, v, &check.result)
	if len(check.result.Errors) == 0 {
		return nil
	}
	fields := make([]FieldError, 0, len(check.result.Errors))
	for _, err := range check.result.Errors {
		fields = append(fields, fieldError(err))
	}
	detail := fields[0].Message
	if fields[0].Field != "" {
		detail = fields[0].Field + ": " + detail
	}
	return &Error{Code: CodeInvalid, Detail: detail, Fields: fields}
}

// fieldError names the field itself where huma names its parent.
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
	return FieldError{Field: field, Message: detail.Message}
}

func notJSON(err error) error {
	return &Error{
		Code: CodeInvalid, Detail: "the message is not a JSON object without duplicate keys",
		Fields: []FieldError{{Message: strings.TrimPrefix(err.Error(), "json: ")}}, Cause: err,
	}
}

func decodeInto(data []byte, v any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	err := json.Unmarshal(data, v)
	var at *json.SemanticError
	var corrupt base64.CorruptInputError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &at) && errors.As(err, &corrupt):
		return InvalidField(strings.ReplaceAll(strings.TrimPrefix(string(at.JSONPointer), "/"), "/", "."), "is not base64")
	}
	return notJSON(err)
}
