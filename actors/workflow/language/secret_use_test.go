package language

import (
	"strings"
	"testing"
)

// TestSecretsAreRefusedWhereKept: an expression that mentions $secrets in any way is a fault at every place whose result is
// kept, with its position and the reason.
func TestSecretsAreRefusedWhereKept(t *testing.T) {
	t.Parallel()
	for place, why := range map[string]string{
		"do: [{a: {if: '${ %s }', set: {x: 1}}}]":                                                            "condition of if",
		"do: [{a: {set: {x: 1}, output: {as: '${ %s }'}}}]":                                                  "output.as",
		"do: [{a: {set: {x: 1}, export: {as: '${ %s }'}}}]":                                                  "export.as",
		"do: [{a: {call: http, with: {method: get, endpoint: 'https://x.test'}, output: {as: '${ %s }'}}}]":  "output.as",
		"do: [{a: {set: {x: '${ %s }'}}}]":                                                                   "kept",
		"do: [{a: {set: '${ {(%s | tojson): 1} }'}}]":                                                        "kept",
		"do: [{a: {raise: {error: {type: 'https://x.test', status: 400, detail: '${ %s }'}}}}]":              "kept",
		"do: [{a: {emit: {event: {with: {type: t, data: {k: '${ %s }'}}}}}}]":                                "kept",
		"do: [{a: {switch: [{b: {when: '${ %s }', then: end}}]}}]":                                           "condition of when",
		"do: [{a: {listen: {to: {one: {with: {type: '${ %s }'}}}}}}]":                                        "kept",
		"do: [{a: {for: {in: '${ [%s] }'}, do: [{b: {set: {x: 1}}}]}}]":                                      "items of a loop",
		"do: [{a: {for: {in: '${ [1] }'}, while: '${ %s }', do: [{b: {set: {x: 1}}}]}}]":                     "condition of while",
		"do: [{a: {run: {workflow: {namespace: n, name: m, version: '1.0.0', input: {k: '${ %s }'}}}}}]":     "kept",
		"do: [{a: {input: {from: '${ %s }'}, set: {x: 1}}}]":                                                 "kept",
		"do: [{a: {try: [{b: {set: {x: 1}}}], catch: {when: '${ %s }'}}}]":                                   "condition of when",
		"do: [{a: {try: [{b: {set: {x: 1}}}], catch: {exceptWhen: '${ %s }'}}}]":                             "condition of exceptWhen",
		"use: {functions: {f: {call: x.y}}}\ndo: [{a: {call: f, with: {k: '${ %s }'}}}]":                     "kept",
		"output: {as: '${ %s }'}\ndo: [{a: {set: {x: 1}}}]":                                                  "output.as",
		"input: {from: '${ %s }'}\ndo: [{a: {set: {x: 1}}}]":                                                 "kept",
		"evaluate: {mode: loose}\ndo: [{a: {set: {x: '%s'}}}]":                                               "kept",
		"do: [{a: {set: {x: 1}, metadata: {compensate: [{b: {set: {x: '${ %s }'}}}]}}}]":                     "kept",
		"do: [{a: {listen: {to: {any: []}}, foreach: {do: [{b: {set: {x: 1}}}], output: {as: '${ %s }'}}}}]": "output.as",
	} {
		for _, expression := range []string{
			`$secrets.s`, `$secrets.s | @base64`, `$secrets.s | explode`, `$secrets.s | length`, `"\($secrets.s)"`, `$secrets | keys`,
			`if ($secrets.s | startswith("a")) then 1 else 2 end`, `def f: $secrets; f.s`, `$secrets as $x | $x`, `error($secrets.s)`,
		} {
			source := strings.Replace(place, "%s", expression, 1)
			w, faults := Parse([]byte("document: {dsl: '1.0.3', namespace: n, name: x, version: '0.1.0'}\n" + source))
			if w != nil || len(faults) != 1 || faults[0].Code != CodeExpression || !strings.Contains(faults[0].Message, why) ||
				faults[0].Line < 2 || faults[0].Column < 2 {
				t.Errorf("%s: faults %v, want one that says %q", source, faults, why)
			}
		}
	}
}

// TestSecretUse: which parts of a call derive from $secrets.
func TestSecretUse(t *testing.T) {
	t.Parallel()
	const end = `endpoint: 'https://x.test/'`
	for call, want := range map[string]SecretUse{
		`call: x.y, with: {k: 1}`:                                                                            {},
		`call: x.y, with: {k: '${ $secrets.s | @base64 }'}`:                                                  {Arguments: true, Quoted: true},
		`call: http, with: {method: get, ` + end + `, body: '${ $secrets.s }'}`:                              {Arguments: true},
		`call: http, with: {method: get, ` + end + `, headers: {X-A: '${ $secrets.s }', b: c}}`:              {Arguments: true, Headers: map[string]bool{"x-a": true}},
		`call: http, with: {method: get, ` + end + `, headers: '${ {a: $secrets.s} }'}`:                      {Arguments: true, AllHeaders: true},
		`call: http, with: {method: get, ` + end + `, query: {k: '${ $secrets.s }'}}`:                        {Arguments: true, Quoted: true, URI: true},
		`call: http, with: {method: get, endpoint: '${ "https://\($secrets.s)/" }'}`:                         {Arguments: true, Quoted: true, URI: true},
		`call: http, with: {method: '${ $secrets.s }', ` + end + `}`:                                         {Arguments: true, Quoted: true, Method: true},
		`input: {from: '${ $secrets }'}, call: http, with: {method: get, endpoint: 'https://x.test/{s}'}`:    {Arguments: true, Quoted: true, URI: true, Method: true, AllHeaders: true},
		`call: http, with: {method: get, endpoint: {uri: 'https://x.test', authentication: {use: p}}}`:       {Arguments: true},
		`call: http, with: {method: get, endpoint: {uri: 'https://x.test', authentication: {use: o}}}`:       {Arguments: true, Quoted: true},
		`call: openapi, with: {document: {` + end + `}, operationId: o, parameters: {k: '${ $secrets.s }'}}`: {Arguments: true, Quoted: true, URI: true, Method: true, AllHeaders: true},
	} {
		w := parse(t, "use: {secrets: [s], authentications: {p: {bearer: {token: '${ $secrets.s }'}}, o: {oidc: {use: s}}}}\ndo: [{a: {"+call+"}}]")
		got := w.Do[0].Secrets
		if got.Arguments != want.Arguments || got.Quoted != want.Quoted || got.URI != want.URI || got.Method != want.Method ||
			got.AllHeaders != want.AllHeaders || len(got.Headers) != len(want.Headers) || got.Headers["x-a"] != want.Headers["x-a"] {
			t.Errorf("%s: %+v, want %+v", call, got, want)
		}
	}
}
