package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/weftmesh/weft/actors/pattern"
	bounded "github.com/weftmesh/weft/actors/schema"
)

// schema is a JSON Schema 2020-12 without external references, compiled on first use. It is safe for concurrent use.
type schema struct {
	document any
	// trusted documents are not validated against the meta-schema.
	trusted  bool
	once     sync.Once
	compiled *bounded.Schema
	err      error
}

// objectSchema is the schema of an object, with its document.
type objectSchema struct {
	document map[string]any
	check    *schema
}

// closed returns the schema of an object. Additional properties are errors, unless the document allows them.
func closed(document map[string]any) objectSchema {
	o := map[string]any{"type": "object", "additionalProperties": false}
	maps.Copy(o, document)
	return objectSchema{document: o, check: &schema{document: o}}
}

// noFields is the schema of an object without fields.
var noFields = closed(nil)

var manifestSchema = sync.OnceValue(func() *schema {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		panic(fmt.Sprintf("manifest: schema.json: %v", err))
	}
	s := &schema{document: document}
	if err := s.compile(); err != nil {
		panic(fmt.Sprintf("manifest: schema.json: %v", err))
	}
	return s
})

// compile compiles the schema once.
func (s *schema) compile() error {
	s.once.Do(func() {
		s.compiled, s.err = bounded.Compile(s.document, bounded.Options{AssertFormat: true, Trusted: s.trusted, Pattern: pattern.Compile})
	})
	return s.err
}

// FieldError is a violation of a schema. Its message does not contain the value.
type FieldError struct {
	// Pointer is the JSON pointer (RFC 6901) of the field.
	Pointer string `json:"pointer"`
	Message string `json:"message"`
	// unknown means that the schema does not allow the field.
	unknown bool
	// missing means that the field is required.
	missing bool
}

// InputError lists the violations of a schema by a value.
type InputError struct {
	Fields []FieldError
}

func (e *InputError) Error() string {
	parts := make([]string, len(e.Fields))
	for i, field := range e.Fields {
		parts[i] = strings.TrimSpace(field.Pointer + " " + field.Message)
	}
	return strings.Join(parts, "; ")
}

// validate returns nil, or an *InputError whose pointers begin with base.
func (s *schema) validate(value any, base string) error {
	if s.compile() != nil {
		return &InputError{Fields: []FieldError{{Pointer: base, Message: "cannot be validated: its schema is invalid"}}}
	}
	failure, err := s.compiled.Check(value, nil)
	switch {
	case err != nil:
		return &InputError{Fields: []FieldError{{Pointer: base, Message: "cannot be validated: " + err.Error()}}}
	case failure == nil:
		return nil
	case failure.Reasons == nil:
		return &InputError{Fields: []FieldError{{Pointer: base, Message: "does not match: " + failure.Text()}}}
	}
	found := &InputError{}
	collect(failure.Reasons, base, &found.Fields)
	return found
}

// faults validates a manifest and returns the violations with their positions.
func (s *schema) faults(value any, at positions) Faults {
	var failed *InputError
	if !errors.As(s.validate(value, ""), &failed) {
		return nil
	}
	faults := make(Faults, 0, len(failed.Fields))
	for _, field := range failed.Fields {
		if field.unknown {
			faults = append(faults, at.key(field.Pointer, "%s", field.Message))
			continue
		}
		faults = append(faults, at.at(field.Pointer, "%s", field.Message))
	}
	return faults
}

// collect appends the leaves of a tree of validation errors; inner nodes carry no information of their own.
func collect(e *jsonschema.ValidationError, base string, into *[]FieldError) {
	if len(*into) >= maxFaults {
		return
	}
	pointer := pointerTo(base, e.InstanceLocation...)
	switch k := e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
		*into = append(*into, FieldError{Pointer: pointer, Message: explainKind(k)})
	case *kind.PropertyNames:
		// jsonschema 6.0.3 overwrites the location of this error, because it shares the slice.
		*into = append(*into, FieldError{Pointer: base, Message: fmt.Sprintf("has the invalid field name %q", k.Property)})
	case *kind.Required:
		for _, name := range k.Missing {
			*into = append(*into, FieldError{Pointer: pointerTo(pointer, name), Message: "is required", missing: true})
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			*into = append(*into, FieldError{Pointer: pointerTo(pointer, name), Message: "is not a known field", unknown: true})
		}
	default:
		if len(e.Causes) == 0 {
			*into = append(*into, FieldError{Pointer: pointer, Message: explainKind(e.ErrorKind)})
		}
		for _, cause := range e.Causes {
			collect(cause, base, into)
		}
	}
}

// explainKind describes the violated constraint, without the value that violates it.
func explainKind(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("must be %s, not %s", strings.Join(k.Want, " or "), k.Got)
	case *kind.Enum:
		return "must be one of " + list(k.Want)
	case *kind.Const:
		return "must be " + list([]any{k.Want})
	case *kind.Format:
		return "must be in the format " + k.Want
	case *kind.Pattern:
		return "must match " + k.Want
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d items", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d items", k.Want)
	case *kind.MinProperties:
		return fmt.Sprintf("must have at least %d fields", k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("must have at most %d fields", k.Want)
	case *kind.Minimum:
		return "must be at least " + k.Want.RatString()
	case *kind.Maximum:
		return "must be at most " + k.Want.RatString()
	case *kind.DependentRequired:
		return fmt.Sprintf("requires %s if %s is present", strings.Join(k.Missing, ", "), k.Prop)
	case *kind.UniqueItems:
		return "must not have duplicate items"
	case *kind.FalseSchema:
		return "is not allowed here"
	case *kind.AnyOf:
		return "must match one of the alternatives of its schema"
	case *kind.OneOf:
		return "must match exactly one of the alternatives of its schema"
	}
	if path := k.KeywordPath(); len(path) > 0 {
		return "does not satisfy " + strings.Join(path, " ")
	}
	return "does not satisfy its schema"
}

func list(values []any) string {
	parts := make([]string, len(values))
	for i, value := range values {
		parts[i] = fmt.Sprint(value)
	}
	return strings.Join(parts, ", ")
}
