package language

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"github.com/dlclark/regexp2"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/weftmesh/weft/actors/budget"
)

// compile compiles an inline schema. It may refer to itself only.
func (s *Schema) compile() error {
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.UseLoader(noLoader{})
	compiler.UseRegexpEngine(compilePattern)
	const location = "weft:schema"
	if err := compiler.AddResource(location, schemaValue(s.Document)); err != nil {
		return fmt.Errorf("reading the schema: %w", err)
	}
	compiled, err := compiler.Compile(location)
	if err != nil {
		return fmt.Errorf("compiling the schema: %w", err)
	}
	s.compiled = compiled
	return nil
}

// Validate validates a value. A nil schema, and an external one that was not inlined, accept everything. The whole, which may be nil, is
// charged with what the validation takes; the error of one that exceeds it is an *Exhausted.
func (s *Schema) Validate(value any, _ *budget.Budget) error {
	if s == nil || s.compiled == nil {
		return nil
	}
	err := s.compiled.Validate(schemaValue(value))
	if err == nil {
		return nil
	}
	// The first line is the schema's location, which is internal.
	_, detail, found := strings.Cut(err.Error(), "\n")
	if !found {
		detail = err.Error()
	}
	return fmt.Errorf("the data does not match the schema: %s", strings.TrimSpace(strings.ReplaceAll(detail, "\n", ";")))
}

// noLoader rejects every external schema.
type noLoader struct{}

// Load implements jsonschema.URLLoader.
func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("a schema may not refer to %s", url)
}

// schemaValue converts numbers to the forms that the validator accepts.
func schemaValue(value any) any {
	switch value := value.(type) {
	case *big.Int:
		return json.Number(value.String())
	case map[string]any:
		out := make(map[string]any, len(value))
		for key, item := range value {
			out[key] = schemaValue(item)
		}
		return out
	case []any:
		out := make([]any, len(value))
		for i, item := range value {
			out[i] = schemaValue(item)
		}
		return out
	}
	return value
}

// ecmaPattern is a regular expression of JSON Schema, an ECMA-262 pattern with lookaheads that package regexp lacks.
type ecmaPattern regexp2.Regexp

func compilePattern(text string) (jsonschema.Regexp, error) {
	expression, err := regexp2.Compile(text, regexp2.ECMAScript)
	if err != nil {
		return nil, fmt.Errorf("compiling a pattern: %w", err)
	}
	expression.MatchTimeout = MaxTime
	return (*ecmaPattern)(expression), nil
}

// MatchString reports whether the pattern matches; false also if matching exceeds MaxTime.
func (m *ecmaPattern) MatchString(text string) bool {
	matched, err := (*regexp2.Regexp)(m).MatchString(text)
	return err == nil && matched
}

// String is the source of the pattern.
func (m *ecmaPattern) String() string { return (*regexp2.Regexp)(m).String() }
