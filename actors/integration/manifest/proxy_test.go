package manifest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
)

func TestProxyRequests(t *testing.T) {
	t.Parallel()
	p := load(t, "auth:", "headers: {X-Version: '7'}\nauth:")
	for _, c := range []struct {
		name        string
		input       map[string]any
		url         string
		safety      egress.Safety
		body, value string
	}{
		{"read", map[string]any{"method": "GET", "path": "/a%2Fb"}, "/v1/a%2Fb", egress.Read, "", "7"},
		{"head", map[string]any{"method": "HEAD", "path": "/"}, "/v1/", egress.Read, "", "7"},
		{"query", map[string]any{"method": "GET", "path": "/a", "query": map[string]any{"b": []any{1, true}, "c": "&"}}, "/v1/a?b=1&b=true&c=%26", egress.Read, "", "7"},
		{"body", map[string]any{"method": "POST", "path": "/a", "body": map[string]any{"n": nil}}, "/v1/a", egress.WriteOnce, `{"n":null}`, "7"},
		{"body of false", map[string]any{"method": "PUT", "path": "/a", "body": false}, "/v1/a", egress.WriteOnce, "false", "7"},
		{"headers", map[string]any{"method": "DELETE", "path": "/a", "headers": map[string]any{"x-version": "8"}}, "/v1/a", egress.WriteOnce, "", "8"},
		{"credentials are not replaced", map[string]any{"method": "PATCH", "path": "/a", "headers": map[string]any{"Authorization": "x"}}, "/v1/a", egress.WriteOnce, "", "7"},
	} {
		if err := p.Proxy.ValidateInput(c.input); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		r, err := p.Proxy.Request(key, manifest.Call{Input: c.input})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if r.URL != "https://api.acme.test"+c.url || r.Safety != c.safety || string(r.Body) != c.body || r.Header.Get("X-Version") != c.value ||
			r.Header.Get("Authorization") != "Bearer k3y-k3y-k3y" || r.Method != c.input["method"] {
			t.Errorf("%s: got %+v", c.name, r)
		}
	}
}

func TestProxyInput(t *testing.T) {
	t.Parallel()
	p := load(t)
	with := func(name string, value any) map[string]any {
		input := map[string]any{"method": "GET", "path": "/a"}
		input[name] = value
		return input
	}
	for _, c := range []struct {
		input map[string]any
		want  string
	}{
		{nil, "/method is required; /path is required"},
		{with("method", "get"), "/method must be one of GET, HEAD, POST, PUT, PATCH, DELETE"},
		{with("method", "CONNECT"), "/method must be one of GET, HEAD, POST, PUT, PATCH, DELETE"},
		{with("path", "a"), "/path must match"},
		{with("path", "https://evil.test"), "/path must match"},
		{with("path", "/"+strings.Repeat("x", 4096)), "/path must have at most 4096 characters"},
		{with("query", "a=b"), "/query must be object, not string"},
		{with("query", map[string]any{"a": map[string]any{}}), "/query/a must match one of the alternatives of its schema"},
		{with("headers", map[string]any{"X:Y": "a"}), "/headers/X:Y is not a known field"},
		{with("headers", map[string]any{"X-Y": 1}), "/headers/X-Y must be string, not number"},
		{with("object", ""), "/object must have at least 1 characters"},
		{with("to_object", "yes"), "/to_object must be boolean, not string"},
		{with("url", "https://evil.test"), "/url is not a known field"},
	} {
		if err := p.Proxy.ValidateInput(c.input); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %s", c.input, err, c.want)
		}
	}
	for _, path := range []string{"/../admin", "/a/%2e%2e/b", "/a\\b", "/a%00", "/%"} {
		if r, err := p.Proxy.Request(key, manifest.Call{Input: with("path", path)}); err == nil {
			t.Errorf("%s: got a request to %s", path, r.URL)
		}
	}
}

func TestProxyObjects(t *testing.T) {
	t.Parallel()
	p := load(t)
	input := map[string]any{"method": "PUT", "path": "/a", "object": "o1", "to_object": true}
	r, err := p.Proxy.Request(key, manifest.Call{Input: input, Object: anyObject})
	if err != nil || bodyOf(t, r) != "hello" || r.Header.Get("Content-Type") != "image/png" || !r.ToObject || r.Header.Get("Accept") != "*/*" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestWholeResponse(t *testing.T) {
	t.Parallel()
	p := load(t)
	answer := manifest.Answer{Status: 418, Header: http.Header{"X-Echo": {"k3y-k3y-k3y", "b"}}, Body: []byte(`{"token":"k3y-k3y-k3y","n":1.0}`)}
	whole := func() string {
		t.Helper()
		value, err := p.Proxy.Whole(key, nil, answer)
		if err != nil {
			return err.Error()
		}
		return text(value)
	}
	if got := whole(); got != `{"body":{"n":1.0,"token":"[redacted]"},"headers":{"x-echo":"[redacted], b"},"status":418}` {
		t.Errorf("got %s", got)
	}
	answer.Body, answer.Header = []byte("PNG"), http.Header{"Content-Type": {"image/png"}}
	if got := whole(); !strings.Contains(got, `"base64":true,"body":"UE5H"`) {
		t.Errorf("an image: got %s", got)
	}
	answer.Body, answer.Header = []byte("\xff\xfe\xfd"), http.Header{"Content-Type": {"text/csv"}}
	if got := whole(); !strings.Contains(got, "not text in its charset") {
		t.Errorf("an undecodable text: got %s", got)
	}
	answer.Body, answer.Object = nil, map[string]any{"id": "o1"}
	if got := whole(); !strings.Contains(got, `"body":null`) || !strings.Contains(got, `"object":{"id":"o1"}`) {
		t.Errorf("stored response: got %s", got)
	}
}

func TestRedactionOfNestedCredentials(t *testing.T) {
	t.Parallel()
	p := load(t, "in: bearer", `in: bearer, value: "${ .credentials.key.value }", credentials: {type: object, properties: {key: {type: object}, account: {type: string, writeOnly: false}, short: {type: string}}}`)
	conn := manifest.Connection{Credentials: map[string]any{
		"key": map[string]any{"value": "n3sted-secret", "list": []any{"l1sted-secret"}}, "account": "public-account", "short": "abcde",
	}}
	if err := p.ValidateConnection(conn); err != nil {
		t.Fatal(err)
	}
	a, _ := p.Action("get_thing")
	answer := manifest.Answer{Status: 200, Body: []byte(`["n3sted-secret","x l1sted-secret y","public-account","abcde"]`)}
	output, failed := a.Interpret(conn, nil, answer)
	if failed != nil || text(output) != `["[redacted]","x [redacted] y","public-account","abcde"]` {
		t.Errorf("output: got %s, %v", text(output), failed)
	}
	// In messages, shorter credentials are redacted too.
	answer = manifest.Answer{Status: 400, Body: []byte(`{"message":"n3sted-secret abcde public-account"}`)}
	if _, failed := a.Interpret(conn, nil, answer); failed == nil || failed.Message != "[redacted] [redacted] public-account" {
		t.Errorf("message: got %+v", failed)
	}
}
