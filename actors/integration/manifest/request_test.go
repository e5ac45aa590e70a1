package manifest_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
)

var key = manifest.Connection{Credentials: map[string]any{"api_key": "k3y-k3y-k3y"}}

// request builds the request of get_thing.
func request(t *testing.T, p *manifest.Provider, conn manifest.Connection, input map[string]any) *manifest.Request {
	t.Helper()
	a, ok := p.Action("get_thing")
	if !ok {
		t.Fatal("unknown action")
	}
	if err := a.ValidateInput(input); err != nil {
		t.Fatal(err)
	}
	r, err := a.Request(conn, manifest.Call{Input: input})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRequestsAreEscaped(t *testing.T) {
	t.Parallel()
	p := load(t, "safety: read", `safety: read
    query: {q: "${ .input.id }", many: [a, "${ .input.id }"], none: "${ .input.id | empty }", flag: true, "n&m": 1.5}
    headers: {X-Thing: "fixed", X-None: "${ null }"}`)
	for id, path := range map[string]string{
		"plain": "/v1/things/plain", "a/b": "/v1/things/a%2Fb", "a..b/c": "/v1/things/a..b%2Fc", "a?b#c": "/v1/things/a%3Fb%23c",
		"é ü": "/v1/things/%C3%A9%20%C3%BC", "%2F100%": "/v1/things/%252F100%25", "%2e%2e": "/v1/things/%252e%252e", "a&b=c": "/v1/things/a&b=c", "...": "/v1/things/...",
	} {
		r := request(t, p, key, map[string]any{"id": id})
		u, err := url.Parse(r.URL)
		if err != nil {
			t.Fatal(err)
		}
		if u.EscapedPath() != path || u.Host != "api.acme.test" || u.Scheme != "https" || u.Fragment != "" {
			t.Errorf("%s: got %s", id, r.URL)
		}
		query := u.Query()
		if query.Get("q") != id || len(query["many"]) != 2 || query["many"][1] != id || query.Has("none") || query.Get("n&m") != "1.5" || query.Get("flag") != "true" {
			t.Errorf("%s: query %v", id, query)
		}
		if r.Header.Get("X-Thing") != "fixed" || r.Header.Values("X-None") != nil || r.Header.Get("Authorization") != "Bearer k3y-k3y-k3y" {
			t.Errorf("%s: header %v", id, r.Header)
		}
	}
	a, _ := p.Action("get_thing")
	for _, id := range []any{"", ".", "..", "../x", "a/../b", `a\..\b`, "..;x", nil} {
		_, err := a.Request(key, manifest.Call{Input: map[string]any{"id": id}})
		var field *manifest.InputError
		if !errors.As(err, &field) || field.Fields[0].Pointer != "/id" {
			t.Errorf("%v: got %v", id, err)
		}
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body, want, contentType string
	}{
		{"json", `{json: {id: "${ .input.id }", n: 1, none: "${ null }", kept: null, list: ["${ empty }", 2]}}`, `{"id":"<a>","kept":null,"list":[2],"n":1}`, "application/json"},
		{"json as a whole", `{json: "${ .input }"}`, `{"id":"<a>"}`, "application/json"},
		{"big number", `{json: {n: 12345678901234567}}`, `{"n":12345678901234567}`, "application/json"},
		{"form", `{form: {b: "${ .input.id }", a: [1, true], c: "${ null }"}}`, `a=1&a=true&b=%3Ca%3E`, "application/x-www-form-urlencoded"},
		{"raw", `{raw: "${ .input.id }"}`, `<a>`, "text/plain; charset=utf-8"},
		{"raw with type", `{raw: "${ .input.id }", content_type: application/xml}`, `<a>`, "application/xml"},
		{"first with a value", `{json: "${ null }", form: "${ null }", raw: "x"}`, `x`, "text/plain; charset=utf-8"},
		{"none", `{json: "${ null }"}`, ``, ""},
	} {
		p := load(t, "safety: read", "safety: read\n    body: "+c.body)
		r := request(t, p, key, map[string]any{"id": "<a>"})
		if string(r.Body) != c.want || r.Header.Get("Content-Type") != c.contentType {
			t.Errorf("%s: got %q as %q", c.name, r.Body, r.Header.Get("Content-Type"))
		}
	}
}

func TestCredentialPlaces(t *testing.T) {
	t.Parallel()
	auth := "- {id: token, kind: api_key, in: bearer}"
	for _, c := range []struct {
		name, auth          string
		credentials         map[string]any
		header, value       string
		query               string
		secretHeader, inURL string
	}{
		{name: "bearer", auth: auth, credentials: key.Credentials, header: "Authorization", value: "Bearer k3y-k3y-k3y"},
		{name: "header", auth: "- {id: k, kind: api_key, in: header, name: X-Api-Key}", credentials: key.Credentials, header: "X-Api-Key", value: "k3y-k3y-k3y", secretHeader: "X-Api-Key"},
		{name: "header with a prefix", auth: `- {id: k, kind: api_key, in: header, name: Authorization, value: '${ "Bot " + .credentials.api_key }'}`, credentials: key.Credentials, header: "Authorization", value: "Bot k3y-k3y-k3y", secretHeader: "Authorization"},
		{name: "query", auth: "- {id: k, kind: api_key, in: query, name: api_key}", credentials: key.Credentials, query: "api_key"},
		{name: "basic", auth: "- {id: b, kind: basic}", credentials: map[string]any{"username": "aladdin", "password": "opensesame"}, header: "Authorization", value: "Basic YWxhZGRpbjpvcGVuc2VzYW1l"},
		{name: "oauth2", auth: "- {id: o, kind: oauth2, oauth2: {authorize_url: https://a.test, token_url: https://a.test}}", credentials: map[string]any{"access_token": "t0k3n"}, header: "Authorization", value: "Bearer t0k3n"},
		{name: "none", auth: "- {id: n, kind: none}", header: "Authorization"},
	} {
		p := load(t, auth, c.auth, "safety: read", "safety: read\n    query: {api_key: mine}\n    headers: {Authorization: mine, X-Api-Key: mine}")
		conn := manifest.Connection{Credentials: c.credentials}
		if err := p.ValidateConnection(conn); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		r := request(t, p, conn, map[string]any{"id": "x"})
		u, _ := url.Parse(r.URL)
		if c.value != "" && r.Header.Get(c.header) != c.value {
			t.Errorf("%s: header %v", c.name, r.Header)
		}
		if c.query != "" && (u.Query().Get(c.query) != "k3y-k3y-k3y" || len(r.SecretQuery) != 1 || r.SecretQuery[0] != c.query) {
			t.Errorf("%s: %s, secret %v", c.name, r.URL, r.SecretQuery)
		}
		if c.query == "" && strings.Contains(r.URL, "k3y") {
			t.Errorf("%s: the URL contains the key", c.name)
		}
		if c.secretHeader != "" && (len(r.SecretHeaders) != 1 || r.SecretHeaders[0] != c.secretHeader) {
			t.Errorf("%s: secret headers %v", c.name, r.SecretHeaders)
		}
	}
}

func TestRequestsAreConfinedToHosts(t *testing.T) {
	t.Parallel()
	sub := []string{"base_url: https://api.acme.test/v1", `base_url: '${ "https://" + .settings.sub + ".acme.test/v1/" }'
hosts: ["*.acme.test"]
settings: {type: object, required: [sub], properties: {sub: {type: string}}}`}
	p := load(t, sub...)
	a, _ := p.Action("get_thing")
	call := manifest.Call{Input: map[string]any{"id": "x"}}
	with := func(value string) manifest.Connection {
		return manifest.Connection{Credentials: key.Credentials, Settings: map[string]any{"sub": value}}
	}
	r, err := a.Request(with("eu"), call)
	if err != nil || r.URL != "https://eu.acme.test/v1/things/x" || r.Host != "eu.acme.test" || r.Hosts[0] != "*.acme.test" {
		t.Fatalf("got %+v, %v", r, err)
	}
	for _, evil := range []string{"evil.org/", "evil.org?", "evil.org#", "evil.org:443/", "user@evil.org/", "user:pw@a", "a/../b", "", "evil.org\\", " ", "\n"} {
		if r, err := a.Request(with(evil), call); err == nil {
			t.Errorf("%q: got a request to %s", evil, r.URL)
		}
	}
	mock := with("eu")
	mock.BaseURL = "http://127.0.0.1:9999/mock"
	r, err = a.Request(mock, call)
	if err != nil || r.URL != "http://127.0.0.1:9999/mock/things/x" || len(r.Hosts) != 1 || r.Hosts[0] != "127.0.0.1:9999" {
		t.Fatalf("got %+v, %v", r, err)
	}
}

func TestPathExpressions(t *testing.T) {
	t.Parallel()
	p := load(t, "path: /things/{id}", "path: '${ .input.id }'")
	a, _ := p.Action("get_thing")
	for path, want := range map[string]string{
		"/a/b": "https://api.acme.test/v1/a/b", "/a%2Fb": "https://api.acme.test/v1/a%2Fb", "/a b": "https://api.acme.test/v1/a%20b",
		"/projects/équipe%2Fapp": "https://api.acme.test/v1/projects/%C3%A9quipe%2Fapp", "/my group%2fapp": "https://api.acme.test/v1/my%20group%2fapp",
		"/tel/%2B49 30": "https://api.acme.test/v1/tel/%2B49%2030", "/a+b;c=d,e@f:g!$&'()*": "https://api.acme.test/v1/a+b;c=d,e@f:g!$&'()*",
		"/a%3Fb%23c%25d": "https://api.acme.test/v1/a%3Fb%23c%25d", `/"<>[]^{|}` + "`": "https://api.acme.test/v1/%22%3C%3E%5B%5D%5E%7B%7C%7D%60",
		"/a%5Cb": "https://api.acme.test/v1/a%5Cb", "/a%252Fb": "https://api.acme.test/v1/a%252Fb", "/...": "https://api.acme.test/v1/...",
		"//evil.org/x": "https://api.acme.test/v1//evil.org/x", "/": "https://api.acme.test/v1/", "/a//b/": "https://api.acme.test/v1/a//b/",
		"": "", "a": "", "/..": "", "/a/../b": "", "/%2e%2e/b": "", "/a%2F..%2Fb": "", "/a%5c..%5cb": "", "/%252e%252e/b": "", "/..;x/b": "", "/.": "",
		"/a\\b": "", "/a\nb": "", "/a%0Ab": "", "/%zz": "", "/100%": "", "https://evil.org": "", "@evil.org": "", "/a?b=c": "", "/a#b": "", "/a?": "",
	} {
		r, err := a.Request(key, manifest.Call{Input: map[string]any{"id": path}})
		switch {
		case want == "" && err == nil:
			t.Errorf("%q: got a request to %s", path, r.URL)
		case want != "" && (err != nil || r.URL != want):
			t.Errorf("%q: got %v, %v", path, r, err)
		}
	}
}

func TestSafetyAndIdempotencyKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		safety string
		key    string
		want   egress.Safety
		sent   string
	}{
		{"read", "", egress.Read, ""},
		{"idempotent", "", egress.Idempotent, ""},
		{"write_once", "", egress.WriteOnce, ""},
		{"write_once", "abc", egress.WriteOnce, ""},
		{"write_once\n    idempotency_header: Idempotency-Key", "", egress.WriteOnce, ""},
		{"write_once\n    idempotency_header: Idempotency-Key", "abc", egress.Idempotent, "abc"},
		{`'${ if .input.id == "x" then "read" else "write_once" end }'`, "", egress.Read, ""},
		{`'${ "sometimes" }'`, "", egress.WriteOnce, ""},
	} {
		p := load(t, "safety: read", "safety: "+c.safety, "name: Acme", "name: Acme\ntimeout: 7s")
		a, _ := p.Action("get_thing")
		r, err := a.Request(key, manifest.Call{Input: map[string]any{"id": "x"}, IdempotencyKey: c.key})
		if err != nil || r.Safety != c.want || r.Header.Get("Idempotency-Key") != c.sent || r.Timeout != 7*time.Second {
			t.Errorf("%s with %q: got %v, %v", c.safety, c.key, r, err)
		}
	}
}

