package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/schema"
)

func decode(t testing.TB, text string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%.200s: %v", text, err)
	}
	return value
}

// doubling is a schema whose subschemas each apply the next one twice by a keyword, with a leaf.
func doubling(levels int, format, leaf string) string {
	var definitions strings.Builder
	for i := range levels {
		fmt.Fprintf(&definitions, `"d%d":%s,`, i, strings.ReplaceAll(format, "NEXT", fmt.Sprintf("#/$defs/d%d", i+1)))
	}
	return fmt.Sprintf(`{"$ref":"#/$defs/d0","$defs":{%s"d%d":%s}}`, definitions.String(), levels, leaf)
}

// nested is a list of a depth.
func nested(depth int, leaf string) string {
	return strings.Repeat("[", depth) + leaf + strings.Repeat("]", depth)
}

func list(n int, format string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = strings.ReplaceAll(format, "N", fmt.Sprint(i))
	}
	return "[" + strings.Join(items, ",") + "]"
}

// TestSchemasThatDoubleAreRefused: the work and the memory of a validation are bounded by counting, whichever keyword multiplies it, and
// whether the leaf matches or not.
func TestSchemasThatDoubleAreRefused(t *testing.T) {
	t.Parallel()
	numbers, objects := list(100_000, "N"), list(3_000, `{"a":{"b":[N,1,2,3]}}`)
	never, always := `{"type":"string"}`, `{"type":"array"}`
	for name, test := range map[string]struct{ schema, value string }{
		"allOf":                 {doubling(45, `{"allOf":[{"$ref":"NEXT"},{"$ref":"NEXT"}]}`, always), `[]`},
		"anyOf that fails":      {doubling(45, `{"anyOf":[{"$ref":"NEXT"},{"$ref":"NEXT"}]}`, never), `[]`},
		"oneOf that fails":      {doubling(45, `{"oneOf":[{"$ref":"NEXT"},{"$ref":"NEXT"}]}`, never), `[]`},
		"anyOf in not":          {strings.Replace(doubling(45, `{"anyOf":[{"$ref":"NEXT"},{"$ref":"NEXT"}]}`, never), `{"$ref":"#/$defs/d0"`, `{"not":{"$ref":"#/$defs/d0"}`, 1), `[]`},
		"not":                   {doubling(45, `{"not":{"$ref":"NEXT"},"if":{"$ref":"NEXT"}}`, always), `[]`},
		"if and then":           {doubling(45, `{"if":{"$ref":"NEXT"},"then":{"$ref":"NEXT"}}`, always), `[]`},
		"dependentSchemas":      {doubling(45, `{"dependentSchemas":{"a":{"$ref":"NEXT"},"b":{"$ref":"NEXT"}}}`, `{"type":"object"}`), `{"a":1,"b":1}`},
		"dependencies in not":   {`{"$schema":"http://json-schema.org/draft-07/schema#","not":{"$ref":"#/definitions/d0"},"definitions":` + draft7(45) + `}`, `{"a":1,"b":1}`},
		"patternProperties":     {doubling(45, `{"patternProperties":{"a":{"$ref":"NEXT"},"a|b":{"$ref":"NEXT"}}}`, never), strings.Repeat(`{"a":`, 45) + "1" + strings.Repeat("}", 45)},
		"contains and items":    {doubling(45, `{"contains":{"$ref":"NEXT"},"items":{"$ref":"NEXT"}}`, never), nested(45, "1")},
		"unevaluatedItems":      {doubling(45, `{"allOf":[{"$ref":"NEXT"},{"$ref":"NEXT"}],"unevaluatedItems":true}`, always), `[1,2,3]`},
		"dynamicRef":            {`{"$dynamicAnchor":"n","type":"array","allOf":[{"items":{"$dynamicRef":"#n"}},{"items":{"$dynamicRef":"#n"}}]}`, nested(100, "")},
		"recursion":             {`{"items":{"anyOf":[{"$ref":"#"},{"$ref":"#","minItems":9}]},"maxItems":0}`, nested(100, "1")},
		"enum of numbers":       {`{"items":{"items":{"enum":` + list(2_000, "N.5") + `}}}`, list(300, list(10, "N"))},
		"enum of objects":       {`{"items":{"enum":` + list(300, `{"a":[1,2,3],"b":N}`) + `}}`, list(3_000, `{"a":[1,2,3],"b":-N}`)},
		"const":                 {`{"items":{"const":` + list(2_000, "1") + `}}`, list(100, list(2_000, "1"))},
		"unique items twenty":   {`{"allOf":` + list(30, `{"items":{"uniqueItems":true},"minItems":N}`) + `}`, list(2_000, list(20, "N"))},
		"unique objects":        {`{"allOf":` + list(60, `{"uniqueItems":true,"minItems":N}`) + `}`, objects},
		"many bounds":           {`{"allOf":` + list(100, `{"items":{"minimum":-N,"maximum":1e9,"multipleOf":1}}`) + `}`, numbers},
		"property names":        {`{"allOf":` + list(100, `{"propertyNames":{"minLength":N}}`) + `}`, object(20_000)},
		"patterns of names":     {`{"patternProperties":{` + patterns(200) + `}}`, object(20_000)},
		"pattern":               {`{"allOf":` + list(50, `{"items":{"pattern":"(x+x+)+z?|y{N}"}}`) + `}`, list(3_000, `"`+strings.Repeat("x", 200)+`"`)},
		"unevaluatedProperties": {`{"allOf":` + list(60, `{"properties":{"kN":true},"unevaluatedProperties":true}`) + `}`, object(20_000)},
	} {
		s, err := schema.Compile(decode(t, test.schema), schema.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		value := decode(t, test.value)
		whole := budget.New(budget.Limits{Steps: 300_000, Bytes: 16 << 20})
		_, err = s.Check(value, whole)
		if !errors.Is(err, budget.ErrSteps) && !errors.Is(err, budget.ErrBytes) {
			t.Errorf("%s: %v after %d steps and %d bytes", name, err, whole.Steps(), whole.Bytes())
		}
		var exhausted *schema.Exhausted
		if !errors.As(err, &exhausted) {
			t.Errorf("%s: %v is not *Exhausted", name, err)
		}
	}
}

func draft7(levels int) string {
	var out strings.Builder
	out.WriteString("{")
	for i := range levels {
		fmt.Fprintf(&out, `"d%d":{"dependencies":{"a":{"$ref":"#/definitions/d%d"},"b":{"$ref":"#/definitions/d%d"}}},`, i, i+1, i+1)
	}
	fmt.Fprintf(&out, `"d%d":{"type":"object"}}`, levels)
	return out.String()
}

func object(n int) string {
	fields := make([]string, n)
	for i := range fields {
		fields[i] = fmt.Sprintf(`"k%d":%d`, i, i)
	}
	return "{" + strings.Join(fields, ",") + "}"
}

func patterns(n int) string {
	fields := make([]string, n)
	for i := range fields {
		fields[i] = fmt.Sprintf(`"^(?!x)k.*%d$":true`, i)
	}
	return strings.Join(fields, ",")
}

// TestReasonsAreBounded: the verdict is that of the whole validation, and the text is short, however many errors there are.
func TestReasonsAreBounded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ schema, value string }{
		"allOf that multiplies": {doubling(45, `{"allOf":[{"$ref":"NEXT"},{"$ref":"NEXT"}]}`, `{"type":"string"}`), `[]`},
		"errors that multiply":  {doubling(14, `{"anyOf":[{"$ref":"NEXT"},{"$ref":"NEXT"}]}`, `{"type":"string"}`), `[]`},
		"many items":            {`{"items":{"type":"string"}}`, list(100_000, "N")},
		"many properties":       {`{"additionalProperties":false}`, object(20_000)},
		"long texts":            {`{"items":{"pattern":"^y"}}`, list(50, `"`+strings.Repeat("x", 10_000)+`"`)},
		"long enums":            {`{"items":{"enum":` + list(500, `"valueN"`) + `}}`, `["x"]`},
	} {
		s, err := schema.Compile(decode(t, test.schema), schema.Options{})
		if err != nil {
			t.Fatal(err)
		}
		failure, err := s.Check(decode(t, test.value), nil)
		if err != nil || failure == nil {
			t.Errorf("%s: %v, %v", name, failure, err)
			continue
		}
		if text := failure.Text(); len(text) == 0 || len(text) > 8<<10 {
			t.Errorf("%s: a text of %d bytes: %.300s", name, len(text), text)
		}
	}
}

