package machine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// outputOf runs a definition whose calls return their arguments (those of HTTP: 7), and formats its output or fault.
func outputOf(t *testing.T, source string, input any) string {
	t.Helper()
	d := newDriver(t, head+source)
	d.env.Runtime = map[string]any{"version": "9.9.9"}
	d.reply = func(call *Call) (any, *Error) {
		switch call.Kind {
		case CallHTTP:
			return map[string]any{"n": 7}, nil
		case CallWorkflow:
			return map[string]any{"child": call.Workflow.Input}, nil
		}
		return call.Arguments, nil
	}
	x := d.run(input)
	if fault := x.Fault(); fault != nil {
		return fmt.Sprintf("%s %d", standardName(fault.Type), fault.Status)
	}
	return string(language.Canonical(x.Output()))
}

// TestRuntimeExpressionArguments: dsl.md, Runtime expression arguments.
func TestRuntimeExpressionArguments(t *testing.T) {
	t.Parallel()
	const bearer = "call: http, with: {method: get, endpoint: {uri: 'https://x.test/', authentication: %s}}"
	for name, test := range map[string]struct{ source, want string }{
		"raw input in the definition":    {`do: [{a: {input: {from: .n}, set: '${ {t: $task.input, i: $input} }'}}]`, `{"i":5,"t":{"n":5}}`},
		"raw input in if and input.from": {`do: [{a: {if: $task.input.n == 5, input: {from: '{m: $task.input.n}'}, set: '${ . }'}}]`, `{"m":5}`},
		"raw input of a function": {"use: {functions: {f: {input: {from: .x}, set: '${ {t: $task.input, i: .} }'}}}\n" +
			`do: [{a: {call: f, with: {x: 1}}}]`, `{"i":1,"t":{"x":1}}`},
		"raw input in a fork": {`do: [{a: {fork: {branches: [{b: {input: {from: .n}, set: '${ $task.input }'}}]}}}]`, `[{"n":5}]`},
		"raw input after retries": {`do: [{a: {input: {from: .n}, try: [{c: {set: '${ $context }'}}], catch: {}, output: {as: $task.input}}}]`,
			`{"n":5}`},
		"raw output in output.as":   {`do: [{a: {set: {x: 1}, output: {as: '{o: $task.output, t: .x}'}}}]`, `{"o":{"x":1},"t":1}`},
		"raw output in export.as":   {`do: [{a: {set: {x: 1}, output: {as: .x}, export: {as: '{raw: $task.output, out: $output}'}}}, {b: {set: '${ $context }'}}]`, `{"out":1,"raw":{"x":1}}`},
		"initial context":           {"input: {from: '{m: .n}'}\n" + `do: [{a: {set: '${ $context }'}}]`, `{"m":5}`},
		"no context before":         {"input: {from: '{m: $context}'}\n" + `do: [{a: {set: '${ . }'}}]`, `{"m":null}`},
		"context without input":     {`do: [{a: {set: {x: 1}}}, {b: {set: '${ $context }'}}]`, `{"n":5}`},
		"runtime":                   {`do: [{a: {set: '${ $runtime }'}}]`, `{"metadata":{},"name":"weft","version":"9.9.9"}`},
		"task":                      {`do: [{a: {set: '${ [$task.name, $task.reference, $task.definition.then, $task.startedAt.iso8601] }', then: end}}]`, `["a","/do/0/a","end","2026-11-01T12:00:00Z"]`},
		"workflow":                  {"input: {from: .n}\n" + `do: [{a: {set: '${ [$workflow.id, $workflow.input.n, $workflow.definition.document.name, $workflow.startedAt.epoch.seconds] }'}}]`, `["e1",5,"sample",1793534400]`},
		"authorization of bearer":   {"do: [{a: {" + fmt.Sprintf(bearer, "{bearer: {token: '${ \"t\\(.n)\" }'}}") + ", output: {as: $authorization}}}]", `{"parameter":"t5","scheme":"Bearer"}`},
		"authorization in export":   {"do: [{a: {" + fmt.Sprintf(bearer, "{bearer: {token: tok}}") + ", export: {as: $authorization}}}, {b: {set: '${ [$context, $authorization] }'}}]", `[{"parameter":"tok","scheme":"Bearer"},null]`},
		"authorization of basic":    {"use: {authentications: {p: {basic: {username: a, password: b}}}}\ndo: [{a: {" + fmt.Sprintf(bearer, "{use: p}") + ", output: {as: $authorization}}}]", `{"parameter":"YTpi","scheme":"Basic"}`},
		"authorization of a secret": {"use: {secrets: [s]}\ndo: [{a: {" + fmt.Sprintf(bearer, "{bearer: {use: s}}") + ", output: {as: $authorization}}}]", `authorization 403`},
		"no authorization":          {`do: [{a: {set: '${ [$authorization] }'}}]`, `[null]`},
	} {
		if got := outputOf(t, test.source, map[string]any{"n": 5}); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// TestAuthorizationsFromSecretsAreNotLogged: $authorization has its parameter in the arguments of the call only.
func TestAuthorizationsFromSecretsAreNotLogged(t *testing.T) {
	t.Parallel()
	for policy, scheme := range map[string]string{
		"{bearer: {use: s}}": "Bearer", "{bearer: {token: '${ $secrets.s.token }'}}": "Bearer", "{basic: {use: s}}": "Basic",
		"{oauth2: {authority: 'https://a.test', grant: client_credentials}}": "Bearer", "{digest: {username: a, password: b}}": "Digest",
	} {
		d := newDriver(t, head+"use: {secrets: [s]}\ndo: [{a: {call: http, with: {method: get, headers: {x-copy: '${ $authorization.parameter }'}, endpoint: {uri: 'https://x.test/', authentication: "+
			policy+"}}, output: {as: $authorization}}}]")
		d.env.Secrets = func() (map[string]any, error) {
			return map[string]any{"s": map[string]any{"token": "hunter-two", "username": "ada", "password": "hunter-two"}}, nil
		}
		copied := ""
		d.reply = func(call *Call) (any, *Error) { copied = call.HTTP.Headers["x-copy"]; return 1, nil }
		x := d.run(map[string]any{})
		if got := string(language.Canonical(x.Output())); got != `{"parameter":"***","scheme":"`+scheme+`"}` {
			t.Errorf("%s: %s", policy, got)
		}
		if secret := strings.Contains(policy, "use: s") || strings.Contains(policy, "$secrets"); secret != (copied != "") {
			t.Errorf("%s: the call's argument is %q", policy, copied)
		}
	}
}

func TestDefaultCases(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{1: `"one"`, 2: `"other"`} {
		const source = `do: [{a: {switch: [{other: {then: c}}, {one: {when: .n == 1, then: b}}]}}, {b: {set: '${ "one" }', then: end}}, {c: {set: '${ "other" }'}}]`
		if got := outputOf(t, source, map[string]any{"n": n}); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestReturnOfChildWorkflows(t *testing.T) {
	t.Parallel()
	for process, want := range map[string]string{
		"return: none": `null`, "return: stdout": `{"child":{"n":1}}`, "await: true": `{"child":{"n":1}}`, "return: code": `0`, "return: stderr": `""`,
		"return: all": `{"code":0,"stderr":"","stdout":{"child":{"n":1}}}`, "return: none, await: false": `{"n":1}`,
	} {
		source := `do: [{a: {run: {` + process + `, workflow: {namespace: n, name: w, version: 1.0.0}}}}]`
		if got := outputOf(t, source, map[string]any{"n": 1}); got != want {
			t.Errorf("%s: %s, want %s", process, got, want)
		}
	}
}

func TestTasksOfOneName(t *testing.T) {
	t.Parallel()
	if got := outputOf(t, `do: [{a: {set: {n: '${ .n + 1 }'}}}, {b: {set: {n: '${ .n * 2 }'}}}, {a: {set: {n: '${ .n + 10 }'}}}]`, map[string]any{"n": 1}); got != `{"n":14}` {
		t.Error(got)
	}
}

func TestURITemplatesOfPoliciesAndEvents(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`do: [{a: {call: http, with: {method: get, endpoint: {uri: 'https://x.test/{id}', authentication: {oauth2: {authority: 'https://{tenant}.test/{id}', grant: client_credentials, endpoints: {token: '/t/{id}'}}}}}}},
{b: {emit: {event: {with: {type: t, source: 'https://x.test/{id}'}}}}}, {c: {raise: {error: {type: 'https://x.test/{id}', status: 418}}}}]`)
	source := ""
	d.reply = func(call *Call) (any, *Error) {
		if call.Kind == CallEmit {
			source = language.Text(call.Message["source"])
			return map[string]any{"id": "a/b"}, nil
		}
		if endpoint, err := call.HTTP.Credentials.endpoint(nil); err != nil || endpoint != "https://acme.test/a%2Fb/t/a%2Fb" {
			t.Errorf("the token endpoint is %s, %v", endpoint, err)
		}
		return map[string]any{"id": "a/b"}, nil
	}
	x := d.run(map[string]any{"id": "a/b", "tenant": "acme"})
	if source != "https://x.test/a%2Fb" || x.Fault() == nil || x.Fault().Type != "https://x.test/a%2Fb" {
		t.Errorf("source %s, fault %v", source, x.Fault())
	}
	for input, want := range map[string]string{"object": "expression 400", "list": "expression 400"} {
		got := outputOf(t, `do: [{a: {call: http, with: {method: get, endpoint: 'https://x.test/{`+input+`}'}}}]`, map[string]any{"object": map[string]any{}, "list": []any{1}})
		if got != want {
			t.Errorf("%s in a URI: %s, want %s", input, got, want)
		}
	}
}

// TestAuthoritiesThatNameTheirMetadata are used as they stand.
func TestAuthoritiesThatNameTheirMetadata(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]string{
		"oidc: {authority: 'https://a.test/r/.well-known/openid-configuration', ":         "https://a.test/r/.well-known/openid-configuration",
		"oidc: {authority: 'https://a.test/r', ":                                          "https://a.test/r/.well-known/openid-configuration",
		"oidc: {authority: 'https://a.test/r/', ":                                         "https://a.test/r/.well-known/openid-configuration",
		"oidc: {authority: 'https://a.test/.well-known/oauth-authorization-server/r', ":   "https://a.test/.well-known/oauth-authorization-server/r",
		"oauth2: {authority: 'https://a.test/.well-known/openid-configuration', ":         "https://a.test/.well-known/openid-configuration",
		"oauth2: {authority: 'https://a.test/r/.well-known/oauth-authorization-server', ": "https://a.test/r/.well-known/oauth-authorization-server",
	} {
		d := newDriver(t, head+`do: [{a: {call: http, with: {method: get, endpoint: {uri: 'https://x.test/', authentication: {`+policy+`grant: client_credentials}}}}}}]`)
		asked := ""
		endpoint, err := d.start(nil).Calls()[0].HTTP.Credentials.endpoint(func(r *HTTPRequest) (HTTPResponse, error) {
			asked = r.URL
			return HTTPResponse{200, map[string]string{"content-type": "application/json"}, []byte(`{"token_endpoint":"https://a.test/token"}`)}, nil
		})
		if err != nil || endpoint != "https://a.test/token" || asked != want {
			t.Errorf("%s: %s asked, %s, %v", policy, asked, endpoint, err)
		}
	}
}

func TestBodiesByContentType(t *testing.T) {
	t.Parallel()
	for with, want := range map[string]string{
		`body: {a: 1, l: [x y, true], n: null}, headers: {Content-Type: application/x-www-form-urlencoded}`:  `POST https://x.test/ {"content-type":"application/x-www-form-urlencoded"} a=1&l=x+y&l=true`,
		`body: {a: '${ .id }'}, headers: {content-type: 'application/x-www-form-urlencoded; charset=utf-8'}`: `POST https://x.test/ {"content-type":"application/x-www-form-urlencoded; charset=utf-8"} a=7`,
		`body: 'a=1&b=2', headers: {content-type: application/x-www-form-urlencoded}`:                        `POST https://x.test/ {"content-type":"application/x-www-form-urlencoded"} a=1&b=2`,
		`body: {a: {b: 1}}, headers: {content-type: application/x-www-form-urlencoded}`:                      `expression: the field "a" is an object or a list of lists, which a form cannot hold`,
		`headers: {accept: [text/a, text/b]}`:                                                                `POST https://x.test/ {"accept":"text/a, text/b"}`,
		`query: {l: [1, 2], q: 'a&b'}`:                                                                       `POST https://x.test/?l=1&l=2&q=a%26b {}`,
	} {
		d := newDriver(t, head+`do: [{a: {call: http, with: {method: post, endpoint: 'https://x.test/', `+with+`}}}]`)
		x := d.start(map[string]any{"id": 7})
		var got string
		if fault := x.Fault(); fault != nil {
			got = faultText(fault)
		} else {
			got = request(x.Calls()[0].HTTP)
		}
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", with, got, want)
		}
	}
	d := newDriver(t, head+`do: [{a: {call: http, with: {method: post, endpoint: 'https://x.test/', headers: {content-type: multipart/form-data}, body: {a: x}}}}]`)
	if got := request(d.start(nil).Calls()[0].HTTP); !strings.Contains(got, `multipart/form-data; boundary=`) || !strings.Contains(got, `name="a"`) {
		t.Error(got)
	}
}

// TestNumbersInAnswersAreNamed: a number out of range is an error that names it, never null.
func TestNumbersInAnswersAreNamed(t *testing.T) {
	t.Parallel()
	r := HTTPRequest{Method: "GET", URL: "https://x.test/", Output: "content"}
	for body, want := range map[string]string{`{"a":1e400}`: `1e400 is out of range, at "/a"`, `{"a":NaN}`: "not valid JSON", `{"a":1,"a":2}`: `"a" occurs twice`,
		`{"a":"\ud800"}`: "surrogate"} {
		_, failure := r.Response(HTTPResponse{200, map[string]string{"content-type": "application/json"}, []byte(body)})
		if failure == nil || standardName(failure.Type) != "communication" || !strings.Contains(failure.Detail, want) {
			t.Errorf("%s: %v", body, failure)
		}
	}
	output, failure := r.Response(HTTPResponse{200, map[string]string{"content-type": "application/json"}, []byte(`{"a":1234567890123456.789}`)})
	if got := string(language.Canonical(output)); failure != nil || got != `{"a":1234567890123456.789}` {
		t.Errorf("%s, %v", got, failure)
	}
}
