package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// deps returns the dependencies of a gateway of a mesh.
func deps(t *testing.T, m *actortest.Mesh) gateway.Deps {
	t.Helper()
	conn := m.Connect(t, mesh.UserGateway)
	return gateway.Deps{Conn: conn, Verifier: verifier(t, m, conn), Telemetry: actortest.Telemetry(t), Now: m.Now}
}

// A reply that does not match its declaration is an internal error, whose cause is not shown.
func TestInvalidReplies(t *testing.T) {
	t.Parallel()
	type ref struct {
		ID string `json:"id"`
	}
	var endpoints []*subjects.Descriptor
	replies := map[*subjects.Descriptor]any{}
	for i, reply := range []any{map[string]any{"id": 7, "body": 7, "stream": 7, "size": "x"}, []string{"secret"}} {
		n := strconv.Itoa(i)
		for _, d := range []*subjects.Descriptor{
			describe[subjects.Empty, ref]("located"+n, "POST /t/located"+n, func(d *subjects.Descriptor) { d.Location = "/v1/located/{id}" }),
			describe[subjects.Empty, ref]("cookie"+n, "POST /t/cookie"+n, func(d *subjects.Descriptor) {
				d.Cookie = &subjects.Cookie{Name: "crumb", Field: "id", MaxAge: time.Minute}
			}),
			describe[subjects.Empty, subjects.Document]("document"+n, "GET /t/document"+n, func(d *subjects.Descriptor) { d.Produces = "text/csv" }),
			describe[subjects.Empty, subjects.StreamPointer]("stream"+n, "GET /t/stream"+n, func(d *subjects.Descriptor) { d.Stream = true }),
			describe[subjects.Empty, subjects.ContentPart]("file"+n, "GET /t/file"+n, func(d *subjects.Descriptor) { d.Parts = true }),
		} {
			endpoints = append(endpoints, d)
			replies[d] = reply
		}
	}
	s := start(t, relaxed(), endpoints...)
	for _, d := range endpoints {
		t.Run(d.Method, func(t *testing.T) {
			s.listen(t, d, replies[d])
			response, body := s.do(t, d.HTTPMethod, d.Path, "")
			scenario{status: 500, code: subjects.CodeInternal, absent: []string{"secret", "decod", "json"}}.check(t, response, body)
		})
	}
}

func TestMissingStream(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed(), watch)
	s.listen(t, watch, subjects.StreamPointer{Stream: "NO_SUCH_STREAM", Filter: "x"})
	response, body := s.do(t, "GET", "/t/watch/"+actortest.User(), "")
	scenario{status: 503, code: subjects.CodeUnavailable, reply: []string{"Retry-After: 2"}, absent: []string{"NO_SUCH_STREAM"}}.check(t, response, body)
}

func TestPanics(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	panicking := func(value any) http.Handler { return s.gateway.HandlerOf(func() error { panic(value) }) }
	recorder := httptest.NewRecorder()
	panicking("secret state").ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	sc := scenario{status: 500, code: subjects.CodeInternal, absent: []string{"secret", "goroutine"}}
	response := recorder.Result()
	defer response.Body.Close()
	sc.check(t, response, recorder.Body.String())
	defer func() {
		if p := recover(); p != http.ErrAbortHandler { //nolint:errorlint // net/http compares it by identity
			t.Errorf("the panic is %v", p)
		}
	}()
	panicking(http.ErrAbortHandler).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
}

