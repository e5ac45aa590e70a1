package language

import (
	"strings"
	"testing"
)

// TestConstructs: a definition is accepted (want is empty), or its first fault has that code and pointer.
func TestConstructs(t *testing.T) {
	t.Parallel()
	const one = "do: [{a: {set: {x: 1}}}]"
	http := func(authentication string) string {
		return `do: [{a: {call: http, with: {method: get, endpoint: {uri: 'https://x.test/', authentication: ` + authentication + `}}}}]`
	}
	for _, test := range []struct{ source, want string }{
		{"schedule: {cron: '0 0 * * *'}\n" + one, ""},
		{"schedule: {every: {minutes: 5}}\n" + one, ""},
		{"schedule: {after: PT1H}\n" + one, ""},
		{"schedule: {on: {one: {with: {type: a.b}}}, read: envelope}\n" + one, ""},
		{"schedule: {every: PT0S}\n" + one, "value /schedule/every"},
		{"schedule: {every: '${ .x }'}\n" + one, "value /schedule/every"},
		{"schedule: {every: PT1S, cron: '* * * * *'}\n" + one, ""},
		{"schedule: {cron: '* * * * *', read: raw}\n" + one, "value /schedule/read"},
		{"schedule: {on: {any: []}, at: noon}\n" + one, "unknown_field /schedule/at"},

		{"use: {extensions: [{log: {extend: all, when: '$task.call == \"x.y\"', before: [{b: {call: x.y}}], after: [{c: {call: x.z}}]}}]}\n" + one, ""},
		{"use: {extensions: [{log: {extend: nothing}}]}\n" + one, "value /use/extensions/0/log/extend"},
		{"use: {extensions: [{log: {before: [{b: {set: {x: 1}}}]}}]}\n" + one, "missing /use/extensions/0/log"},
		{"use: {extensions: [{log: {extend: call, before: [{b: {set: {x: 1}, then: a}}]}}]}\n" + one, "reference /use/extensions/0/log/before/0/b/then"},

		{"use: {secrets: [s]}\n" + http("{basic: {use: s}}"), ""},
		{"use: {secrets: [s], authentications: {p: {oauth2: {use: s}}}}\n" + http("{use: p}"), ""},
		{http("{basic: {use: s}}"), "reference /do/0/a/with/endpoint/authentication/basic/use"},
		{http("{use: p}"), "reference /do/0/a/with/endpoint/authentication/use"},
		{http("{digest: {username: u, password: p}}"), ""},
		{http("{basic: {username: u}}"), "missing /do/0/a/with/endpoint/authentication/basic"},
		{http("{basic: {username: u, password: 7}}"), "type /do/0/a/with/endpoint/authentication/basic/password"},
		{http("{basic: {username: u, password: p}, bearer: {token: t}}"), "value /do/0/a/with/endpoint/authentication/bearer"},
		{http("{bearer: {token: t, type: x}}"), "unknown_field /do/0/a/with/endpoint/authentication/bearer/type"},
		{http("{oauth2: {authority: 'https://a', grant: client_credentials, endpoints: {token: /t}, client: {id: i, secret: s, authentication: client_secret_basic}, scopes: [a], audiences: [b], request: {encoding: application/json}}}"), ""},
		{http("{oauth2: {authority: 'https://a', grant: 'urn:ietf:params:oauth:grant-type:token-exchange', subject: {token: t, type: x}}}"), ""},
		{http("{oauth2: {authority: 'https://a', grant: 'urn:ietf:params:oauth:grant-type:token-exchange'}}"), "missing /do/0/a/with/endpoint/authentication/oauth2"},
		{http("{oauth2: {authority: 'https://a', grant: magic}}"), "value /do/0/a/with/endpoint/authentication/oauth2/grant"},
		{http("{oauth2: {authority: 'https://a', grant: authorization_code}}"), "unsupported /do/0/a/with/endpoint/authentication/oauth2/grant"},
		{http("{oidc: {authority: 'https://a', grant: client_credentials, client: {id: i, key: k}}}"), "unknown_field /do/0/a/with/endpoint/authentication/oidc/client/key"},
		{http("{oidc: {authority: 'https://a', grant: client_credentials, endpoints: {token: /t}}}"), "unknown_field /do/0/a/with/endpoint/authentication/oidc/endpoints"},

		{"do: [{a: {call: 'slack.send_message:1.0.0@default', with: {text: x}}}]", ""},
		{"do: [{a: {call: 'f:new@default'}}]", "value /do/0/a/call"},
		{"do: [{a: {call: 'f:1.0.0@elsewhere'}}]", "reference /do/0/a/call"},
		{"use: {catalogs: {c: {endpoint: 'https://x.test'}}}\ndo: [{a: {call: 'f:1.0.0@c'}}]", "unsupported /do/0/a/call"},
		{"do: [{a: {call: 'https://x.test/path/f@v1.0.0'}}]", "unsupported /do/0/a/call"}, // a URL, not a catalog's function
		{"do: [{a: {call: 'file:///f@v1.0.0'}}]", "unsupported /do/0/a/call"},
		{"do: [{a: {call: 'https://x.test/f.yaml'}}]", "unsupported /do/0/a/call"},
		{"input: {schema: {resource: {endpoint: 'https://x.test/s.json'}}}\n" + one, "unsupported /input/schema/resource"},

		{"do: [{a: {run: {workflow: {namespace: n, name: w, version: 1.0.0, input: {q: '${ .x }'}}}}}]", ""},
		{"do: [{a: {run: {script: {language: js, code: '1'}}}}]", "unsupported /do/0/a/run/script"},
		{"do: [{a: {run: {container: {image: x}}}}]", "unsupported /do/0/a/run/container"},
		{"do: [{a: {run: {shell: {command: x}}}}]", "unsupported /do/0/a/run/shell"},
		{"do: [{a: {call: mcp, with: {method: m, transport: {}}}}]", "unsupported /do/0/a"},
		{"do: [{a: {call: a2a, with: {method: m}}}]", "unsupported /do/0/a"},
		{"do: [{a: {call: asyncapi, with: {document: {endpoint: x}}}}]", "unsupported /do/0/a"},

		{"use: {secrets: [s]}\ndo: [{a: {call: x.y, with: {k: '${ $secrets.s }'}}}]", ""},
		{"use: {secrets: [s]}\ndo: [{a: {input: {from: '{k: $secrets.s}'}, call: x.y}}]", ""},
		{"do: [{a: {input: {from: '{k: $secrets.s}'}, set: {x: 1}}}]", "expression /do/0/a/input/from"},
		{"do: [{a: {set: {x: '${ $secrets.s }'}}}]", "expression /do/0/a/set/x"},
		{"do: [{a: {emit: {event: {with: {type: t, data: '${ $secrets.s }'}}}}}]", "expression /do/0/a/emit/event/with/data"},
		{"do: [{a: {call: x.y, output: {as: '$secrets.s'}}}]", "expression /do/0/a/output/as"},
		{"use: {functions: {f: {call: x.y}}}\ndo: [{a: {call: f, with: {k: '${ $secrets.s }'}}}]", "expression /do/0/a/with/k"},
		{"use: {secrets: [s], functions: {f: {call: x.y, with: {k: '${ $secrets.s }'}}}}\ndo: [{a: {call: f}}]", ""},
	} {
		w, faults := Parse([]byte(head + test.source + "\n"))
		if w != nil {
			faults = w.Unsupported()
		}
		got := ""
		if len(faults) > 0 {
			got = faults[0].Code + " " + faults[0].Pointer
		}
		if got != test.want {
			t.Errorf("%s\ngot  %v\nwant %s", test.source, faults, test.want)
		}
	}
}

