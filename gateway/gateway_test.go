package gateway_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// site is a mesh with a gateway. Tests add the actors.
type site struct {
	*actortest.Mesh
	gateway   *gateway.Gateway
	telemetry *mesh.Telemetry
	url       string
}

// relaxed returns settings whose limits no test reaches.
func relaxed() gateway.Config {
	c := gateway.DefaultConfig()
	c.Limits.Global, c.Limits.PerUser, c.Limits.PerIP = 10_000_000, 10_000_000, 10_000_000
	return c
}

func start(t testing.TB, c gateway.Config, extra ...*subjects.Descriptor) *site {
	t.Helper()
	return startOn(t, actortest.Start(t), c, extra...)
}

// startOn starts another gateway of a mesh.
func startOn(t testing.TB, m *actortest.Mesh, c gateway.Config, extra ...*subjects.Descriptor) *site {
	t.Helper()
	s := &site{Mesh: m, telemetry: actortest.Telemetry(t)}
	conn := m.Connect(t, mesh.UserGateway)
	var err error
	s.gateway, err = gateway.NewWith(gateway.Deps{
		Conn: conn, Verifier: verifier(t, m, conn), Telemetry: s.telemetry, Version: "test", Now: m.Now,
	}, c, extra)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.gateway.Handler())
	t.Cleanup(server.Close)
	t.Cleanup(s.gateway.Drain)
	s.url = server.URL
	return s
}

func verifier(t testing.TB, m *actortest.Mesh, conn *mesh.Conn) *mesh.Verifier {
	t.Helper()
	membership, err := mesh.Join(t.Context(), conn, m.Log)
	if err != nil {
		t.Fatal(err)
	}
	v, err := mesh.NewVerifier(t.Context(), membership, actortest.Issuer, actortest.Audience, m.Now)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// actor starts an actor that serves bindings, without a database.
func (s *site) actor(t testing.TB, name string, bindings ...actors.Binding) (stop func()) {
	t.Helper()
	conn := s.Connect(t, name)
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	runtime := &runtime.Runtime{
		Conn: conn, Verifier: verifier(t, s.Mesh, conn), Telemetry: actortest.Telemetry(t), Version: "0.0.0", Now: s.Now,
	}
	go func() {
		defer close(done)
		if err := runtime.Run(ctx, actors.Service{Name: name, Bindings: bindings}, func() { close(ready) }); err != nil {
			t.Errorf("actor %s: %v", name, err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	select {
	case <-ready:
	case <-done:
		t.Fatalf("actor %s did not start", name)
	}
	return stop
}

// inbox holds the last message that an actor received.
type inbox struct {
	mu   sync.Mutex
	last *nats.Msg
}

// take returns the last message and removes it.
func (h *inbox) take() *nats.Msg {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.last
	h.last = nil
	return m
}

// listen replies with reply to every request to a descriptor's subject and records the last request.
func (s *site) listen(t testing.TB, d *subjects.Descriptor, reply any) *inbox {
	t.Helper()
	body, err := json.Marshal(reply)
	if err != nil {
		t.Fatal(err)
	}
	h := &inbox{}
	conn := s.Conn(t, d.Actor)
	_, err = conn.Subscribe(d.Subject, func(m *nats.Msg) {
		h.mu.Lock()
		h.last = m
		h.mu.Unlock()
		if err := m.Respond(body); err != nil {
			t.Errorf("replying: %v", err)
		}
	})
	if err == nil {
		err = conn.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// describe returns a test endpoint of the workflow actor.
func describe[Req, Res any](method, route string, change func(*subjects.Descriptor)) *subjects.Descriptor {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	d := &subjects.Descriptor{
		Actor: "workflow", Method: method, Subject: "weft.v1.workflow." + method, Access: subjects.Public,
		Doc: "A test endpoint.", Summary: "A test endpoint.", Status: http.StatusOK, Timeout: 2 * time.Second,
		Request: huma.SchemaFromType(registry, reflect.TypeFor[Req]()), Response: huma.SchemaFromType(registry, reflect.TypeFor[Res]()),
	}
	d.HTTPMethod, d.Path, _ = strings.Cut(route, " ")
	d.Mutating = d.HTTPMethod != http.MethodGet
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Req]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		field := subjects.Field{Name: name, In: "body", Schema: d.Request.Properties[name]}
		if in := f.Tag.Get("in"); in != "" {
			field.In, field.Header, _ = strings.Cut(in, ":")
		}
		for _, required := range d.Request.Required {
			field.Required = field.Required || required == name
		}
		d.Fields = append(d.Fields, field)
	}
	if change != nil {
		change(d)
	}
	return d
}

// scenario is one HTTP request and its expected outcome.
type scenario struct {
	name, method, path, body string
	// header are "Name: value" lines.
	header []string
	status int
	// code is the expected problem's code; empty for success.
	code subjects.Code
	// field is the first invalid field of the problem.
	field string
	// contains are substrings that the response body must have, absent those that it must not have.
	contains, absent []string
	// reply are "Name: value" headers that the response must have.
	reply []string
	// message is the JSON that the actor must have received; empty skips the check.
	message string
	// carries are "Name: value" headers of that message; "Name:" must be absent.
	carries []string
}

// play runs scenarios one after the other. h is the inbox of their endpoint.
func (s *site) play(t *testing.T, h *inbox, scenarios []scenario) {
	t.Helper()
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			h.take()
			response, body := s.do(t, sc.method, sc.path, sc.body, sc.header...)
			sc.check(t, response, body)
			sc.checkMessage(t, h.take())
		})
	}
}

func (sc scenario) check(t *testing.T, response *http.Response, body string) {
	t.Helper()
	if response.StatusCode != sc.status {
		t.Fatalf("status %d, want %d: %s", response.StatusCode, sc.status, body)
	}
	for _, piece := range sc.contains {
		if !strings.Contains(body, piece) {
			t.Errorf("the response does not contain %s: %s", piece, body)
		}
	}
	for _, piece := range sc.absent {
		if strings.Contains(body, piece) {
			t.Errorf("the response contains %s: %s", piece, body)
		}
	}
	for _, line := range sc.reply {
		if name, value, _ := strings.Cut(line, ": "); response.Header.Get(name) != value {
			t.Errorf("header %s is %q, want %q", name, response.Header.Get(name), value)
		}
	}
	if sc.code == "" {
		return
	}
	var p subjects.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("decoding the problem: %v: %s", err, body)
	}
	if p.Code != sc.code || p.Status != sc.status || p.RequestID == "" || p.TraceID == "" || p.Type == "" || p.Title == "" ||
		response.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("the problem is incomplete or another one: %s", body)
	}
	if sc.field != "" && (len(p.Fields) == 0 || p.Fields[0].Field != sc.field) {
		t.Errorf("the first invalid field is not %s: %s", sc.field, body)
	}
}

