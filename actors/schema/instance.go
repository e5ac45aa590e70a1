package schema

import (
	"errors"
	"fmt"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/weftmesh/weft/actors/pattern"
)

// instance is a compiled schema with its meter. It serves one validation at a time.
type instance struct {
	meter *meter
	// full collects the reasons of a failure; verdict only tells whether there is one.
	full, verdict *jsonschema.Schema
	// chain is how many subschemas can apply to one value by way of each other.
	chain int
}

// The locations of the schemas. The compiler does not validate schemas below json-schema.org.
const (
	location        = "weft:schema"
	trustedLocation = "https://json-schema.org/weft"
	verdictLocation = "https://json-schema.org/weft-verdict"
)

func newInstance(document any, options Options) (made *instance, err error) {
	defer func() {
		if r := recover(); r != nil {
			made, err = nil, fmt.Errorf("compiling the schema: %v", r)
		}
	}()
	m := &meter{patterns: map[string]*counted{}, compile: options.Pattern}
	if m.compile == nil {
		m.compile = pattern.CompileECMA
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.UseLoader(noLoader{})
	compiler.UseRegexpEngine(m.pattern)
	compiler.RegisterVocabulary(&jsonschema.Vocabulary{URL: "weft:meter", Compile: m.collect})
	compiler.AssertVocabs()
	if options.AssertFormat {
		compiler.AssertFormat()
	}
	at := location
	if options.Trusted {
		at = trustedLocation
	}
	if err := compiler.AddResource(at, accepted(document)); err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	full, err := compiler.Compile(at)
	if err != nil {
		return nil, compileError(err)
	}
	if err := compiler.AddResource(verdictLocation, map[string]any{"not": map[string]any{"$ref": at}}); err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	verdict, err := compiler.Compile(verdictLocation)
	if err != nil {
		return nil, fmt.Errorf("compiling the schema: %w", err)
	}
	chain, err := longestChain(m.schemas)
	if err != nil {
		return nil, err
	}
	m.attach()
	return &instance{meter: m, full: full, verdict: verdict, chain: chain}, nil
}

// compileError is the error of a schema, with a text of bounded length.
func compileError(err error) error {
	var invalid *jsonschema.SchemaValidationError
	var reasons *jsonschema.ValidationError
	if errors.As(err, &invalid) && errors.As(invalid.Err, &reasons) {
		return errors.New("the schema is not a JSON Schema: " + (&Failure{Reasons: reasons}).Text())
	}
	return errors.New("compiling the schema: " + Cut(err.Error(), maxReasonText))
}

// noLoader rejects every external schema.
type noLoader struct{}

// Load implements jsonschema.URLLoader.
func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("external references are not supported: a schema may not refer to %s", url)
}

// checked is a value that does not match, in the form that the validator accepts.
type checked struct{ value any }

// check returns a value that does not match, nil for one that does.
func (i *instance) check(value any) (failed *checked, err error) {
	var w weight
	w.add(value, 0)
	if err := i.meter.part.Step(1 + w.nodes/8); err != nil {
		return nil, err //nolint:wrapcheck // explain has the words for it
	}
	switch {
	case w.depth > MaxDepth || i.chain*(w.depth+1) > MaxChain:
		return nil, ErrDepth
	case w.extreme:
		return nil, ErrNumber
	case w.over:
		return nil, i.meter.part.Allocate(1 << 50) //nolint:wrapcheck // explain has the words for it
	case w.big:
		if err := i.meter.part.Allocate(32*w.nodes + w.bytes); err != nil {
			return nil, err //nolint:wrapcheck // explain has the words for it
		}
		value = accepted(value)
	}
	i.meter.perError = 0
	excluded := i.apply(i.verdict, value) == nil
	if i.meter.err != nil || !excluded { // it matches what the verdict's schema excludes
		return nil, i.meter.err
	}
	i.meter.perError = 600 + 16*w.depth
	return &checked{value}, nil
}

// reasons are the errors of a value that does not match; nil if they are too many.
func (i *instance) reasons(value any) *jsonschema.ValidationError {
	var failed *jsonschema.ValidationError
	if errors.As(i.apply(i.full, value), &failed) && i.meter.err == nil {
		return failed
	}
	return nil
}

// apply applies a schema. The meter ends it by a panic, since the validator has no other way out.
func (i *instance) apply(s *jsonschema.Schema, value any) (err error) {
	i.meter.err = nil
	defer func() {
		switch r := recover().(type) {
		case nil:
		case aborted:
			i.meter.err = r.error
		default:
			i.meter.err = fmt.Errorf("the schema cannot be applied: %v", r)
		}
	}()
	return s.Validate(value) //nolint:wrapcheck // only whether there is one matters, and its causes
}
