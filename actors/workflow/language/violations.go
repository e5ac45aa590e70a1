package language

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Violation is one way in which a value does not match a schema.
type Violation struct {
	// Pointer is the RFC 6901 pointer of the faulty part of the value; empty for the value itself.
	Pointer string
	// Code is one of the codes of faults.
	Code, Message string
}

// NewSchema compiles an inline JSON Schema 2020-12. It may refer to itself only.
func NewSchema(document any) (*Schema, error) {
	schema := &Schema{Document: document}
	return schema, schema.compile()
}

// Violations returns how a value of a definition does not match the schema, as far as that is known before its expressions
// are evaluated: an expression matches anything. In loose mode every string can be one.
func (s *Schema) Violations(value any, loose bool) []Violation {
	if s == nil || s.compiled == nil {
		return nil
	}
	failure, err := s.compiled.Check(value, nil)
	switch {
	case err != nil:
		return []Violation{{Code: CodeValue, Message: "cannot be checked: " + err.Error()}}
	case failure == nil:
		return nil
	case failure.Reasons == nil:
		return []Violation{{Code: CodeValue, Message: "does not match the schema: " + failure.Text()}}
	}
	v := violationReader{schema: s.Document, value: value, loose: loose}
	v.read(failure.Reasons)
	return v.found
}

// maxViolations bounds the violations that are reported.
const maxViolations = 50

type violationReader struct {
	schema, value any
	loose         bool
	found         []Violation
}

// read collects the violations of an error and its causes. An alternative that fails may hold once expressions are
// evaluated, so errors about a value that contains one are left out, unless they are about the names of its fields.
func (v *violationReader) read(failure *jsonschema.ValidationError) {
	if len(v.found) >= maxViolations {
		return
	}
	at := v.at(failure.InstanceLocation)
	open := v.hasExpression(at)
	switch k := failure.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not:
		if !open {
			v.add(failure, CodeValue, "matches none of the forms that are allowed")
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties[:min(len(k.Properties), maxViolations)] {
			hint := DidYouMean(name, v.properties(failure.InstanceLocation))
			if hint == "" {
				hint = expected(v.properties(failure.InstanceLocation))
			}
			v.found = append(v.found, Violation{pointerOf(append(slices.Clone(failure.InstanceLocation), name)), CodeUnknownField,
				fmt.Sprintf("unknown field %.60q%s", name, hint)})
		}
	case *kind.Required:
		for _, name := range k.Missing[:min(len(k.Missing), maxViolations)] {
			described := v.describe(append(slices.Clone(failure.InstanceLocation), name))
			v.add(failure, CodeMissing, fmt.Sprintf("the field %.60q is required%s", name, described))
		}
	default:
		if len(failure.Causes) > 0 {
			break
		}
		code, message := violationText(failure.ErrorKind)
		if !open {
			v.add(failure, code, message+v.describe(failure.InstanceLocation))
		}
	}
	if _, alternatives := failure.ErrorKind.(*kind.AnyOf); alternatives {
		return
	}
	if _, alternatives := failure.ErrorKind.(*kind.OneOf); alternatives {
		return
	}
	for _, cause := range failure.Causes {
		v.read(cause)
	}
}

func (v *violationReader) add(failure *jsonschema.ValidationError, code, message string) {
	v.found = append(v.found, Violation{pointerOf(failure.InstanceLocation), code, message})
}

// violationText describes the error of one keyword.
func violationText(failure jsonschema.ErrorKind) (code, message string) {
	switch k := failure.(type) {
	case *kind.Type:
		return CodeType, "must be of type " + strings.Join(k.Want, " or ")
	case *kind.Enum:
		allowed := make([]string, len(k.Want))
		for i, value := range k.Want {
			allowed[i] = Text(value)
		}
		return CodeValue, "must be one of " + Cut(strings.Join(allowed, ", "), 300) + DidYouMean(Text(k.Got), allowed)
	case *kind.Const:
		return CodeValue, "must be " + Cut(Text(k.Want), 100)
	case *kind.Pattern:
		return CodeValue, "must match the pattern " + Cut(k.Want, 100)
	case *kind.Format:
		return CodeValue, "must have the format " + k.Want
	case *kind.MinLength:
		return CodeValue, fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return CodeValue, fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.MinItems:
		return CodeValue, fmt.Sprintf("must have at least %d items", k.Want)
	case *kind.MaxItems:
		return CodeValue, fmt.Sprintf("must have at most %d items", k.Want)
	case *kind.MinProperties:
		return CodeMissing, fmt.Sprintf("must have at least %d fields", k.Want)
	case *kind.MaxProperties:
		return CodeValue, fmt.Sprintf("must have at most %d fields", k.Want)
	case *kind.Minimum:
		return CodeValue, "must be at least " + k.Want.RatString()
	case *kind.Maximum:
		return CodeValue, "must be at most " + k.Want.RatString()
	}
	return CodeValue, "is not allowed by the keyword " + strings.Join(failure.KeywordPath(), "/") + " of the schema"
}

// describe is the description that the schema gives a property, in parentheses; empty if it gives none where it is looked
// for.
func (v *violationReader) describe(location []string) string {
	schema, _ := v.schemaAt(location)["description"].(string)
	if schema == "" {
		return ""
	}
	return " (" + Cut(strings.Join(strings.Fields(schema), " "), 160) + ")"
}

// properties are the names of the properties that the schema declares for the object at a location.
func (v *violationReader) properties(location []string) []string {
	declared, _ := v.schemaAt(location)["properties"].(map[string]any)
	return slices.Collect(maps.Keys(declared))
}

// schemaAt is the part of the schema for a location, as far as properties and items lead to it.
func (v *violationReader) schemaAt(location []string) map[string]any {
	schema, _ := v.schema.(map[string]any)
	for _, token := range location {
		properties, _ := schema["properties"].(map[string]any)
		next, known := properties[token].(map[string]any)
		if !known {
			next, _ = schema["items"].(map[string]any)
		}
		schema = next
	}
	return schema
}

func (v *violationReader) at(location []string) any { return valueAtTokens(v.value, location) }

// hasExpression reports whether a value is or contains an expression.
func (v *violationReader) hasExpression(value any) bool {
	switch value := value.(type) {
	case string:
		return v.loose || IsExpression(value)
	case map[string]any:
		for _, item := range value {
			if v.hasExpression(item) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(value, v.hasExpression)
	}
	return false
}

func pointerOf(location []string) string {
	var out strings.Builder
	for _, token := range location {
		out.WriteString("/" + escapeToken(token))
	}
	return out.String()
}
