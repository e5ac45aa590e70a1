package language

import (
	"strings"
	"testing"
)

func TestDocumentFaults(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ document, want string }{
		{`{dsl: 1.0.3, namespace: n, name: w, version: 1.0.0}`, ``},
		{`{dsl: 1.9.0-alpha, namespace: n, name: w, version: 1.0.0-rc.1+build.7, title: T, summary: S, tags: {a: b}, metadata: {k: [1]}}`, ``},
		{`{dsl: 1.0, namespace: n, name: w, version: 1.0.0}`, `value /document/dsl`},
		{`{dsl: 2.0.0, namespace: n, name: w, version: 1.0.0}`, `value /document/dsl`},
		{`{namespace: n, name: w, version: 1.0.0}`, `missing /document`},
		{`{dsl: 1.0.3, name: w, version: 1.0.0}`, `missing /document`},
		{`{dsl: 1.0.3, namespace: n, version: 1.0.0}`, `missing /document`},
		{`{dsl: 1.0.3, namespace: n, name: w}`, `missing /document`},
		{`{dsl: 1.0.3, namespace: My_Space, name: w, version: 1.0.0}`, `value /document/namespace`},
		{`{dsl: 1.0.3, namespace: n, name: -w, version: 1.0.0}`, `value /document/name`},
		{`{dsl: 1.0.3, namespace: n, name: ` + strings.Repeat("w", 64) + `, version: 1.0.0}`, `value /document/name`},
		{`{dsl: 1.0.3, namespace: n, name: ` + strings.Repeat("w", 63) + `, version: 1.0.0}`, ``},
		{`{dsl: 1.0.3, namespace: n, name: w, version: 01.0.0}`, `value /document/version`},
		{`{dsl: 1.0.3, namespace: n, name: w, version: v1.0.0}`, `value /document/version`},
		{`{dsl: 1.0.3, namespace: n, name: w, version: 1.0.0, title: 7}`, `type /document/title`},
		{`{dsl: 1.0.3, namespace: n, name: w, version: 1.0.0, tags: [a]}`, `type /document/tags`},
		{`{dsl: 1.0.3, namespace: n, name: w, version: 1.0.0, author: me}`, `unknown_field /document/author`},
		{`text`, `type /document`},
		{`null`, `missing`},
	} {
		_, faults := Parse([]byte("document: " + row.document + "\ndo: [{a: {wait: PT1S}}]\n"))
		if got := codes(faults); got != row.want {
			t.Errorf("%s\ngot  %q\nwant %q", row.document, got, row.want)
		}
	}
}

func TestWorkflowFaults(t *testing.T) {
	t.Parallel()
	checkFaults(t, "%s\ndo: [{a: {wait: PT1S}}]", []faultRow{
		{``, ``},
		{`evaluate: {language: jq, mode: loose}`, ``},
		{`evaluate: {language: js}`, `value /evaluate/language`},
		{`evaluate: {mode: lax}`, `value /evaluate/mode`},
		{`evaluate: {strict: true}`, `unknown_field /evaluate/strict`},
		{`evaluate: jq`, `type /evaluate`},
		{`input: {from: .x, schema: {document: {type: object}}}`, ``},
		{`input: {from: 7}`, `type /input/from`},
		{`output: {as: {x: '${ .y }'}}`, ``},
		{`output: {as: '.x |'}`, `expression /output/as`},
		{`output: {to: .x}`, `unknown_field /output/to`},
		{`timeout: {after: PT1M}`, ``},
		{`timeout: PT1M`, `reference /timeout`},
		{`timeout: {after: {minutes: x}}`, `value /timeout/after`},
		{`schedule: {}`, ``},
		{`schedule: often`, `type /schedule`},
		{`schedule: {every: often}`, `value /schedule/every`},
		{`schedule: {after: {}}`, `value /schedule/after`},
		{`schedule: {cron: 7}`, `type /schedule/cron`},
		{`schedule: {cron: '0 * * * *', after: PT1H}`, ``},
		{`schedule: {on: {one: {with: {type: a}}}, read: everything}`, `value /schedule/read`},
		{`metadata: {a: b}`, ``},
		{`export: {as: .x}`, ``},
	})
}