// TestInline inlines external parts until no references remain.
func TestInline(t *testing.T) {
	t.Parallel()
	source := []byte(head + `input: {schema: {resource: {endpoint: 'https://x.test/s.json'}}}
use: {catalogs: {c: {endpoint: 'https://github.com/some/catalog'}}}
do: [{a: {call: 'f:1.0.0@c', with: {n: 1}}}, {b: {call: 'https://x.test/g.yaml'}}]
`)
	external := map[string][]byte{
		"https://x.test/s.json": []byte(`{"type": "object", "required": ["id"]}`),
		"https://raw.githubusercontent.com/some/catalog/main/functions/f/1.0.0/function.yaml": []byte("set: {x: '${ .n }'}\n"),
		"https://x.test/g.yaml": []byte("call: 'https://x.test/h.yaml'\n"),
		"https://x.test/h.yaml": []byte("set: {y: 2}\n"),
	}
	for round := range 3 {
		w, faults := Parse(source)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		if len(w.References()) == 0 {
			if round != 2 || len(w.Unsupported()) > 0 || w.Input.Schema.Validate(map[string]any{}, nil) == nil || len(w.Use.Functions) != 3 {
				t.Errorf("after %d rounds: unsupported %v", round, w.Unsupported())
			}
			return
		}
		if source, faults = Inline(w, external); len(faults) > 0 {
			t.Fatal(faults)
		}
	}
	t.Errorf("references remain in %s", source)
}

func TestInlineRejects(t *testing.T) {
	t.Parallel()
	w, faults := Parse([]byte(head + "do: [{a: {call: 'https://x.test/g.yaml'}}, {b: {call: 'file://x.test/g.yaml'}}]\n"))
	if len(faults) > 0 || len(w.References()) != 1 {
		t.Fatalf("%v, %+v", faults, w.References())
	}
	for text, want := range map[string]string{"[1": "did not find", "- a list": "not a task", "a: 1\na: 2\n": "duplicate key", "": "empty"} {
		_, faults := Inline(w, map[string][]byte{"https://x.test/g.yaml": []byte(text)})
		if len(faults) != 1 || faults[0].Code != CodeReference || !strings.Contains(faults[0].Message, want) {
			t.Errorf("%q: %v", text, faults)
		}
	}
}
