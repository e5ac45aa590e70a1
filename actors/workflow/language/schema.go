package language

import (
	"errors"
	"fmt"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/schema"
)

// compile compiles an inline schema. It may refer to itself only.
func (s *Schema) compile() error {
	compiled, err := schema.Compile(s.Document, schema.Options{})
	if err != nil {
		return err //nolint:wrapcheck // the text is for the definition's author
	}
	s.compiled = compiled
	return nil
}

// compileSchema compiles a schema of the definition, unless its schemas are too large together.
func (r *reader) compileSchema(f field, s *Schema) {
	before := r.schemaObjects
	if r.schemaObjects += schema.Objects(s.Document); r.schemaObjects > MaxSchemaObjects {
		if before <= MaxSchemaObjects {
			f.fault(CodeTooLarge, fmt.Sprintf("the schemas of the definition have more than %d objects", MaxSchemaObjects))
		}
		return
	}
	if err := s.compile(); err != nil {
		f.fault(CodeValue, err.Error())
	}
}

// Validate validates a value. A nil schema, and an external one that was not inlined, accept everything. The whole, which may be nil, is
// charged with what the validation takes. One that exceeds a bound has no verdict: its error wraps budget.ErrSteps, budget.ErrBytes or
// budget.ErrTime.
func (s *Schema) Validate(value any, whole *budget.Budget) error {
	if s == nil || s.compiled == nil {
		return nil
	}
	failure, err := s.compiled.Check(value, whole)
	var exhausted *schema.Exhausted
	switch {
	case errors.As(err, &exhausted):
		return &Exhausted{Text: exhausted.Text, Bound: exhausted.Bound}
	case err != nil:
		return fmt.Errorf("validating the data: %w", err)
	case failure != nil:
		return errors.New("the data does not match the schema: " + failure.Text())
	}
	return nil
}
