//go:build torture

package e2e_test

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// mutate returns a copy of a JSON value that is changed in one place.
func (s *fuzzer) mutate(tree any) any {
	switch v := tree.(type) {
	case map[string]any:
		names, mutated := slices.Sorted(maps.Keys(v)), maps.Clone(v)
		switch n := s.rnd.IntN(6); {
		case n == 0:
			mutated[s.text(1, 8)] = s.oddValue()
		case len(names) == 0:
		case n == 1:
			delete(mutated, names[s.rnd.IntN(len(names))])
		default:
			name := names[s.rnd.IntN(len(names))]
			mutated[name] = s.mutate(v[name])
		}
		return mutated
	case []any:
		if len(v) > 0 && s.rnd.IntN(2) == 0 {
			mutated := slices.Clone(v)
			i := s.rnd.IntN(len(v))
			mutated[i] = s.mutate(v[i])
			return mutated
		}
	}
	return s.oddValue()
}

// oddValue returns a value that clients rarely send.
func (s *fuzzer) oddValue() any {
	odd := []any{
		nil, "", " ", true, -1, 0, 1.5, 1e300, int64(1) << 62, []any{}, map[string]any{}, []any{nil}, "null", "../..", "a\x00b", "\u202e\ufeff", "' OR 1=1 --",
		"${ error }", "weft.v1.>", strings.Repeat("ä", 3000), strings.Repeat("[", 200), "2026-02-30T25:61:00Z", "9999-12-31T23:59:59Z", "00000000-0000-0000-0000-000000000000",
		uuid.NewString(), "*", "a/b", "%2e%2e", map[string]any{"$ref": "#"}, []any{[]any{[]any{[]any{}}}}, "-9223372036854775809",
	}
	return odd[s.rnd.IntN(len(odd))]
}

// definitions has workflows that complete, wait, fail, run on a schedule, listen for events and request approval, and an invalid
// one.
var definitions = []string{
	threeEchoes,
	strings.Replace(threeEchoes, "  - a:", "  - rest: {wait: {minutes: 5}}\n  - a:", 1),
	strings.Replace(threeEchoes, "{call: echo, with: {n: 1}}", "{raise: {error: {type: 'https://example.com/broken', status: 400, title: broken}}}", 1),
	strings.Replace(threeEchoes, "do:", "schedule: {every: {hours: 1}}\ndo:", 1),
	strings.Replace(threeEchoes, "{call: echo, with: {n: 1}}", "{listen: {to: {one: {with: {type: com.example.a}}}}}", 1),
	strings.Replace(threeEchoes, "{call: echo, with: {n: 1}}", "{call: 'approval.request', with: {title: Well}}", 1),
	"document: {}",
}

// value generates a value that a schema allows. name is the name of the field or parameter.
func (s *fuzzer) value(name string, schema map[string]any, depth int) any {
	if name == "definition" {
		return strings.Replace(definitions[s.rnd.IntN(len(definitions))], "name: echo", "name: w-"+uuid.NewString()[:6], 1)
	}
	if known := s.known[name]; len(known) > 0 && s.rnd.IntN(10) > 0 {
		return known[s.rnd.IntN(len(known))]
	}
	if known := s.known["next_"+name]; len(known) > 0 && s.rnd.IntN(2) > 0 {
		return known[s.rnd.IntN(len(known))]
	}
	if all, ok := schema["enum"].([]any); ok {
		return all[s.rnd.IntN(len(all))]
	}
	if fixed, ok := schema["const"]; ok {
		return fixed
	}
	for _, of := range []string{"oneOf", "anyOf"} {
		if all, ok := schema[of].([]any); ok {
			return s.value(name, s.resolve(all[s.rnd.IntN(len(all))]), depth)
		}
	}
	kind, _ := schema["type"].(string)
	if kinds, ok := schema["type"].([]any); ok {
		kind, _ = kinds[s.rnd.IntN(len(kinds))].(string)
	}
	number := func(keyword string, otherwise int) int {
		if n, ok := schema[keyword].(float64); ok {
			return int(n)
		}
		return otherwise
	}
	switch kind {
	case "string":
		return s.string(name, schema, number("minLength", 0), number("maxLength", 40))
	case "integer", "number":
		least := number("minimum", 0)
		return least + s.rnd.IntN(min(5, max(1, number("maximum", least+5)-least+1)))
	case "boolean":
		return s.rnd.IntN(2) == 0
	case "array":
		list := []any{}
		for range max(number("minItems", 0), s.rnd.IntN(min(3, number("maxItems", 3))+1)) {
			list = append(list, s.value(name, s.resolve(schema["items"]), depth+1))
		}
		return list
	case "null":
		return nil
	}
	return s.object(schema, depth)
}

// object generates an object. Optional properties are omitted below a depth of four.
func (s *fuzzer) object(schema map[string]any, depth int) any {
	object := map[string]any{}
	required, _ := schema["required"].([]any)
	properties, _ := schema["properties"].(map[string]any)
	for property, of := range properties {
		if slices.Contains(required, any(property)) || depth < 4 && s.rnd.IntN(2) == 0 {
			object[property] = s.value(property, s.resolve(of), depth+1)
		}
	}
	if properties == nil && s.rnd.IntN(2) == 0 {
		object[s.text(1, 5)] = s.text(0, 5)
	}
	return object
}

// string generates a string that a schema allows.
func (s *fuzzer) string(name string, schema map[string]any, least, most int) any {
	switch name {
	case "password":
		return password
	case "provider":
		return []string{"http", "github", "slack", "stripe", "trello"}[s.rnd.IntN(5)]
	}
	switch schema["format"] {
	case "uuid":
		return uuid.NewString()
	case "email":
		return uuid.NewString() + "@example.com"
	case "date-time":
		return time.Now().Add(time.Duration(s.rnd.IntN(2000)-1000) * time.Hour).UTC().Format(time.RFC3339)
	case "uri", "url":
		return "http://127.0.0.1:1/" + s.text(0, 5)
	}
	if example, ok := schema["example"]; ok {
		return example
	}
	if examples, ok := schema["examples"].([]any); ok && len(examples) > 0 {
		return examples[0]
	}
	return s.text(least, min(most, least+40))
}

// text generates a string of least to most characters.
func (s *fuzzer) text(least, most int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-_. ÄÖ≈"
	all := []rune(letters)
	text := make([]rune, least+s.rnd.IntN(max(1, most-least+1)))
	for i := range text {
		text[i] = all[s.rnd.IntN(len(all))]
	}
	return string(text)
}

// resolve follows $ref.
func (s *fuzzer) resolve(node any) map[string]any {
	object, _ := node.(map[string]any)
	reference, ok := object["$ref"].(string)
	if !ok {
		return object
	}
	var at any = s.doc
	for _, word := range strings.Split(strings.TrimPrefix(reference, "#/"), "/") {
		at = at.(map[string]any)[word]
	}
	return s.resolve(at)
}