func (sc scenario) checkMessage(t *testing.T, m *nats.Msg) {
	t.Helper()
	switch {
	case m == nil && sc.message == "" && sc.carries == nil:
		return
	case m == nil:
		t.Fatal("the actor received no message")
	case sc.code != "":
		t.Fatalf("a rejected request reached the actor: %s", m.Data)
	}
	if sc.message != "" {
		var got, want any
		if err := json.Unmarshal(m.Data, &got); err != nil {
			t.Fatalf("the message is not JSON: %v: %s", err, m.Data)
		}
		if err := json.Unmarshal([]byte(sc.message), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the actor received %s, want %s", m.Data, sc.message)
		}
	}
	for _, line := range sc.carries {
		name, value, _ := strings.Cut(line, ":")
		if got := m.Header.Get(name); got != strings.TrimSpace(value) {
			t.Errorf("header %s of the message is %q, want %q", name, got, value)
		}
	}
}

// client does not follow redirects.
var client = &http.Client{
	Timeout:       time.Minute,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// do sends a request and reads the whole response. header are "Name: value" lines; "Name:" removes a default header.
func (s *site) do(t testing.TB, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		if value == "" {
			r.Header.Del(strings.TrimSuffix(name, ":"))
			continue
		}
		if name == "Content-Type" {
			r.Header.Set(name, value)
			continue
		}
		r.Header.Add(name, value)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(data)
}

func bearer(token string) string { return "Authorization: Bearer " + token }

// eventually polls until a condition holds, for at most 20 s.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	end := time.NewTimer(20 * time.Second)
	defer end.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}
