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

// site is a mesh with a gateway before it, and actors of the test's own behind.
type site struct {
	*actortest.Mesh
	gateway   *gateway.Gateway
	telemetry *mesh.Telemetry
	url       string
}

// relaxed are settings under which no limit is ever met.
func relaxed() gateway.Config {
	c := gateway.DefaultConfig()
	c.Limits.Global, c.Limits.PerUser, c.Limits.PerIP = 10_000_000, 10_000_000, 10_000_000
	return c
}

func start(t testing.TB, c gateway.Config, extra ...*subjects.Descriptor) *site {
	t.Helper()
	return startOn(t, actortest.Start(t), c, extra...)
}

// startOn puts one more gateway before a mesh.
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
	presence, err := mesh.Join(t.Context(), conn, m.Log)
	if err != nil {
		t.Fatal(err)
	}
	v, err := mesh.NewVerifier(t.Context(), presence, actortest.Issuer, actortest.Audience, m.Now)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// actor serves bindings as the product does, without a database.
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

// heard is what reached an actor.
type heard struct {
	mu   sync.Mutex
	last *nats.Msg
}

func (h *heard) take() *nats.Msg {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.last
	h.last = nil
	return m
}

// listen answers every request to a descriptor's subject with reply and notes what it was asked.
func (s *site) listen(t testing.TB, d *subjects.Descriptor, reply any) *heard {
	t.Helper()
	body, err := json.Marshal(reply)
	if err != nil {
		t.Fatal(err)
	}
	h := &heard{}
	conn := s.Conn(t, d.Actor)
	_, err = conn.Subscribe(d.Subject, func(m *nats.Msg) {
		h.mu.Lock()
		h.last = m
		h.mu.Unlock()
		if err := m.Respond(body); err != nil {
			t.Errorf("answering: %v", err)
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

// describe makes an endpoint of a test's own on the workflow actor.
func describe[Req, Res any](method, route string, change func(*subjects.Descriptor)) *subjects.Descriptor {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	d := &subjects.Descriptor{
		Actor: "workflow", Method: method, Subject: "weft.v1.workflow." + method, Access: subjects.Public,
		Doc: "A test's own.", Summary: "A test's own.", Status: http.StatusOK, Timeout: 2 * time.Second,
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

// scenario is one HTTP request and what must come of it.
type scenario struct {
	name, method, path, body string
	// header are "Name: value" lines.
	header []string
	status int
	// code is the problem's; empty for success.
	code subjects.Code
	// field is the first field at fault.
	field string
	// contains are pieces of the answer's body, absent what must not be in it.
	contains, absent []string
	// reply are "Name: value" lines that the answer must have.
	reply []string
	// message is the JSON that the actor must have got; empty for none.
	message string
	// carries are "Name: value" lines of that message; "Name:" must be absent.
	carries []string
}

// play runs scenarios one after another against a site whose endpoint is listened to.
func (s *site) play(t *testing.T, h *heard, scenarios []scenario) {
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
			t.Errorf("the answer lacks %s: %s", piece, body)
		}
	}
	for _, piece := range sc.absent {
		if strings.Contains(body, piece) {
			t.Errorf("the answer has %s: %s", piece, body)
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
		t.Fatalf("no problem: %v: %s", err, body)
	}
	if p.Code != sc.code || p.Status != sc.status || p.RequestID == "" || p.TraceID == "" || p.Type == "" || p.Title == "" ||
		response.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("the problem is not whole, or another: %s", body)
	}
	if sc.field != "" && (len(p.Fields) == 0 || p.Fields[0].Field != sc.field) {
		t.Errorf("the field at fault is not %s: %s", sc.field, body)
	}
}

func (sc scenario) checkMessage(t *testing.T, m *nats.Msg) {
	t.Helper()
	switch {
	case m == nil && sc.message == "" && sc.carries == nil:
		return
	case m == nil:
		t.Fatal("nothing reached the actor")
	case sc.code != "":
		t.Fatalf("a refused request reached the actor: %s", m.Data)
	}
	if sc.message != "" {
		var got, want any
		if err := json.Unmarshal(m.Data, &got); err != nil {
			t.Fatalf("the message is no JSON: %v: %s", err, m.Data)
		}
		if err := json.Unmarshal([]byte(sc.message), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the actor got %s, want %s", m.Data, sc.message)
		}
	}
	for _, line := range sc.carries {
		name, value, _ := strings.Cut(line, ":")
		if got := m.Header.Get(name); got != strings.TrimSpace(value) {
			t.Errorf("the message's %s is %q, want %q", name, got, value)
		}
	}
}

// client follows no redirect: a scenario is about one answer.
var client = &http.Client{
	Timeout:       time.Minute,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// do sends a request and reads the whole answer.
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

// eventually waits for a condition that something else brings about.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	end := time.NewTimer(20 * time.Second)
	defer end.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("it never came to be that %s", what)
		}
	}
}