func TestUseFaults(t *testing.T) {
	t.Parallel()
	checkFaults(t, "use: %s\ndo: [{a: {wait: PT1S}}]", []faultRow{
		{`{}`, ``},
		{`[x]`, `type /use`},
		{`{secrets: [a, b]}`, ``},
		{`{secrets: {a: b}}`, `type /use/secrets`},
		{`{secrets: [a, 7]}`, `type /use/secrets/1`},
		{`{errors: {e: {type: 'urn:e', status: 400}}}`, ``},
		{`{errors: {e: {type: 'urn:e'}}}`, `missing /use/errors/e`},
		{`{errors: [e]}`, `type /use/errors`},
		{`{timeouts: {t: {after: PT1S}}}`, ``},
		{`{timeouts: {t: PT1S}}`, `type /use/timeouts/t`},
		{`{timeouts: {t: {}}}`, `missing /use/timeouts/t`},
		{`{retries: {r: {delay: PT1S}}}`, ``},
		{`{retries: {r: {delay: x}}}`, `value /use/retries/r/delay`},
		{`{retries: {r: twice}}`, `type /use/retries/r`},
		{`{catalogs: {c: {endpoint: 'https://x.test/'}}}`, ``},
		{`{catalogs: {c: {}}}`, `missing /use/catalogs/c`},
		{`{catalogs: {c: 'https://x.test/'}}`, `type /use/catalogs/c`},
		{`{functions: {f: {wait: PT1S}}}`, ``},
		{`{functions: {f: {}}}`, `missing /use/functions/f`},
		{`{functions: {f: {wait: PT1S, then: a}}}`, `reference /use/functions/f/then`},
		{`{functions: {f: {call: f}}}`, `reference /use/functions/f`},
		{`{functions: {f: {do: [{b: {try: [{c: {call: f}}], catch: {}}}]}}}`, `reference /use/functions/f`},
		{`{functions: {f: {fork: {branches: [{c: {call: f}}]}}}}`, `reference /use/functions/f`},
		{`{functions: {f: {call: g}, g: {wait: PT1S}}}`, ``},
		{`{functions: [f]}`, `type /use/functions`},
		{`{extensions: [{e: {extend: all, before: [{b: {wait: PT1S}}]}}]}`, ``},
		{`{extensions: {e: {extend: all}}}`, `type /use/extensions`},
		{`{extensions: [{e: {extend: everything}}]}`, `value /use/extensions/0/e/extend`},
		{`{extensions: [{e: {extend: call, when: '.x |'}}]}`, `expression /use/extensions/0/e/when`},
		{`{extensions: [{e: {extend: call, after: {b: {wait: PT1S}}}}]}`, `type /use/extensions/0/e/after`},
		{`{extensions: [{e: {extend: call, around: []}}]}`, `unknown_field /use/extensions/0/e/around`},
		{`{authentications: {p: {basic: {username: u, password: p}}}}`, ``},
		{`{authentications: {p: {}}}`, `missing /use/authentications/p`},
		{`{authentications: {p: {use: q}}}`, `missing /use/authentications/p, unknown_field /use/authentications/p/use`},
		{`{authentications: {p: basic}}`, `type /use/authentications/p`},
		{`{tasks: {}}`, `unknown_field /use/tasks`},
	})
}