func TestHeaderInjection(t *testing.T) {
	t.Parallel()
	p := load(t, "safety: read", "safety: read\n    headers: '${ {\"X-Thing\": .input.id} }'", "in: bearer", "in: header, name: '${ .settings.name }'",
		"auth:", "settings: {type: object, properties: {name: {type: string}}}\nauth:")
	a, _ := p.Action("get_thing")
	for _, c := range []struct{ id, name string }{{"a\r\nb: c", "X-Key"}, {"a", "X Key"}, {"a", ""}, {"a", "X-Key\r\nY"}} {
		conn := manifest.Connection{Credentials: key.Credentials, Settings: map[string]any{"name": c.name}}
		if _, err := a.Request(conn, manifest.Call{Input: map[string]any{"id": c.id}}); err == nil {
			t.Errorf("%q: no error", c)
		} else if strings.Contains(err.Error(), "k3y") {
			t.Errorf("the error contains the key: %v", err)
		}
	}
}

func TestInputErrors(t *testing.T) {
	t.Parallel()
	p := load(t, "id: {type: string}", "id: {type: string, maxLength: 3}\n        nested: {type: object, required: [a], properties: {a: {type: integer, minimum: 2}}}\n        when: {type: string, format: date-time}")
	a, _ := p.Action("get_thing")
	for _, c := range []struct {
		input map[string]any
		want  string
	}{
		{nil, "/id is required"},
		{map[string]any{"id": 1}, "/id must be string, not number"},
		{map[string]any{"id": "s3cret"}, "/id must have at most 3 characters"},
		{map[string]any{"id": "x", "other~/": 1}, "/other~0~1 is not a known field"},
		{map[string]any{"id": "x", "nested": map[string]any{}}, "/nested/a is required"},
		{map[string]any{"id": "x", "nested": map[string]any{"a": json.Number("1")}}, "/nested/a must be at least 2"},
		{map[string]any{"id": "x", "nested": map[string]any{"a": 1.5}}, "/nested/a must be integer, not number"},
		{map[string]any{"id": "x", "when": "s3cret"}, "/when must be in the format date-time"},
	} {
		err := a.ValidateInput(c.input)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v: got %v", c.input, err)
		}
	}
	if err := a.ValidateInput(map[string]any{"id": "x", "nested": map[string]any{"a": int64(7)}}); err != nil {
		t.Error(err)
	}
}

