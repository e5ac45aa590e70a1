package language

import (
	"strings"
	"testing"
)

func TestSchemaValidation(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ schema, value, want string }{
		{`{type: object, required: [id]}`, `{"id":1}`, ``},
		{`{type: object, required: [id]}`, `{}`, `missing property 'id'`},
		{`{type: object, properties: {n: {type: integer}}}`, `{"n":1}`, ``},
		{`{type: object, properties: {n: {type: integer}}}`, `{"n":1.5}`, `got number, want integer`},
		{`{type: object, properties: {n: {type: integer}}}`, `{"n":12345678901234567890}`, ``},
		{`{type: object, additionalProperties: false}`, `{"x":1}`, `additional properties 'x' not allowed`},
		{`{type: array, items: {type: string}, minItems: 1}`, `["a"]`, ``},
		{`{type: array, items: {type: string}, minItems: 1}`, `[]`, `minItems`},
		{`{type: array, items: {type: string}}`, `[1]`, `got number, want string`},
		{`{enum: [a, b]}`, `"c"`, `value must be one of`},
		{`{type: string, pattern: '^a+$'}`, `"aa"`, ``},
		{`{type: string, pattern: '^a+$'}`, `"ab"`, `does not match pattern`},
		{`{type: string, pattern: '^(?!x)'}`, `"ab"`, ``},
		{`{type: string, pattern: '^(?!x)'}`, `"xb"`, `does not match pattern`},
		{`{$defs: {node: {type: object, properties: {next: {$ref: '#/$defs/node'}}}}, $ref: '#/$defs/node'}`, `{"next":{"next":{}}}`, ``},
		{`{$defs: {node: {type: object, properties: {next: {$ref: '#/$defs/node'}}}}, $ref: '#/$defs/node'}`, `{"next":{"next":1}}`, `got number, want object`},
		{`{oneOf: [{type: string}, {type: number}]}`, `true`, `oneOf`},
		{`{type: 'null'}`, `null`, ``},
		{`true`, `{"anything":1}`, ``},
		{`false`, `1`, `false schema`},
	} {
		schema := task(t, "wait: PT1S, input: {schema: {document: "+test.schema+"}}").Input.Schema
		value, err := Decode([]byte(test.value))
		if err != nil {
			t.Fatal(err)
		}
		err = schema.Validate(value, nil)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s rejects %s: %v", test.schema, test.value, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s and %s: %v, want %q", test.schema, test.value, err, test.want)
		case err != nil && (!strings.HasPrefix(err.Error(), "the data does not match the schema: ") || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "weft:schema")):
			t.Errorf("the error is %q", err)
		}
	}
	if err := (*Schema)(nil).Validate(1, nil); err != nil {
		t.Errorf("no schema rejects a value: %v", err)
	}
	external := task(t, "wait: PT1S, input: {schema: {resource: {endpoint: 'https://x.test/'}}}").Input.Schema
	if err := external.Validate(1, nil); err != nil || external.Resource.URI != "https://x.test/" {
		t.Errorf("an external schema: %+v, %v", external, err)
	}
}

func TestSchemaFaults(t *testing.T) {
	t.Parallel()
	checkFaults(t, "input: {schema: %s}\ndo: [{a: {wait: PT1S}}]", []faultRow{
		{`{format: json, document: {}}`, ``},
		{`{format: 'json:draft-07', document: {}}`, ``},
		{`{format: 7, document: {}}`, `type /input/schema/format`},
		{`{format: xsd, document: {}}`, `unsupported /input/schema/format`},
		{`{document: {type: thing}}`, `value /input/schema/document`},
		{`{document: {pattern: '('}}`, `value /input/schema/document`},
		{`{document: {$ref: 'file:///etc/passwd'}}`, `value /input/schema/document`},
		{`{document: {$ref: '#/$defs/none'}}`, `value /input/schema/document`},
		{`{document: {$schema: 'https://x.test/other'}}`, `value /input/schema/document`},
		{`{resource: {name: s}}`, `missing /input/schema/resource`},
		{`{resource: 'https://x.test/'}`, `type /input/schema/resource`},
		{`{document: {}, version: 1}`, `unknown_field /input/schema/version`},
		{`type`, `type /input/schema, missing /input/schema`},
	})
}