func TestAuthenticationFaults(t *testing.T) {
	t.Parallel()
	checkFaults(t, "use: {secrets: [s], authentications: {p: {%s}}}\ndo: [{a: {wait: PT1S}}]", []faultRow{
		{`basic: {username: '${ .u }', password: '${ $secrets.s.p }'}`, ``},
		{`basic: {use: s}`, ``},
		{`basic: {use: t}`, `reference /use/authentications/p/basic/use`},
		{`basic: {use: s, username: u}`, `unknown_field /use/authentications/p/basic/username`},
		{`basic: {password: p}`, `missing /use/authentications/p/basic`},
		{`basic: u`, `type /use/authentications/p/basic`},
		{`bearer: {token: [1]}`, `type /use/authentications/p/bearer/token`},
		{`bearer: {}`, `missing /use/authentications/p/bearer`},
		{`digest: {username: u, password: p, realm: r}`, `unknown_field /use/authentications/p/digest/realm`},
		{`oauth2: {authority: 'https://a.test', grant: client_credentials, client: {id: i, secret: '${ $secrets.s }'}}`, ``},
		{`oauth2: {grant: client_credentials}`, `missing /use/authentications/p/oauth2`},
		{`oauth2: {authority: 'https://a.test'}`, `missing /use/authentications/p/oauth2`},
		{`oauth2: {authority: 'https://a.test', grant: '${ .g }'}`, ``},
		{`oauth2: {authority: 'https://a.test', grant: implicit}`, `value /use/authentications/p/oauth2/grant`},
		{`oauth2: {authority: 'https://a.test', grant: refresh_token}`, `unsupported /use/authentications/p/oauth2/grant`},
		{`oauth2: {authority: 'https://a.test', grant: password, username: 7, password: p}`, `type /use/authentications/p/oauth2/username`},
		{`oauth2: {authority: 'https://a.test', grant: client_credentials, client: {id: i, authentication: tls}}`, `value /use/authentications/p/oauth2/client/authentication`},
		{`oauth2: {authority: 'https://a.test', grant: client_credentials, client: i}`, `type /use/authentications/p/oauth2/client`},
		{`oauth2: {authority: 'https://a.test', grant: client_credentials, endpoints: {authorize: /a}}`, `unknown_field /use/authentications/p/oauth2/endpoints/authorize`},
		{`oauth2: {authority: 'https://a.test', grant: client_credentials, request: {encoding: text/plain}}`, `value /use/authentications/p/oauth2/request/encoding`},
		{`oauth2: {authority: 'https://a.test', grant: client_credentials, scopes: read}`, `type /use/authentications/p/oauth2/scopes`},
		{`oauth2: {authority: 'https://a.test', grant: client_credentials, issuers: [7]}`, `type /use/authentications/p/oauth2/issuers/0`},
		{`oauth2: {authority: 'https://a.test', grant: '` + GrantTokenExchange + `', subject: {token: t}}`, `missing /use/authentications/p/oauth2/subject`},
		{`oauth2: {authority: 'https://a.test', grant: client_credentials, tenant: x}`, `unknown_field /use/authentications/p/oauth2/tenant`},
		{`oidc: {authority: 'https://a.test', grant: client_credentials}`, ``},
		{`mtls: {}`, `missing /use/authentications/p, unknown_field /use/authentications/p/mtls`},
	})
}

