package gateway_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/subjects"
)

// thing has fields of every kind in every place.
type thing struct {
	ID      string          `json:"id" in:"path" maxLength:"20"`
	Count   int             `json:"count,omitempty" in:"query" minimum:"1" maximum:"9"`
	Share   float64         `json:"share,omitempty" in:"query"`
	All     bool            `json:"all,omitempty" in:"query"`
	Tags    []string        `json:"tags,omitempty" in:"query" maxItems:"3"`
	Numbers []int           `json:"numbers,omitempty" in:"query"`
	Mark    string          `json:"mark,omitempty" in:"header:X-Mark" maxLength:"5"`
	Name    string          `json:"name,omitempty" maxLength:"10"`
	Big     json.RawMessage `json:"big,omitempty"`
}

var things = describe[thing, map[string]string]("things", "POST /t/things/{id}", nil)

func TestRequestMessages(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed(), things)
	s.play(t, s.listen(t, things, map[string]string{"ok": "yes"}), []scenario{
		{name: "path only", method: "POST", path: "/t/things/a", status: 200, message: `{"id":"a"}`, contains: []string{`{"ok":"yes"}`}},
		{name: "all places", method: "POST", path: "/t/things/a%2Fb%20%22?count=3&share=0.5&all=true&tags=x&tags=y,z&numbers=1,2",
			header: []string{"X-Mark: m"}, body: `{"name":"n"}`, status: 200,
			message: `{"id":"a/b \"","count":3,"share":0.5,"all":true,"tags":["x","y","z"],"numbers":[1,2],"mark":"m","name":"n"}`},
		{name: "empty object", method: "POST", path: "/t/things/a", body: ` { } `, status: 200, message: `{"id":"a"}`},
		{name: "+json content type", method: "POST", path: "/t/things/a", body: `{}`, header: []string{"Content-Type: application/x+json; charset=UTF-8"}, status: 200, message: `{"id":"a"}`},
		{name: "path field in the body", method: "POST", path: "/t/things/a", body: `{"id":"a"}`, status: 400, code: subjects.CodeInvalid, field: "id"},
		{name: "query field in the body", method: "POST", path: "/t/things/a", body: `{"count":2}`, status: 400, code: subjects.CodeInvalid, field: "count"},
		{name: "query field in both", method: "POST", path: "/t/things/a?count=2", body: `{"count":2}`, status: 400, code: subjects.CodeInvalid, field: "count"},
		{name: "query twice", method: "POST", path: "/t/things/a?count=2&count=3", status: 400, code: subjects.CodeInvalid, field: "count"},
		{name: "header twice", method: "POST", path: "/t/things/a", header: []string{"X-Mark: a", "X-Mark: b"}, status: 400, code: subjects.CodeInvalid, field: "mark"},
		{name: "unknown query parameter", method: "POST", path: "/t/things/a?nope=1", status: 400, code: subjects.CodeInvalid, field: "nope"},
		{name: "body field in the query", method: "POST", path: "/t/things/a?name=x", status: 400, code: subjects.CodeInvalid, field: "name"},
		{name: "not an integer", method: "POST", path: "/t/things/a?count=x1", status: 400, code: subjects.CodeInvalid, field: "count", absent: []string{"x1"}},
		{name: "empty integer", method: "POST", path: "/t/things/a?count=", status: 400, code: subjects.CodeInvalid, field: "count"},
		{name: "above maximum", method: "POST", path: "/t/things/a?count=10", status: 400, code: subjects.CodeInvalid, field: "count"},
		{name: "not a boolean", method: "POST", path: "/t/things/a?all=yes", status: 400, code: subjects.CodeInvalid, field: "all"},
		{name: "not a number", method: "POST", path: "/t/things/a?share=NaN", status: 400, code: subjects.CodeInvalid, field: "share"},
		{name: "too many items", method: "POST", path: "/t/things/a?tags=1,2,3,4", status: 400, code: subjects.CodeInvalid, field: "tags"},
		{name: "not an integer in a list", method: "POST", path: "/t/things/a?numbers=1,b", status: 400, code: subjects.CodeInvalid, field: "numbers"},
		{name: "malformed query", method: "POST", path: "/t/things/a?count=%zz", status: 400, code: subjects.CodeInvalid},
		{name: "invalid UTF-8 in the path", method: "POST", path: "/t/things/%ff", status: 400, code: subjects.CodeInvalid, field: "id"},
		{name: "invalid UTF-8 in a header", method: "POST", path: "/t/things/a", header: []string{"X-Mark: \xff"}, status: 400, code: subjects.CodeInvalid, field: "mark"},
		{name: "path field too long", method: "POST", path: "/t/things/" + strings.Repeat("a", 21), status: 400, code: subjects.CodeInvalid, field: "id"},
		{name: "unknown field", method: "POST", path: "/t/things/a", body: `{"admin":true}`, status: 400, code: subjects.CodeInvalid, field: "admin"},
		{name: "field in another case", method: "POST", path: "/t/things/a", body: `{"NAME":"x"}`, status: 400, code: subjects.CodeInvalid, field: "NAME"},
		{name: "path field in another case", method: "POST", path: "/t/things/a", body: `{"ID":"x"}`, status: 400, code: subjects.CodeInvalid, field: "ID"},
		{name: "duplicate key", method: "POST", path: "/t/things/a", body: `{"name":"x","name":"y"}`, status: 400, code: subjects.CodeInvalid},
		{name: "not an object", method: "POST", path: "/t/things/a", body: `["x"]`, status: 400, code: subjects.CodeInvalid},
		{name: "null", method: "POST", path: "/t/things/a", body: `null`, status: 400, code: subjects.CodeInvalid},
		{name: "not JSON", method: "POST", path: "/t/things/a", body: `{`, status: 400, code: subjects.CodeInvalid},
		{name: "two values", method: "POST", path: "/t/things/a", body: `{}{}`, status: 400, code: subjects.CodeInvalid},
		{name: "no content type", method: "POST", path: "/t/things/a", body: `{}`, header: []string{"Content-Type:"}, status: 415, code: subjects.CodeUnsupportedMediaType},
		{name: "a form", method: "POST", path: "/t/things/a", body: `name=x`, header: []string{"Content-Type: application/x-www-form-urlencoded"}, status: 415, code: subjects.CodeUnsupportedMediaType},
		{name: "another charset", method: "POST", path: "/t/things/a", body: `{}`, header: []string{"Content-Type: application/json; charset=latin1"}, status: 415, code: subjects.CodeUnsupportedMediaType},
		{name: "not acceptable", method: "POST", path: "/t/things/a", header: []string{"Accept: text/html, application/json;q=0"}, status: 406, code: subjects.CodeNotAcceptable},
		{name: "acceptable by */*", method: "POST", path: "/t/things/a", header: []string{"Accept: text/html, */*;q=0.1"}, status: 200, message: `{"id":"a"}`},
		{name: "too large", method: "POST", path: "/t/things/a", body: `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, status: 413, code: subjects.CodeTooLarge},
		{name: "method not allowed", method: "PUT", path: "/t/things/a", status: 405, code: subjects.CodeMethodNotAllowed, reply: []string{"Allow: OPTIONS, POST"}},
		{name: "unknown path", method: "POST", path: "/t/nothing", status: 404, code: subjects.CodeNotFound},
		{name: "empty path segment", method: "POST", path: "/t/things/", status: 404, code: subjects.CodeNotFound},
		{name: "options", method: "OPTIONS", path: "/t/things/a", status: 204, reply: []string{"Allow: OPTIONS, POST"}},
	})
}

func TestNumbersKeepPrecision(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"big":12345678901234567890.123}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Mark", "m")
	body := describe[struct {
		Mark string          `json:"mark" in:"header:X-Mark"`
		Big  json.RawMessage `json:"big"`
	}, struct{}]("digits", "POST /t/digits", nil)
	got, err := gateway.BuildMessage(body, httptest.NewRecorder(), r)
	if err != nil || string(got) != `{"mark":"m","big":12345678901234567890.123}` {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestMessageHeaders(t *testing.T) {
	t.Parallel()
	d := describe[subjects.Empty, map[string]string]("origin", "POST /t/origin", func(d *subjects.Descriptor) { d.Origin = true })
	s := start(t, relaxed(), d)
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	s.play(t, s.listen(t, d, map[string]string{}), []scenario{
		{name: "request id kept", method: "POST", path: "/t/origin", header: []string{"X-Request-Id: abc-1"}, status: 200,
			reply: []string{"X-Request-Id: abc-1"}, carries: []string{"Weft-Request-Id: abc-1", "Weft-Client-Ip: 127.0.0.1", "Weft-User-Agent: Go-http-client/1.1"}},
		{name: "identity headers are dropped", method: "POST", path: "/t/origin", status: 200,
			header:  []string{"Weft-User-Id: x", "Weft-Grant-Id: x", "Nats-Stream: x", "X-User-Id: x", "Weft-Client-Ip: 1.2.3.4", "X-Forwarded-For: 1.2.3.4"},
			carries: []string{"Weft-User-Id:", "Weft-Grant-Id:", "Nats-Stream:", "X-User-Id:", "Weft-Client-Ip: 127.0.0.1", "X-Forwarded-For:"}},
		{name: "idempotency key", method: "POST", path: "/t/origin", header: []string{"Idempotency-Key: k 1"}, status: 200, carries: []string{"Idempotency-Key: k 1"}},
		{name: "two idempotency keys", method: "POST", path: "/t/origin", header: []string{"Idempotency-Key: k", "Idempotency-Key: l"}, status: 400, code: subjects.CodeInvalid, field: "Idempotency-Key"},
		{name: "unknown authorization scheme", method: "POST", path: "/t/origin", header: []string{"Authorization: Basic eDp5"}, status: 200, carries: []string{"Authorization: Basic eDp5"}},
		{name: "request timeout", method: "POST", path: "/t/origin", header: []string{"Request-Timeout: 1.5"}, status: 200, carries: []string{}},
		{name: "zero request timeout", method: "POST", path: "/t/origin", header: []string{"Request-Timeout: 0"}, status: 400, code: subjects.CodeInvalid, field: "Request-Timeout"},
		{name: "trace", method: "POST", path: "/t/origin", header: []string{"Traceparent: " + parent}, status: 200, carries: []string{}},
	})
	h := s.listen(t, d, map[string]string{})
	response, _ := s.do(t, "POST", "/t/origin", "", "Traceparent: "+parent, "X-Request-Id: bad id")
	if m := h.take(); m == nil || !strings.Contains(m.Header.Get("traceparent"), "0af7651916cd43dd8448eb211c80319c") {
		t.Errorf("the message has another trace: %v", m)
	}
	if id := response.Header.Get("X-Request-Id"); id == "bad id" || len(id) < 20 {
		t.Errorf("request id %q", id)
	}
}

func TestBodyKinds(t *testing.T) {
	t.Parallel()
	type document struct {
		ID         string          `json:"id,omitempty" in:"query"`
		Definition json.RawMessage `json:"definition"`
		Note       string          `json:"note,omitempty"`
	}
	yaml := describe[document, map[string]string]("yaml", "POST /t/yaml", func(d *subjects.Descriptor) {
		d.Body = subjects.Body{Kind: subjects.BodyJSONOrYAML, Field: "definition"}
	})
	type delivery struct {
		Hook    string            `json:"hook" in:"path"`
		Payload []byte            `json:"payload"`
		Headers map[string]string `json:"headers"`
	}
	raw := describe[delivery, map[string]string]("raw", "POST /t/raw/{hook}", func(d *subjects.Descriptor) {
		d.Body = subjects.Body{Kind: subjects.BodyRaw, Field: "payload"}
	})
	type click struct {
		Token string `json:"token" in:"path"`
		Kind  string `json:"List-Unsubscribe,omitempty"`
		Times int    `json:"times,omitempty"`
	}
	form := describe[click, map[string]string]("form", "POST /t/form/{token}", func(d *subjects.Descriptor) {
		d.Body = subjects.Body{Kind: subjects.BodyForm}
	})
	s := start(t, relaxed(), yaml, raw, form)
	const asForm = "Content-Type: application/x-www-form-urlencoded"
	s.play(t, s.listen(t, yaml, map[string]string{}), []scenario{
		{name: "yaml", method: "POST", path: "/t/yaml?id=1", body: "a: \"b\"\non: x\n", header: []string{"Content-Type: application/yaml"}, status: 200, message: `{"id":"1","definition":"a: \"b\"\non: x\n"}`},
		{name: "json", method: "POST", path: "/t/yaml", body: `{"definition":{"a":1},"note":"n"}`, status: 200, message: `{"definition":{"a":1},"note":"n"}`},
		{name: "other content type", method: "POST", path: "/t/yaml", body: `x`, header: []string{"Content-Type: text/plain"}, status: 415, code: subjects.CodeUnsupportedMediaType},
		{name: "empty body", method: "POST", path: "/t/yaml", status: 400, code: subjects.CodeInvalid, field: "definition"},
		{name: "yaml with invalid UTF-8", method: "POST", path: "/t/yaml", body: "\xff", header: []string{"Content-Type: application/yaml"}, status: 400, code: subjects.CodeInvalid, field: "definition"},
	})
	h := s.listen(t, raw, map[string]string{})
	s.do(t, "POST", "/t/raw/h1", "\x00\xffbytes", "X-Signature: s", "Content-Type: application/octet-stream", "Cookie: c=1")
	var got delivery
	if m := h.take(); m == nil || json.Unmarshal(m.Data, &got) != nil || string(got.Payload) != "\x00\xffbytes" ||
		got.Headers["X-Signature"] != "s" || got.Headers["Content-Type"] != "application/octet-stream" || got.Headers["Cookie"] != "" || got.Hook != "h1" {
		t.Errorf("raw: got %+v", got)
	}
	s.play(t, s.listen(t, form, map[string]string{}), []scenario{
		{name: "form", method: "POST", path: "/t/form/x", body: "List-Unsubscribe=One-Click&times=2", header: []string{asForm}, status: 200, message: `{"token":"x","List-Unsubscribe":"One-Click","times":2}`},
		{name: "form as json", method: "POST", path: "/t/form/x", body: `{"times":2}`, status: 200, message: `{"token":"x","times":2}`},
		{name: "unknown form field", method: "POST", path: "/t/form/x", body: "nope=1", header: []string{asForm}, status: 400, code: subjects.CodeInvalid, field: "nope"},
		{name: "path field in the form", method: "POST", path: "/t/form/x", body: "token=y", header: []string{asForm}, status: 400, code: subjects.CodeInvalid, field: "token"},
	})
}

// Webhooks and their handshakes need the raw query, body, headers and response.
func TestWebhookRequests(t *testing.T) {
	t.Parallel()
	type delivery struct {
		Hook    string              `json:"hook" in:"path"`
		Query   string              `json:"query,omitempty" in:"raw_query"`
		Payload []byte              `json:"payload"`
		Headers map[string][]string `json:"headers"`
	}
	post := describe[delivery, subjects.Document]("raw", "POST /t/raw/{hook}", func(d *subjects.Descriptor) {
		d.Body, d.Produces = subjects.Body{Kind: subjects.BodyRaw, Field: "payload"}, "text/plain"
	})
	type challenge struct {
		Hook  string `json:"hook" in:"path"`
		Query string `json:"query,omitempty" in:"raw_query"`
	}
	get := describe[challenge, subjects.Document]("get", "GET /t/raw/{hook}", func(d *subjects.Descriptor) { d.Produces = "text/plain" })
	limited := describe[challenge, subjects.Document]("limited", "GET /t/limited/{hook}", func(d *subjects.Descriptor) {
		d.Produces, d.OwnLimits, d.Limits = "text/plain", true, []subjects.Limit{subjects.PerIP(3, time.Hour)}
	})
	c := relaxed()
	c.Limits.PerIP = 1
	s := start(t, c, post, get, limited)
	h := s.listen(t, post, subjects.Document{
		ContentType: "application/json", Body: []byte(`{"a":1}`), Status: 202, Headers: map[string]string{"X-Hook-Secret": "s"},
	})
	r, body := s.do(t, "POST", "/t/raw/h1?b=2&a=%2F&a=1", "x", "Accept: application/weird", "Authorization: Bearer theirs", "X-Sig: a", "X-Sig: b")
	if r.StatusCode != 202 || r.Header.Get("X-Hook-Secret") != "s" || r.Header.Get("Content-Type") != "application/json" || body != `{"a":1}` {
		t.Errorf("got %d %v %s", r.StatusCode, r.Header, body)
	}
	var got delivery
	m := h.take()
	if m == nil || json.Unmarshal(m.Data, &got) != nil || got.Query != "b=2&a=%2F&a=1" || strings.Join(got.Headers["X-Sig"], "|") != "a|b" ||
		got.Headers["Authorization"][0] != "Bearer theirs" || m.Header.Get("Authorization") != "" {
		t.Errorf("got %+v", got)
	}
	h = s.listen(t, limited, subjects.Document{ContentType: "text/plain", Body: []byte("c")})
	for i, want := range []int{200, 200, 200, 429} {
		if r, _ := s.do(t, "GET", "/t/limited/h1?x=y", ""); r.StatusCode != want {
			t.Errorf("request %d: %d, want %d", i, r.StatusCode, want)
		}
	}
	if m := h.take(); m == nil || string(m.Data) != `{"hook":"h1","query":"x=y"}` {
		t.Errorf("got %s", m.Data)
	}
	s.listen(t, get, subjects.Document{ContentType: "text/plain", Body: []byte("c")})
	if r, _ := s.do(t, "GET", "/t/raw/h1", ""); r.StatusCode != 429 {
		t.Errorf("over the general limit: %d", r.StatusCode)
	}
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		peer, want string
		header     http.Header
	}{
		"untrusted peer":       {"203.0.113.9:1", "203.0.113.9", http.Header{"X-Forwarded-For": {"1.1.1.1"}}},
		"trusted proxy":        {"10.0.0.1:1", "198.51.100.7", http.Header{"X-Forwarded-For": {"198.51.100.7"}}},
		"forged by the client": {"10.0.0.1:1", "198.51.100.7", http.Header{"X-Forwarded-For": {"1.1.1.1, 198.51.100.7"}}},
		"two proxies":          {"10.0.0.1:1", "198.51.100.7", http.Header{"X-Forwarded-For": {"1.1.1.1, 198.51.100.7", "10.0.0.2"}}},
		"invalid hop":          {"10.0.0.1:1", "10.0.0.2", http.Header{"X-Forwarded-For": {"1.1.1.1, nonsense, 10.0.0.2"}}},
		"proxies only":         {"10.0.0.1:1", "10.0.0.3", http.Header{"X-Forwarded-For": {"10.0.0.3"}}},
		"no header":            {"10.0.0.1:1", "10.0.0.1", nil},
		"Forwarded":            {"10.0.0.1:1", "2001:db8::1", http.Header{"Forwarded": {`for=1.1.1.1, For="[2001:db8::1]:4711";proto=https`}}},
		"IPv4-mapped peer":     {"[::ffff:10.0.0.1]:1", "198.51.100.7", http.Header{"X-Forwarded-For": {"198.51.100.7:80"}}},
		"address with a zone":  {"[fe80::1%eth0]:1", "fe80::1", nil},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = test.peer
		for key, values := range test.header {
			r.Header[key] = values
		}
		if got, err := gateway.ClientAddress(r, "10.0.0.0/8"); err != nil || got.String() != test.want {
			t.Errorf("%s: got %s, want %s (%v)", name, got, test.want, err)
		}
	}
}

func FuzzBuildMessage(f *testing.F) {
	form := describe[thing, struct{}]("fuzz", "POST /f", func(d *subjects.Descriptor) {
		d.Body = subjects.Body{Kind: subjects.BodyForm}
		for i := range d.Fields {
			if d.Fields[i].In == "path" {
				d.Fields[i].In = "query"
			}
		}
		d.Fields = d.Fields[:len(d.Fields)-1]
	})
	f.Add("id=1&count=3", "application/json", `{"name":"x"}`)
	f.Add("id=1&tags=a,b", "application/x-www-form-urlencoded", `name=x`)
	f.Add("id=%ff", "application/json", `{"big":[1e400,{"a":null}]}`)
	f.Fuzz(func(t *testing.T, query, contentType, body string) {
		r := httptest.NewRequest(http.MethodPost, "/f", strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("X-Mark", base64.StdEncoding.EncodeToString([]byte(body))[:min(4, len(body))])
		data, err := gateway.BuildMessage(form, httptest.NewRecorder(), r)
		if err != nil {
			if code := subjects.CodeOf(err); code != subjects.CodeInvalid && code != subjects.CodeUnsupportedMediaType {
				t.Fatalf("rejected with %v", err)
			}
			return
		}
		// The actor validates the same message and must accept it.
		if err := form.Validate(data); err != nil {
			t.Fatalf("the message %s does not validate: %v", data, err)
		}
	})
}