func TestConnectionErrors(t *testing.T) {
	t.Parallel()
	p := load(t, "in: bearer", "in: bearer, credentials: {type: object, required: [api_key], properties: {api_key: {type: string, pattern: '^k'}}}",
		"auth:", "settings: {type: object, required: [region], properties: {region: {enum: [eu, us]}}}\nauth:")
	err := p.ValidateConnection(manifest.Connection{Credentials: map[string]any{"api_key": "s3cret", "s3": 1}, Settings: map[string]any{}})
	for _, want := range []string{"/credentials/api_key must match", "/credentials/s3 is not a known field", "/settings/region is required"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("got %v", err)
		}
	}
	if err := p.ValidateConnection(manifest.Connection{Auth: "nope"}); err == nil || !strings.Contains(err.Error(), "/auth") {
		t.Errorf("got %v", err)
	}
}

func TestExpressionLimits(t *testing.T) {
	t.Parallel()
	for name, expression := range map[string]string{
		"endless": "[range(0; infinite) | select(. < 0)]", "recursion": "def f: f; f", "large": `"x" * 3000000`, "many": "[range(300000)]",
	} {
		p := load(t, "safety: read", "safety: read\n    body: {json: '${ "+expression+" }'}")
		a, _ := p.Action("get_thing")
		begin := time.Now()
		if _, err := a.Request(key, manifest.Call{Input: map[string]any{"id": "x"}}); err == nil {
			t.Errorf("%s: no error", name)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
	// The environment is not available.
	for _, name := range []string{"env", "$ENV"} {
		if _, err := manifest.Load([]byte(changed(t, "safety: read", "safety: read\n    body: {json: '${ "+name+" }'}"))); err == nil || !strings.Contains(err.Error(), "is not allowed") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestInputIsNotModified(t *testing.T) {
	t.Parallel()
	p := load(t, "safety: read", "safety: read\n    body: {json: '${ .input | .list[0] = .list[1] + 7 | del(.id) }'}", "id: {type: string}", "id: {type: string}\n        list: {type: array}")
	input := map[string]any{"id": "x", "list": []any{1, int64(2)}}
	r := request(t, p, key, input)
	if string(r.Body) != `{"list":[9,2]}` || input["id"] != "x" || input["list"].([]any)[0] != 1 || input["list"].([]any)[1] != int64(2) {
		t.Errorf("got %s, input %v", r.Body, input)
	}
}

func BenchmarkRequestAndInterpret(b *testing.B) {
	p, err := manifest.Load([]byte(minimal))
	if err != nil {
		b.Fatal(err)
	}
	a, _ := p.Action("get_thing")
	call := manifest.Call{Input: map[string]any{"id": "x"}}
	answer := manifest.Answer{Status: 200, Body: []byte(`{"id":"x","name":"thing","tags":["a","b"]}`)}
	b.ReportAllocs()
	for b.Loop() {
		if err := a.ValidateInput(call.Input); err != nil {
			b.Fatal(err)
		}
		if _, err := a.Request(key, call); err != nil {
			b.Fatal(err)
		}
		if _, failed := a.Interpret(key, call.Input, answer); failed != nil {
			b.Fatal(failed)
		}
	}
}