func TestRequestHeaderLimits(t *testing.T) {
	t.Parallel()
	d := describe[subjects.Empty, map[string]string]("limits", "POST /t/limits", nil)
	s := start(t, relaxed(), d)
	h := s.listen(t, d, map[string]string{})
	for id, kept := range map[string]bool{
		strings.Repeat("a", 128): true, strings.Repeat("a", 129): false, "A-z.0_9:": true, "a/b": false, "ü": false,
	} {
		response, _ := s.do(t, "POST", d.Path, "", "X-Request-Id: "+id)
		if got := response.Header.Get("X-Request-Id"); (got == id) != kept || got == "" {
			t.Errorf("X-Request-Id %q became %q", id, got)
		}
	}
	h.take()
	for key, valid := range map[string]bool{strings.Repeat("k", 255): true, strings.Repeat("k", 256): false, "schlüssel": false} {
		response, body := s.do(t, "POST", d.Path, "", "Idempotency-Key: "+key)
		if m := h.take(); (response.StatusCode == 200) != valid || (m != nil) != valid {
			t.Errorf("Idempotency-Key %q: %d %s", key, response.StatusCode, body)
		}
	}
	for _, timeout := range []string{"-1", "NaN", "soon", "Inf"} {
		response, body := s.do(t, "POST", d.Path, "", "Request-Timeout: "+timeout)
		if want := map[bool]int{true: 200, false: 400}[timeout == "Inf"]; response.StatusCode != want {
			t.Errorf("Request-Timeout %s: %d %s", timeout, response.StatusCode, body)
		}
	}
}

func TestUnreadableBodies(t *testing.T) {
	t.Parallel()
	type request struct {
		Name string `json:"name,omitempty"`
	}
	form := describe[request, struct{}]("form", "POST /f", func(d *subjects.Descriptor) { d.Body = subjects.Body{Kind: subjects.BodyForm} })
	yaml := describe[request, struct{}]("yaml", "POST /y", func(d *subjects.Descriptor) {
		d.Body = subjects.Body{Kind: subjects.BodyJSONOrYAML, Field: "name"}
	})
	const asForm, asJSON = "application/x-www-form-urlencoded", "application/json"
	long := strings.Repeat("x", 1<<20+1)
	for _, test := range []struct {
		name, contentType string
		d                 *subjects.Descriptor
		body              io.Reader
		code              subjects.Code
		detail            string
	}{
		{"malformed form", asForm, form, strings.NewReader("name=%zz"), subjects.CodeInvalid, "the form is malformed"},
		{"form field twice", asForm, form, strings.NewReader("name=a&name=b"), subjects.CodeInvalid, "name: given more than once"},
		{"interrupted", asJSON, form, iotest.ErrReader(errors.New("reset")), subjects.CodeInvalid, "the body could not be read"},
		{"too long without Content-Length", asJSON, form, io.MultiReader(strings.NewReader(long)), subjects.CodeTooLarge, "the body exceeds 1048576 bytes"},
		{"no form or JSON", "text/plain", form, strings.NewReader("x"), subjects.CodeUnsupportedMediaType,
			"unsupported Content-Type or charset: send application/json or application/x-www-form-urlencoded in UTF-8"},
		{"no YAML or JSON", "text/plain", yaml, strings.NewReader("x"), subjects.CodeUnsupportedMediaType,
			"unsupported Content-Type or charset: send application/json or application/yaml in UTF-8"},
		{"long unknown field", asForm, form, strings.NewReader(strings.Repeat("f", 100) + "=1"), subjects.CodeInvalid,
			strings.Repeat("f", 64) + "…: unexpected property"},
	} {
		r := httptest.NewRequest(http.MethodPost, test.d.Path, test.body)
		r.Header.Set("Content-Type", test.contentType)
		_, err := gateway.BuildMessage(test.d, httptest.NewRecorder(), r)
		var problem *subjects.Error
		if !errors.As(err, &problem) || problem.Code != test.code || problem.Detail != test.detail {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}

func TestLimitAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "2001:db8:1:2:ffff::": "2001:db8:1:2::", "2001:db8:1:3::1": "2001:db8:1:3::",
	} {
		if got := gateway.LimitAddress(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is limited as %s, want %s", address, got, want)
		}
	}
	if got := gateway.LimitAddress(netip.Addr{}); got != "unknown" {
		t.Errorf("no address is limited as %s", got)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "@" // a Unix socket
	if got, err := gateway.ClientAddress(r, "10.0.0.0/8"); err != nil || got.IsValid() {
		t.Errorf("the address of a Unix socket is %s, %v", got, err)
	}
}

func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "[2001:db8::1]:1"
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	if got, err := gateway.ClientAddress(r, "2001:db8::1"); err != nil || got.String() != "192.0.2.7" {
		t.Errorf("a single trusted address: %s, %v", got, err)
	}
	for _, invalid := range []string{"proxy.example", "10.0.0.0/33", "/8"} {
		if _, err := gateway.ClientAddress(r, invalid); err == nil || !strings.Contains(err.Error(), "neither an IP address nor a CIDR range") {
			t.Errorf("%s: got %v", invalid, err)
		}
	}
}

