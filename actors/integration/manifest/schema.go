package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// schema is a JSON Schema 2020-12 that reaches for nothing outside itself, compiled when it is first needed. It is safe for
// concurrent use.
type schema struct {
	document any
	// trusted documents are known to be schemas.
	trusted  bool
	once     sync.Once
	compiled *jsonschema.Schema
	err      error
}

// objectSchema is the schema of an object, and the document that it is of.
type objectSchema struct {
	document map[string]any
	check    *schema
}

// closed is the schema of an object whose further fields are refused, unless document says otherwise.
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

// Addresses of a schema in its compiler, which holds those below json-schema.org to be schemas without a look.
const (
	schemaURL  = "manifest:schema"
	trustedURL = "https://json-schema.org/weft"
)

var errNoLoading = errors.New("a schema refers to itself alone")

// compile compiles the schema unless that has been done.
func (s *schema) compile() error {
	s.once.Do(func() {
		at := schemaURL
		if s.trusted {
			at = trustedURL
		}
		compiler := jsonschema.NewCompiler()
		compiler.DefaultDraft(jsonschema.Draft2020)
		compiler.AssertFormat()
		compiler.UseLoader(noLoader{})
		patterns := patternCache{known: map[string]*regexp.Regexp{}}
		compiler.UseRegexpEngine(patterns.compile)
		if s.err = compiler.AddResource(at, s.document); s.err == nil {
			s.compiled, s.err = compiler.Compile(at)
		}
		patterns.known = nil // what is validated later is nobody's to keep
	})
	return s.err
}

// patternCache has each pattern of a schema compiled once, where the check of the schema and its compiling both ask for it.
// Without known it keeps nothing.
type patternCache struct{ known map[string]*regexp.Regexp }

func (c *patternCache) compile(text string) (jsonschema.Regexp, error) {
	if r := c.known[text]; r != nil {
		return r, nil
	}
	r, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	if c.known != nil {
		c.known[text] = r
	}
	return r, nil
}

type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errNoLoading }

// FieldError is one field of a value that does not satisfy its schema. Its message never holds the value.
type FieldError struct {
	Pointer string `json:"pointer"`
	Message string `json:"message"`
	// unknown is set where the field should not be there at all.
	unknown bool
	// missing is set where the field should be there.
	missing bool
}

// InputError is a value that does not satisfy its schema.
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

// validate returns nil or an *InputError whose pointers begin with base.
func (s *schema) validate(value any, base string) error {
	if s.compile() != nil {
		return &InputError{Fields: []FieldError{{Pointer: base, Message: "cannot be checked"}}}
	}
	err := s.compiled.Validate(value)
	if err == nil {
		return nil
	}
	var failed *jsonschema.ValidationError
	if !errors.As(err, &failed) {
		return &InputError{Fields: []FieldError{{Pointer: base, Message: "cannot be checked"}}}
	}
	found := &InputError{}
	collect(failed, base, &found.Fields)
	return found
}

// faults is validate for a manifest, with places.
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

// collect gathers the leaves: what holds others only says that they failed.
func collect(e *jsonschema.ValidationError, base string, into *[]FieldError) {
	if len(*into) >= maxFaults {
		return
	}
	pointer := pointerTo(base, e.InstanceLocation...)
	switch k := e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
		*into = append(*into, FieldError{Pointer: pointer, Message: explainKind(k)})
	case *kind.PropertyNames:
		// The validator does not keep this one's location (jsonschema 6.0.3 shares its slice).
		*into = append(*into, FieldError{Pointer: base, Message: fmt.Sprintf("has a field %q, which is not a name that may stand there", k.Property)})
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

// explainKind says what was wanted and never what came.
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
		return fmt.Sprintf("needs %s beside %s", strings.Join(k.Missing, ", "), k.Prop)
	case *kind.UniqueItems:
		return "must not repeat an item"
	case *kind.FalseSchema:
		return "must not be here"
	case *kind.AnyOf, *kind.OneOf:
		return "fits none of its alternatives, or more than one"
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