// TestLargeSchemasAreRefused: compiling takes a moment, whatever the document.
func TestLargeSchemasAreRefused(t *testing.T) {
	t.Parallel()
	chain := strings.Repeat(`{"allOf":[`, 2_000) + "true" + strings.Repeat("]}", 2_000)
	for name, text := range map[string]string{
		"many subschemas": `{"anyOf":` + list(4_000, `{"minimum":N}`) + `}`,
		"many values":     `{"enum":` + list(60_000, "N") + `}`, "deep": chain, "large pattern": `{"pattern":"` + strings.Repeat("a", 10_000) + `"}`,
	} {
		started := time.Now()
		_, err := schema.Compile(decode(t, text), schema.Options{})
		if err == nil {
			t.Errorf("%s compiles", name)
		}
		t.Logf("%s: %s, %.100v", name, time.Since(started), err)
	}
}

// TestDeepValidationsAreRefused: a validation recurses by the chain of subschemas that apply to one value, times the depth of the value.
func TestDeepValidationsAreRefused(t *testing.T) {
	t.Parallel()
	definitions := map[string]any{}
	for i := range 450 {
		definitions[fmt.Sprintf("d%d", i)] = map[string]any{"allOf": []any{map[string]any{"$ref": fmt.Sprintf("#/$defs/d%d", i+1)}}}
	}
	definitions["d450"] = map[string]any{"items": map[string]any{"$ref": "#/$defs/d0"}}
	s, err := schema.Compile(map[string]any{"$ref": "#/$defs/d0", "$defs": maps.Clone(definitions)}, schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Check(decode(t, nested(3, "")), nil); err != nil {
		t.Errorf("a flat value: %v", err)
	}
	if _, err := s.Check(decode(t, nested(100, "")), nil); !errors.Is(err, schema.ErrDepth) {
		t.Errorf("a deep value: %v", err)
	}
}

// TestSlowPatternsHaveNoVerdict: a match that exceeds its bound is an error.
func TestSlowPatternsHaveNoVerdict(t *testing.T) {
	t.Parallel()
	s, err := schema.Compile(decode(t, `{"pattern":"^(x+x+)+(?=y)"}`), schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	whole := budget.New(budget.Limits{Time: 50 * time.Millisecond})
	if failure, err := s.Check(strings.Repeat("x", 60), whole); !errors.Is(err, budget.ErrTime) {
		t.Errorf("%v, %v; want %v", failure, err, budget.ErrTime)
	}
	if _, err := s.Check(strings.Repeat("x", 100_000), nil); !errors.Is(err, budget.ErrBytes) {
		t.Errorf("a long text: %v", err)
	}
}