// Errors in declarations are found when the gateway is created.
func TestInvalidDeclarations(t *testing.T) {
	t.Parallel()
	d := deps(t, actortest.Start(t))
	structured := describe[struct {
		Filter map[string]string `json:"filter" in:"query"`
	}, subjects.Empty]("structured", "GET /t/structured", nil)
	conflicting := describe[subjects.Empty, subjects.Empty]("conflicting", "GET /v1/{a}/me", nil)
	for want, extra := range map[string]*subjects.Descriptor{
		"creating the route of workflow.structured: field filter": structured,
		"registering the routes":                                  conflicting,
	} {
		d.Telemetry = actortest.Telemetry(t)
		if _, err := gateway.NewWith(d, relaxed(), []*subjects.Descriptor{extra}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestListenFailure(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := relaxed()
	c.Listen = listener.Addr().String()
	g, err := gateway.New(deps(t, actortest.Start(t)), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Run(context.Background(), func(string) { t.Error("ready was called") }); err == nil || !strings.Contains(err.Error(), "gateway.listen") {
		t.Errorf("got %v", err)
	}
}

// A download that fails after its header ends before its Content-Length.
func TestInterruptedDownload(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	store := &objectStore{size: 2 * partSize, sum: "x", content: func(offset int64) []byte {
		if offset > 0 {
			return nil
		}
		return make([]byte, partSize)
	}}
	s.actor(t, "integration", store.bindings()...)
	response := s.send(t, "GET", "/v1/objects/"+objectID+"/content", nil, bearer(s.Token(t, actortest.User())))
	data, err := io.ReadAll(response.Body)
	if response.StatusCode != 200 || !errors.Is(err, io.ErrUnexpectedEOF) || len(data) != partSize {
		t.Errorf("status %d, %d bytes, %v", response.StatusCode, len(data), err)
	}
}

// An upload whose object has no part size is an internal error.
func TestUploadWithoutPartSize(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	s.listen(t, subjects.CreateObject.Describe(), subjects.Object{ID: objectID})
	response := s.send(t, "POST", "/v1/objects", strings.NewReader("x"), bearer(s.Token(t, actortest.User())))
	var problem subjects.Problem
	if err := json.NewDecoder(response.Body).Decode(&problem); err != nil || problem.Code != subjects.CodeInternal {
		t.Errorf("got %+v, %v", problem, err)
	}
}

func TestKeyCache(t *testing.T) {
	t.Parallel()
	now := time.Now()
	held, valid, first := gateway.FillKeyCache(gateway.MaxCachedKeys+100, now.Add(time.Second), now)
	if held != gateway.MaxCachedKeys || valid != held || !first {
		t.Errorf("it holds %d entries, %d valid, the most used one: %t", held, valid, first)
	}
	if held, valid, _ := gateway.FillKeyCache(3, now, now); held != 3 || valid != 0 {
		t.Errorf("%d of %d expired entries were returned", valid, held)
	}
}

func TestAccept(t *testing.T) {
	t.Parallel()
	d := describe[subjects.Empty, map[string]string]("accept", "GET /t/accept", nil)
	s := start(t, relaxed(), d)
	s.listen(t, d, map[string]string{})
	for accept, status := range map[string]int{
		"application/*": 200, "APPLICATION/JSON": 200, "application/json;charset=utf-8": 200, ",": 406, "text/*": 406,
		"application/json; q=0": 406, "application/json;q=0.001": 200, "*/*;q=0, application/json": 200, "application/json;q=x": 200,
	} {
		if response, body := s.do(t, "GET", d.Path, "", "Accept: "+accept); response.StatusCode != status {
			t.Errorf("Accept: %s: %d, want %d: %s", accept, response.StatusCode, status, body)
		}
	}
}
