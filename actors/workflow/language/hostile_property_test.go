package language

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/budget"
)

// hostileExpression composes expressions that grow, repeat and nest.
func hostileExpression(depth int) *rapid.Generator[string] {
	leaf := rapid.SampledFrom([]string{".", ".list", ".object", ".text", ".deep", ".number", "$context", "1e9", "[range(3000)]", `"x" * 5000`, "null", "{a: .}", "[.,.]", "now", "infinite", "nan"})
	if depth == 0 {
		return leaf
	}
	unary := []string{"sort", "unique", "group_by(.)", "min_by(.)", "tojson", "tojson | fromjson", "flatten", "keys", "to_entries", "add", "reverse", "transpose", "explode", "implode",
		"@base64", "@uri", "@sh", "@csv", "paths", "[paths]", "[..]", "tostream", "[.[]?]", "length", "tostring", "ascii_downcase", "walk(.)", "map(.)", "del(.[0])", "del(..)", "with_entries(.)",
		"error", "first(.[]?)", "combinations", "any", "from_entries", "ltrimstr(\"x\")", "[match(\"x?\"; \"g\")]", "gsub(\"x\"; \"yy\")", "test(\"(a|b|x)*y\")", "split(\"x\")", "[splits(\"x*\")]", "[limit(9; repeat(.))]",
		"indices(\"x\")", "indices([1])", "inside([1,2])", "getpath([\"a\", 0])", "tonumber", "strptime(\"%Y\")", "strftime(\"%999Y\")", "@base64d", "-.", "any(. > 1)", ".[1:]", ".[:-1]", ".[0]", ".a?", "splits(\"a\")"}
	return rapid.Custom(func(t *rapid.T) string {
		one := hostileExpression(depth-1).Draw(t, "one")
		switch rapid.IntRange(0, 9).Draw(t, "form") {
		case 0:
			return fmt.Sprintf("reduce range(%d) as $i (%s; %s)", rapid.SampledFrom([]int{3, 60, 100000}).Draw(t, "times"), one, hostileExpression(depth-1).Draw(t, "other"))
		case 1:
			return "[range(1000000) as $i | " + one + "]"
		case 2:
			return "(try (" + one + ") catch (" + hostileExpression(depth-1).Draw(t, "other") + "))"
		case 3:
			return "def f: (" + one + ") | f; f"
		case 4:
			return "(" + one + ") as $v | [range(10000) | $v | " + rapid.SampledFrom(unary).Draw(t, "function") + "]"
		case 5:
			operator := rapid.SampledFrom([]string{"+", "-", "*", "/", "%", "==", "<", ",", "//", "|="}).Draw(t, "operator")
			return "((" + one + ") " + operator + " (" + hostileExpression(depth-1).Draw(t, "other") + "))"
		case 6:
			return "(" + one + ") | .[" + rapid.SampledFrom([]string{"0", "99999", "1e9", "-1", `"a"`, "2:4", "$context"}).Draw(t, "index") + "] = (" + hostileExpression(depth-1).Draw(t, "other") + ")"
		}
		return "(" + one + ") | " + rapid.SampledFrom(unary).Draw(t, "function")
	})
}

// TestComposedExpressionsStayWithinTheirBudget: whatever is composed of hostile parts ends by its steps or bytes, or with a result.
func TestComposedExpressionsStayWithinTheirBudget(t *testing.T) {
	t.Parallel()
	list, object := make([]any, 2000), map[string]any{}
	for i := range list {
		list[i] = i % 97
		object[fmt.Sprintf("k%d", i)] = []any{i}
	}
	var deep any = 1
	for range 40 {
		deep = []any{deep, deep}
	}
	input := map[string]any{"list": list, "object": object, "text": strings.Repeat("xyz ", 20_000), "deep": deep, "number": 12.5, "a": []any{1, 2}}
	scope := Scope{Values: map[string]any{"context": input}}
	limit := budget.Limits{Steps: MaxSteps / 10, Bytes: MaxAllocation / 4}
	rapid.Check(t, func(t *rapid.T) {
		text := hostileExpression(3).Draw(t, "expression")
		scope := scope
		scope.Budget = budget.New(limit)
		_, err := (&Workflow{}).Evaluate(text, input, scope)
		if errors.Is(err, budget.ErrTime) {
			t.Fatalf("%s: %v after %d steps", text, err, scope.Budget.Steps())
		}
		if scope.Budget.Steps() > limit.Steps+1 || scope.Budget.Bytes() > limit.Bytes+1 {
			t.Fatalf("%s: took %d steps and %d bytes", text, scope.Budget.Steps(), scope.Budget.Bytes())
		}
	})
}