// TestFaultPositions parses definitions in block style: every fault has the line and column of its value.
func TestFaultPositions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ source, want string }{
		"several tasks": {`document:
  dsl: 1.0.3
  namespace: test
  name: positions
  version: 1.0.0
do:
  - first:
      wait: soon
  - second:
      set:
        a: 1
        b: ${ .x | }
  - third:
      call: http
      with:
        method: get
        endpoint: https://x.test/
        header: {}
`, "8:13 /do/0/first/wait value\n12:12 /do/1/second/set/b expression\n18:9 /do/2/third/with/header unknown_field"},
		"nested tasks": {`document: {dsl: 1.0.3, namespace: test, name: positions, version: 1.0.0}
do:
- outer:
    for:
      each: item
      in: .list
    do:
    - inner:
        try:
        - deepest:
            raise:
              error:
                type: urn:x
        catch:
          retry: often
`, "13:17 /do/0/outer/do/0/inner/try/0/deepest/raise/error missing\n15:18 /do/0/outer/do/0/inner/catch/retry reference"},
		"directives without a target": {`document: {dsl: 1.0.3, namespace: test, name: positions, version: 1.0.0}
do:
- first:
    set: {x: 1}
    then: third
- second:
    switch:
    - one: {when: .x, then: first}
    - two: {then: fourth}
`, "5:11 /do/0/first/then reference\n9:19 /do/1/second/switch/1/two/then reference"},
		"duplicate keys": {`document: {dsl: 1.0.3, namespace: test, name: positions, version: 1.0.0}
do:
- first:
    set:
      x: 1
      y: 2
      x: 3
do: []
`, "7:7 /do/0/first/set/x duplicate\n8:1 /do duplicate"},
		"misspelt and additional fields at the top": {`document: {dsl: 1.0.3, namespace: test, name: positions, version: 1.0.0}
doc: x

steps: []
do:
- first:
    wait: PT1S
`, "2:1 /doc unknown_field"},
		"json": {`{
  "document": {"dsl": "1.0.3", "namespace": "test", "name": "positions", "version": "1.0.0"},
  "do": [
    {"first": {"wait": true}},
    {"second": {"set": {}}}
  ]
}
`, "4:24 /do/0/first/wait value\n5:24 /do/1/second/set type"},
		"alias": {`document: {dsl: 1.0.3, namespace: test, name: positions, version: 1.0.0}
do:
- first: &task
    wait: soon
- second: *task
`, "4:11 /do/0/first/wait value\n4:11 /do/1/second/wait value"},
		"undefined names": {`document: {dsl: 1.0.3, namespace: test, name: positions, version: 1.0.0}
do:
- first:
    if: $known
    for: {each: known, in: .x}
    do: []
- second:
    set:
      a: ${ $unknown }
      b: ${ nofunction(.x) }
`, "9:10 /do/1/second/set/a expression\n10:10 /do/1/second/set/b expression"},
		"syntax": {"document: {dsl: 1.0.3}\ndo:\n- a:\n  b: [\n", "4:1  syntax"},
		"tabs":   {"document:\n\tdsl: 1.0.3\n", "2:1  syntax"},
		"scalars": {`document: {dsl: 1.0.3, namespace: test, name: positions, version: 1.0.0}
do:
- first:
    set:
      a: !!int 5
      b: .nan
      c: 1e999
      ? [k]
      : v
`, "5:10 /do/0/first/set/a type\n6:10 /do/0/first/set/b type\n7:10 /do/0/first/set/c value\n8:9 /do/0/first/set type"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, faults := Parse([]byte(test.source))
			if got := places(faults); got != test.want || w != nil {
				t.Errorf("got\n%s\nwant\n%s\n%v", got, test.want, faults)
			}
		})
	}
}

func TestFaultTexts(t *testing.T) {
	t.Parallel()
	_, faults := Parse([]byte(head + "do:\n- a:\n    wait: soon\n    retries: 3\n"))
	const want = `4:11: /do/0/a/wait: "soon" is not an ISO 8601 duration
5:5: /do/0/a/retries: unknown field "retries": expected one of export, if, input, metadata, output, then, timeout, wait`
	if got := faults.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := Faults(nil).Error(); got != "" {
		t.Errorf("no faults are formatted as %q", got)
	}
	for _, test := range []struct{ source, want string }{
		{"do: [{a: {}}]", "a task needs one of call, do, emit, for, fork, listen, raise, run, set, switch, try, wait"},
		{"do: [{a: {wait: PT1S, set: {x: 1}}}]", "a task has exactly one kind, this one has set and wait"},
		{"do: [{a: {wait: PT1S, then: b}}]", `the task list has no task "b"`},
		{"do: [{a: {raise: {error: e}}}]", `use.errors has no "e"`},
		{"do: [{a: {wait: PT1S, if: env.HOME}}]", "env is not allowed"},
		{"do: [{a: {wait: PT1S, if: _x}}]", "names that start with an underscore are reserved: _x"},
		{"do: [{a: {wait: PT1S, wait: PT1S}}]", `duplicate key "wait"`},
	} {
		if _, faults := Parse([]byte(head + test.source)); len(faults) == 0 || faults[0].Message != test.want {
			t.Errorf("%s: %v, want %q", test.source, faults, test.want)
		}
	}
}
