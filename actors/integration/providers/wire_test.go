package providers_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
)

// received is a request as a server received it.
type received struct {
	method, path, contentType, body string
	query                           url.Values
	header                          http.Header
}

func (r *received) record(t *testing.T, request *http.Request) {
	data, err := io.ReadAll(request.Body)
	if err != nil {
		t.Error(err)
	}
	*r = received{
		request.Method, request.URL.EscapedPath(), request.Header.Get("Content-Type"), string(data), request.URL.Query(), request.Header.Clone(),
	}
}

// serve starts a server that answers every request with the same response, and records the last request.
func serve(t *testing.T, status int, body string, header ...string) (address string, last *received) {
	t.Helper()
	last = &received{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last.record(t, r)
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server.URL, last
}

// call calls an action as the integration actor does: it validates the input, builds and sends the request, and interprets the
// response. The action "" is the health probe.
func call(t *testing.T, provider, action string, conn manifest.Connection, input map[string]any) (any, *manifest.CallError) {
	t.Helper()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	p := loaded[provider]
	if err := p.ValidateConnection(conn); err != nil {
		t.Fatalf("validating connection: %v", err)
	}
	a := p.Health
	if action != "" {
		a, _ = p.Action(action)
	}
	if err := a.ValidateInput(input); err != nil {
		t.Fatalf("validating input: %v", err)
	}
	r, err := a.Request(conn, manifest.Call{Input: input})
	if err != nil {
		t.Fatal(err)
	}
	client, err := egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	answer, err := client.Do(t.Context(), r.Request)
	if err != nil {
		return nil, manifest.Unanswered(err)
	}
	return a.Interpret(conn, input, manifest.Answer{Status: answer.Status, Header: answer.Header, Body: answer.Body, At: time.Now()})
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func TestSlack(t *testing.T) {
	t.Parallel()
	with := func(address string) manifest.Connection {
		return manifest.Connection{BaseURL: address + "/api", Credentials: map[string]any{"token": "xoxb-0123456789"}}
	}
	address, last := serve(t, 200, `{"ok":true,"channel":"C1","ts":"1.2","message":{"text":"<hi> & bye"},"extra":1}`)
	output, failed := call(t, "slack", "send_message", with(address), map[string]any{"channel": "C1", "text": "<hi> & bye", "blocks": []any{map[string]any{"type": "divider"}}})
	if failed != nil || asJSON(t, output) != `{"channel":"C1","message":{"text":"\u003chi\u003e \u0026 bye"},"ts":"1.2"}` {
		t.Errorf("got %v, %v", output, failed)
	}
	if last.method != "POST" || last.path != "/api/chat.postMessage" || last.header.Get("Authorization") != "Bearer xoxb-0123456789" ||
		last.body != "blocks=%5B%7B%22type%22%3A%22divider%22%7D%5D&channel=C1&text=%3Chi%3E+%26+bye" {
		t.Errorf("Slack received %+v", last)
	}

	for body, want := range map[string]manifest.CallError{
		`{"ok":false,"error":"token_revoked"}`:                                                       {Class: manifest.ClassAuth, Status: 200, Code: "token_revoked", Message: "token_revoked", Expired: true},
		`{"ok":false,"error":"missing_scope"}`:                                                       {Class: manifest.ClassAuth, Status: 200, Code: "missing_scope", Message: "missing_scope"},
		`{"ok":false,"error":"channel_not_found"}`:                                                   {Class: manifest.ClassNotFound, Status: 200, Code: "channel_not_found", Message: "channel_not_found"},
		`{"ok":false,"error":"ratelimited"}`:                                                         {Class: manifest.ClassLimited, Status: 200, Code: "ratelimited", Message: "ratelimited"},
		`{"ok":false,"error":"invalid_blocks","response_metadata":{"messages":["[ERROR] no text"]}}`: {Class: manifest.ClassInvalid, Status: 200, Code: "invalid_blocks", Message: "invalid_blocks; [ERROR] no text"},
	} {
		address, _ := serve(t, 200, body)
		if _, failed := call(t, "slack", "send_message", with(address), map[string]any{"channel": "C1", "text": "x"}); failed == nil || *failed != want {
			t.Errorf("%s: got %+v", body, failed)
		}
	}
	address, _ = serve(t, 429, "", "Retry-After", "30")
	if _, failed := call(t, "slack", "", with(address), nil); failed == nil || failed.Class != manifest.ClassLimited || failed.RetryAfter != 30*time.Second {
		t.Errorf("got %+v", failed)
	}
	address, last = serve(t, 200, `{"ok":true,"user_id":"U1","user":"grace","team_id":"T1","team":"Navy","url":"https://navy.slack.com/"}`)
	output, failed = call(t, "slack", "", with(address), nil)
	if failed != nil || !strings.Contains(asJSON(t, output), `"account_name":"grace"`) || last.path != "/api/auth.test" {
		t.Errorf("probe: %v, %v", output, failed)
	}
	address, _ = serve(t, 200, `{"ok":false,"error":"already_reacted"}`)
	if _, failed = call(t, "slack", "add_reaction", with(address), map[string]any{"channel": "C1", "timestamp": "1.2", "name": "x"}); failed != nil {
		t.Errorf("an existing reaction: %v", failed)
	}
}

func TestGitHub(t *testing.T) {
	t.Parallel()
	with := func(address string) manifest.Connection {
		return manifest.Connection{BaseURL: address, Credentials: map[string]any{"token": "github_pat_0123456789"}}
	}
	address, last := serve(t, 201, `{"id":1,"number":7,"html_url":"https://github.com/o/r/issues/7"}`)
	output, failed := call(t, "github", "create_issue", with(address), map[string]any{"owner": "o/x", "repo": "r", "title": "<b>", "milestone": nil})
	if failed != nil || asJSON(t, output) != `{"html_url":"https://github.com/o/r/issues/7","id":1,"number":7}` {
		t.Errorf("got %v, %v", output, failed)
	}
	if last.path != "/repos/o%2Fx/r/issues" || last.body != `{"milestone":null,"title":"<b>"}` || last.header.Get("Accept") != "application/vnd.github+json" {
		t.Errorf("GitHub received %+v", last)
	}
	for _, c := range []struct {
		status int
		body   string
		header []string
		want   manifest.Class
	}{
		{403, `{"message":"API rate limit exceeded for user ID 1."}`, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "4102444800"}, manifest.ClassLimited},
		{403, `{"message":"You have exceeded a secondary rate limit"}`, []string{"Retry-After", "60"}, manifest.ClassLimited},
		{403, `{"message":"Resource not accessible by personal access token"}`, nil, manifest.ClassAuth},
		{404, `{"message":"Not Found"}`, nil, manifest.ClassNotFound},
		{422, `{"message":"Validation Failed","errors":[{"field":"title","code":"missing_field"}]}`, nil, manifest.ClassInvalid},
	} {
		address, _ := serve(t, c.status, c.body, c.header...)
		_, failed := call(t, "github", "get_authenticated_user", with(address), nil)
		if failed == nil || failed.Class != c.want || failed.Class == manifest.ClassLimited && failed.RetryAfter == 0 && c.header[0] == "Retry-After" {
			t.Errorf("%s: got %+v", c.body, failed)
		}
		if c.status == 422 && failed.Message != "Validation Failed; title missing_field" {
			t.Errorf("message %q", failed.Message)
		}
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		auth        string
		settings    map[string]any
		credentials map[string]any
		header      string
		value       string
	}{
		{"bearer", nil, map[string]any{"api_key": "k3y-k3y-k3y"}, "Authorization", "Bearer k3y-k3y-k3y"},
		{"", nil, map[string]any{"api_key": "k3y-k3y-k3y"}, "Authorization", "Bearer k3y-k3y-k3y"},
		{"header", nil, map[string]any{"api_key": "k3y-k3y-k3y"}, "X-Api-Key", "k3y-k3y-k3y"},
		{"header", map[string]any{"key_name": "X-Token"}, map[string]any{"api_key": "k3y-k3y-k3y"}, "X-Token", "k3y-k3y-k3y"},
		{"query", nil, map[string]any{"api_key": "k3y-k3y-k3y"}, "api_key", "k3y-k3y-k3y"},
		{"query", map[string]any{"key_name": "token"}, map[string]any{"api_key": "k3y-k3y-k3y"}, "token", "k3y-k3y-k3y"},
		{"basic", nil, map[string]any{"username": "u", "password": "p"}, "Authorization", "Basic dTpw"},
		{"none", nil, nil, "Authorization", ""},
	} {
		address, last := serve(t, 202, `{"echo":"k3y-k3y-k3y"}`)
		settings := map[string]any{"base_url": address + "/base"}
		for name, value := range c.settings {
			settings[name] = value
		}
		conn := manifest.Connection{Auth: c.auth, Settings: settings, Credentials: c.credentials}
		input := map[string]any{
			"method": "PATCH", "path": "/things/7", "query": map[string]any{"a": []any{1, true}, "b": nil},
			"headers": map[string]any{"X-Mine": "1", "Authorization": "forged"}, "body": map[string]any{"n": 1},
		}
		output, failed := call(t, "http", "request", conn, input)
		if failed != nil {
			t.Errorf("%s: %v", c.auth, failed)
			continue
		}
		if last.method != "PATCH" || last.path != "/base/things/7" || strings.Join(last.query["a"], ",") != "1,true" || last.query.Has("b") ||
			last.body != `{"n":1}` || last.header.Get("X-Mine") != "1" {
			t.Errorf("%s: the API received %+v", c.auth, last)
		}
		got := last.header.Get(c.header)
		if c.auth == "query" {
			got = last.query.Get(c.header)
		}
		if got != c.value && c.auth != "none" {
			t.Errorf("%s: %s was %q", c.auth, c.header, got)
		}
		text := asJSON(t, output)
		if !strings.Contains(text, `"status":202`) || c.credentials["api_key"] != nil && strings.Contains(text, "k3y") {
			t.Errorf("%s: output %s", c.auth, text)
		}
	}
}

func TestHTTPBodiesAndProbe(t *testing.T) {
	t.Parallel()
	address, last := serve(t, 404, `{}`)
	conn := manifest.Connection{Auth: "none", Settings: map[string]any{"base_url": address, "health_path": "/ping"}}
	for _, c := range []struct {
		action             string
		input              map[string]any
		method, kind, body string
	}{
		{"request", map[string]any{"method": "POST", "path": "/x", "form": map[string]any{"a": "1 2"}}, "POST", "application/x-www-form-urlencoded", "a=1+2"},
		{"request", map[string]any{"method": "PUT", "path": "/x", "text": "<a/>", "content_type": "application/xml"}, "PUT", "application/xml", "<a/>"},
		{"get", map[string]any{"path": "/x"}, "GET", "", ""},
		{"post", map[string]any{"path": "/x", "body": []any{1}}, "POST", "application/json", "[1]"},
		{"put", map[string]any{"path": "/x", "body": "s"}, "PUT", "application/json", `"s"`},
		{"patch", map[string]any{"path": "/x", "body": map[string]any{}}, "PATCH", "application/json", "{}"},
		{"delete", map[string]any{"path": "/x"}, "DELETE", "", ""},
	} {
		_, failed := call(t, "http", c.action, conn, c.input)
		if failed == nil || failed.Class != manifest.ClassNotFound || last.method != c.method || last.contentType != c.kind || last.body != c.body {
			t.Errorf("%s: got %v, the API received %+v", c.action, failed, last)
		}
	}
	// The probe tests whether the API is reachable and accepts the credentials, not whether the path exists.
	if output, failed := call(t, "http", "", conn, nil); failed != nil || asJSON(t, output) != `{"status":404}` || last.path != "/ping" {
		t.Errorf("got %v, %v", output, failed)
	}
	for _, status := range []int{401, 403, 500} {
		conn.Settings["base_url"], _ = serve(t, status, "")
		if _, failed := call(t, "http", "", conn, nil); failed == nil {
			t.Errorf("the probe succeeded with %d", status)
		}
	}
}

func TestHTTPSafety(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	a, _ := loaded["http"].Action("request")
	conn := manifest.Connection{Auth: "none", Settings: map[string]any{"base_url": "https://api.example.com"}}
	for _, c := range []struct {
		input map[string]any
		want  egress.Safety
	}{
		{map[string]any{"method": "GET"}, egress.Read},
		{map[string]any{"method": "POST"}, egress.WriteOnce},
		{map[string]any{"method": "PUT"}, egress.WriteOnce},
		{map[string]any{"method": "POST", "idempotent": true}, egress.Idempotent},
	} {
		c.input["path"] = "/"
		r, err := a.Request(conn, manifest.Call{Input: c.input})
		if err != nil || r.Safety != c.want {
			t.Errorf("%v: got %v, %v", c.input, r, err)
		}
	}
	if err := a.ValidateInput(map[string]any{"method": "POST", "path": "/", "body": 1, "form": map[string]any{}}); err == nil {
		t.Error("an input with two bodies is valid")
	}
}