// hostileSchema composes schemas whose keywords multiply the work of one another.
func hostileSchema(depth int) *rapid.Generator[any] {
	leaf := rapid.SampledFrom([]any{true, false, map[string]any{"type": "string"}, map[string]any{"minimum": 3}, map[string]any{"items": map[string]any{"$ref": "#"}}, map[string]any{"$ref": "#/$defs/d"}, map[string]any{"additionalProperties": map[string]any{"$ref": "#/$defs/d"}}, map[string]any{"uniqueItems": true},
		map[string]any{"pattern": "(x+x+)+y"}, map[string]any{"pattern": "^(?=x)x"}, map[string]any{"enum": []any{1, 2.5, "x", []any{1}}}, map[string]any{"multipleOf": 1e-300}, map[string]any{"items": map[string]any{"$dynamicRef": "#n"}}})
	if depth == 0 {
		return leaf
	}
	return rapid.Custom(func(t *rapid.T) any {
		one, other := hostileSchema(depth-1).Draw(t, "one"), hostileSchema(depth-1).Draw(t, "other")
		switch keyword := rapid.SampledFrom([]string{"allOf", "anyOf", "oneOf", "not", "items", "contains", "properties", "patternProperties", "dependentSchemas", "if", "unevaluatedItems", "propertyNames", "leaf"}).Draw(t, "keyword"); keyword {
		case "allOf", "anyOf", "oneOf":
			return map[string]any{keyword: []any{one, other, one}}
		case "not", "items", "contains", "propertyNames":
			return map[string]any{keyword: one, "minItems": 1}
		case "properties", "dependentSchemas":
			return map[string]any{keyword: map[string]any{"a": one, "k1": other}, "additionalProperties": other}
		case "patternProperties":
			return map[string]any{keyword: map[string]any{"^k": one, "^(?!z)": other}}
		case "if":
			return map[string]any{"if": one, "then": other, "else": one}
		case "unevaluatedItems":
			return map[string]any{"allOf": []any{one}, "unevaluatedItems": other, "unevaluatedProperties": one}
		}
		return leaf.Draw(t, "leaf")
	})
}

// TestComposedSchemasStayWithinTheirBudget is the same for schemas.
func TestComposedSchemasStayWithinTheirBudget(t *testing.T) {
	t.Parallel()
	object := map[string]any{"a": []any{}}
	for i := range 200 {
		object[fmt.Sprintf("k%d", i)] = i
	}
	var deep any = []any{1, "x"}
	for range 20 {
		deep = []any{deep, map[string]any{"a": 1}, "xxxxxxxxxxxxxxxxxxxxxxxxxx"}
	}
	values := []any{deep, object, strings.Repeat("x", 30), 7, []any{object, object, 1.5}}
	limit := budget.Limits{Steps: MaxSteps / 10, Bytes: MaxAllocation / 4}
	rapid.Check(t, func(t *rapid.T) {
		document := map[string]any{"$dynamicAnchor": "n", "allOf": []any{hostileSchema(3).Draw(t, "schema")}, "$defs": map[string]any{"d": hostileSchema(2).Draw(t, "definition")}}
		s, err := NewSchema(document)
		if err != nil && strings.Contains(err.Error(), "applies itself") {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", Canonical(document), err)
		}
		for _, value := range values {
			whole := budget.New(limit)
			err := s.Validate(value, whole)
			if errors.Is(err, budget.ErrTime) || whole.Steps() > limit.Steps+1 || whole.Bytes() > limit.Bytes+1 || err != nil && len(err.Error()) > 10<<10 {
				t.Fatalf("%s: %.500v after %d steps and %d bytes", Canonical(document), err, whole.Steps(), whole.Bytes())
			}
		}
	})
}
