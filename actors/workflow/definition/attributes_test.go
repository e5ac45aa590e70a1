package definition_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/subjects"
)

func TestAttributeFaults(t *testing.T) {
	t.Parallel()
	many := make([]string, 21)
	for i := range many {
		many[i] = fmt.Sprintf("a%d: x", i)
	}
	for attributes, want := range map[string]string{
		"[]": "/document/metadata/attributes " + language.CodeType, "text": "/document/metadata/attributes " + language.CodeType,
		"{1x: a}":                              "/document/metadata/attributes/1x " + language.CodeValue,
		"{a/b: x}":                             "/document/metadata/attributes/a~1b " + language.CodeValue,
		"{" + strings.Repeat("a", 64) + ": x}": "/document/metadata/attributes/" + strings.Repeat("a", 64) + " " + language.CodeValue,
		"{a: 1}":                               "/document/metadata/attributes/a " + language.CodeType,
		"{a: [x]}":                             "/document/metadata/attributes/a " + language.CodeType,
		"{a: '${ . | }'}":                      "/document/metadata/attributes/a " + language.CodeExpression,
		"{" + strings.Join(many, ", ") + "}":   "/document/metadata/attributes " + language.CodeTooLarge,
	} {
		w, faults := definition.Inspect([]byte(withMetadata("attributes: " + attributes)))
		if w != nil || len(faults) != 1 {
			t.Errorf("%.60s: faults %v", attributes, faults)
			continue
		}
		if got := faults[0].Pointer + " " + faults[0].Code; got != want || faults[0].Line != 1 || faults[0].Column < 90 {
			t.Errorf("%.60s: %s at %d:%d, want %s", attributes, got, faults[0].Line, faults[0].Column, want)
		}
	}
	parse(t, withMetadata("attributes: {"+strings.Join(many[:20], ", ")+"}"))
}

func TestAttributesOf(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, attributes, input, want string }{
		{"none declared", "{}", `{}`, ""},
		{"texts, numbers and booleans", "{b: '${ .n }', a: '${ .n > 1 }', c: eu}", `{"n": 1001}`, `{"a":"true","b":"1001","c":"eu"}`},
		{"a fraction", "{a: '${ .n }'}", `{"n": 1.50}`, `{"a":"1.5"}`},
		{"null, an object and a list", "{a: '${ .x }', b: '${ . }', c: '${ [.] }', d: '${ .n }'}", `{"n": 1}`, `{"d":"1"}`},
		{"an expression that fails", "{a: '${ .n | error }', b: '${ .n }'}", `{"n": 1}`, `{"b":"1"}`},
		{"nothing is left", "{a: '${ .x }'}", `{}`, ""},
		{"input that is not JSON", "{a: '${ .n }'}", `{`, ""},
		{"an input that is no object", "{a: '${ . }'}", `"order 7"`, `{"a":"order 7"}`},
		{"quotes", "{a: '${ .n }'}", `{"n": "a \"b\" \\"}`, `{"a":"a \"b\" \\"}`},
	} {
		if got := definition.AttributesOf(parse(t, withMetadata("attributes: "+test.attributes)), test.input); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	if got := definition.AttributesOf(parse(t, withTasks("- a: {set: {x: 1}}\n")), "{}"); got != "" {
		t.Errorf("without metadata: %s", got)
	}
}

// TestAttributesAreTruncated checks that a value keeps 200 bytes and is not cut inside a character.
func TestAttributesAreTruncated(t *testing.T) {
	t.Parallel()
	w := parse(t, withMetadata("attributes: {a: '${ . }'}"))
	for input, want := range map[string]string{
		strings.Repeat("x", 200): strings.Repeat("x", 200), strings.Repeat("x", 201): strings.Repeat("x", 200),
		strings.Repeat("x", 199) + "é": strings.Repeat("x", 199), strings.Repeat("x", 198) + "é": strings.Repeat("x", 198) + "é",
	} {
		got := definition.AttributesFrom(definition.AttributesOf(w, `"`+input+`"`))
		if got["a"] != want {
			t.Errorf("%d bytes give %q, want %d bytes", len(input), got["a"], len(want))
		}
	}
}

func TestAttributesFrom(t *testing.T) {
	t.Parallel()
	if got := definition.AttributesFrom(`{"a":"1","b":"x"}`); len(got) != 2 || got["a"] != "1" || got["b"] != "x" {
		t.Errorf("decoded %v", got)
	}
	for _, text := range []string{"", "{", `{"a":1}`} {
		if got := definition.AttributesFrom(text); got != nil {
			t.Errorf("%q gives %v, want none", text, got)
		}
	}
}

func TestAttributeFilter(t *testing.T) {
	t.Parallel()
	for filter, want := range map[string][2]string{
		"order:1001": {"order", "1001"}, "order:": {"order", ""}, "who:a:b": {"who", "a:b"}, "a_1: x": {"a_1", " x"},
	} {
		name, value, err := definition.AttributeFilter(filter)
		if err != nil || name != want[0] || value != want[1] {
			t.Errorf("%q: %q, %q, %v", filter, name, value, err)
		}
	}
	for _, filter := range []string{"", "order", ":1", "1a:x", "a b:x", "é:x"} {
		_, _, err := definition.AttributeFilter(filter)
		wantField(t, err, subjects.CodeInvalid, "attribute", "name:value")
	}
}
