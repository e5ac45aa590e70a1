package manifest_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// TestMisspelledFieldsAreFaults: an expression that refers to a field which its input or the settings do not have is a fault, wherever
// expressions stand; one whose . is something else is not.
func TestMisspelledFieldsAreFaults(t *testing.T) {
	t.Parallel()
	const settings = "settings: {type: object, additionalProperties: false, properties: {region: {type: string}}}\nauth:"
	for place, text := range map[string]string{
		"query": "query: {a: '%s'}", "headers": "headers: {X-A: '%s'}", "body/json/a/0": "body: {json: {a: ['%s']}}", "output": "output: '%s'",
		"success": "success: '%s'", "errors/message": "errors: {message: '%s'}", "errors/rules/0/when": "errors: {rules: [{class: invalid, when: '%s'}]}",
		"pagination/next": "pagination: {cursor: id, next: '%s'}", "body/form/a": "body: {form: {a: '%s'}}", "body/raw": "body: {raw: '%s'}",
		"body/multipart/a/text": "body: {multipart: {a: {text: '%s'}}}", "before/0/path": "before: [{id: s, method: GET, path: '%s'}]",
		"body/graphql/variables/a": "body: {graphql: {query: q, variables: {a: '%s'}}}",
	} {
		for expression, want := range map[string]string{
			"${ .input.coutnry }": "the input has no field coutnry", "${ .input.id }": "", "${ .settings.regoin }": "the settings has no field regoin",
			"${ .settings.region }": "", "x-${ .input.id }": "an expression must be the whole value", "${ .input.id } ": "an expression must be the whole value",
			"${ .input.id": "an expression must be the whole value",
		} {
			if strings.HasPrefix(place, "success") || strings.HasPrefix(place, "errors") || strings.HasPrefix(place, "pagination") {
				if strings.HasPrefix(want, "an expression") {
					continue // the schema requires an expression there
				}
			}
			_, err := manifest.Load([]byte(changed(t, "auth:", settings, "safety: read", "safety: read\n    "+strings.Replace(text, "%s", expression, 1))))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if want == "" && got != "" || !strings.Contains(got, want) || want != "" && !strings.Contains(got, place) {
				t.Errorf("%s in %s: got %q, want %q", expression, place, got, want)
			}
		}
	}
	for expression, faulty := range map[string]bool{
		"${ .input | {id, nmae} }": true, "${ .input | {id} }": false, "${ .input | del(.idd) }": true, `${ .input["idd"] }`: true, "${ .input.idd? // 1 }": true,
		"${ if .input.idd then 1 else 2 end }": true, `${ "a\(.input.idd)" }`: true, "${ [.input.idd] }": true, "${ {a: .input.idd} }": true,
		"${ .input.id as $x | .input.idd }": true, "${ select(.input.idd) }": true, "${ .input | select(.id) | .idd }": true, "${ try .input.idd }": true,
		"${ -.input.idd }": true, "${ .input.id + .input.idd }": true, "${ .input.id, .input.idd }": true, "${ (.input).idd }": true,
		"${ .input.id | .idd }": false, "${ .input[\"id\"] }": false, "${ .input.list[]? | .idd }": true, "${ .input | map(.idd) }": false, "${ .input | with_entries(.value) }": false,
		"${ .input as $i | $i.id }": false, "${ .input.id.deep }": false, "${ def f: .input.idd; 1 }": false, "${ .body.input.idd }": false,
	} {
		_, err := manifest.Load([]byte(changed(t, "safety: read", "safety: read\n    output: '"+expression+"'")))
		if (err != nil) != faulty {
			t.Errorf("%s: got %v", expression, err)
		}
	}
	if _, err := manifest.Load([]byte(changed(t, "safety: read", "safety: read\n    body: {json: {\"${ .input.id }\": 1}}"))); err == nil || !strings.Contains(err.Error(), "is not evaluated") {
		t.Errorf("an expression as a key: %v", err)
	}
	open := changed(t, "id: {type: string}", "id: {type: string}\n      additionalProperties: true", "safety: read", "safety: read\n    output: '${ .input.any }'")
	if _, err := manifest.Load([]byte(open)); err != nil {
		t.Errorf("an input with other fields: %v", err)
	}
}

// TestNumbersThatMayBeTextAreFaults: a value that YAML reads as another number than is written is a fault.
func TestNumbersThatMayBeTextAreFaults(t *testing.T) {
	t.Parallel()
	for value, faulty := range map[string]bool{
		"1.10": true, "0123": true, "2022_06": true, "0x1F": true, "0o17": true, "+5": true, "1_000": true, "1e3": true, ".5": true, "1.0": true, "12345678901234567890123": true,
		"-0": true, "0b11": true, "1.": true, "1.5": false, "7": false, "-7": false, "0": false, "0.25": false, `"1.10"`: false, "'0123'": false,
		"2026-07": false, "2026-07-01": false, "1.2.3": false, "12:30": false, "yes": false,
	} {
		for _, place := range []string{"query: {v: %s}", "headers: {X-Version: %s}", "body: {json: {a: [%s]}}", "body: {form: {v: %s}}"} {
			_, err := manifest.Load([]byte(changed(t, "safety: read", "safety: read\n    "+strings.Replace(place, "%s", value, 1))))
			if (err != nil) != faulty || faulty && !strings.Contains(err.Error(), "is read as the number") {
				t.Errorf("%s as %s: got %v", place, value, err)
			}
		}
	}
}
