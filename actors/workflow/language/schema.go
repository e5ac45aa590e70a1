package language

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"github.com/dlclark/regexp2"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// compile prepares an inline schema. A schema may refer to itself and to nothing outside.
func (s *Schema) compile() error {
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.UseLoader(closed{})
	compiler.UseRegexpEngine(pattern)
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

// Validate checks a value against the schema. A schema that was not compiled, since it is not inline, accepts all.
func (s *Schema) Validate(value any) error {
	if s == nil || s.compiled == nil {
		return nil
	}
	err := s.compiled.Validate(schemaValue(value))
	if err == nil {
		return nil
	}
	// The first line repeats the schema's location, which means nothing to a reader.
	_, detail, found := strings.Cut(err.Error(), "\n")
	if !found {
		detail = err.Error()
	}
	return fmt.Errorf("the data does not match the schema: %s", strings.TrimSpace(strings.ReplaceAll(detail, "\n", ";")))
}

// closed refuses to load anything.
type closed struct{}

// Load refuses.
func (closed) Load(url string) (any, error) {
	return nil, fmt.Errorf("a schema may not refer to %s", url)
}

// schemaValue renders numbers in the form that the validator takes.
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

// matcher is a pattern in the dialect of JSON Schema, which has lookaheads that Go's own lacks.
type matcher regexp2.Regexp

func pattern(text string) (jsonschema.Regexp, error) {
	expression, err := regexp2.Compile(text, regexp2.ECMAScript)
	if err != nil {
		return nil, fmt.Errorf("compiling a pattern: %w", err)
	}
	expression.MatchTimeout = MaxTime
	return (*matcher)(expression), nil
}

// MatchString tells whether the pattern matches; one that takes too long does not.
func (m *matcher) MatchString(text string) bool {
	matched, err := (*regexp2.Regexp)(m).MatchString(text)
	return err == nil && matched
}

// String is the pattern's text.
func (m *matcher) String() string { return (*regexp2.Regexp)(m).String() }
