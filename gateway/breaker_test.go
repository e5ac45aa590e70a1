package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// breakerSite has a breaker that opens after three failures, and an endpoint with a timeout of 500 ms.
type breakerSite struct {
	*site
	d *subjects.Descriptor
	// reply handles the requests once serve was called.
	reply atomic.Pointer[func(*nats.Msg)]
}

// newBreakerSite starts a gateway whose breaker stays open for the given time. It has no rate limits: on a slow machine taking
// a token can exceed the endpoint's timeout, and that failure does not count.
func newBreakerSite(t *testing.T, open time.Duration) *breakerSite {
	t.Helper()
	c := unlimited()
	c.Breaker = gateway.BreakerConfig{Failures: 3, Open: open}
	d := describe[subjects.Empty, map[string]string]("breaking", "POST /t/breaking", func(d *subjects.Descriptor) { d.Timeout = 500 * time.Millisecond })
	return &breakerSite{site: start(t, c, d), d: d}
}

// serve subscribes to the endpoint and starts the actor, which answers the health check.
func (s *breakerSite) serve(t *testing.T, reply func(*nats.Msg)) {
	t.Helper()
	s.reply.Store(&reply)
	conn := s.Connect(t, "workflow")
	if _, err := conn.Subscribe(s.d.Subject, func(m *nats.Msg) { (*s.reply.Load())(m) }); err != nil {
		t.Fatal(err)
	}
	s.actor(t, "workflow")
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
}

// send sends a request and returns the status and body. A 503, and nothing else, must have Retry-After.
func (s *breakerSite) send(t *testing.T, header ...string) (int, string) {
	t.Helper()
	r, body := s.do(t, http.MethodPost, s.d.Path, "", header...)
	if (r.StatusCode == 503) != (r.Header.Get("Retry-After") != "") {
		t.Errorf("%d with Retry-After %q: %s", r.StatusCode, r.Header.Get("Retry-After"), body)
	}
	return r.StatusCode, body
}

// wantOpen checks that the breaker rejects a request.
func (s *breakerSite) wantOpen(t *testing.T, open bool) {
	t.Helper()
	if status, body := s.send(t); (status == 503 && strings.Contains(body, "workflow is unavailable")) != open {
		t.Fatalf("open is not %v: %d %s", open, status, body)
	}
}

// A half-open breaker sends the health check, which succeeds once the actor is started.
func TestBreakerOpensWithoutResponders(t *testing.T) {
	t.Parallel()
	s := newBreakerSite(t, 300*time.Millisecond)
	for range 3 {
		s.wantOpen(t, false)
	}
	s.wantOpen(t, true)
	s.serve(t, func(m *nats.Msg) { _ = m.Respond([]byte(`{}`)) })
	eventually(t, "the breaker closes", func() bool { status, _ := s.send(t); return status == 200 })
}

// A half-open breaker whose health check gets no reply opens again, even if the endpoint would reply.
func TestBreakerReopensWithoutHealthCheck(t *testing.T) {
	t.Parallel()
	s := newBreakerSite(t, 300*time.Millisecond)
	for range 3 {
		s.wantOpen(t, false)
	}
	inbox := s.listen(t, s.d, map[string]string{})
	conn := s.Conn(t, "workflow")
	var probes atomic.Int64
	if _, err := conn.Subscribe(subjects.HealthChecks["workflow"].Subject, func(*nats.Msg) { probes.Add(1) }); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the health check is sent", func() bool { s.wantOpen(t, true); return probes.Load() > 0 })
	if inbox.take() != nil {
		t.Error("a request reached the actor")
	}
}

func TestBreakerCountsMissingRepliesOnly(t *testing.T) {
	t.Parallel()
	s := newBreakerSite(t, time.Minute)
	s.serve(t, nil)
	replyWith := func(f func(*nats.Msg)) { s.reply.Store(&f) }
	for _, code := range []subjects.Code{subjects.CodeUnavailable, subjects.CodeInternal, subjects.CodeTimeout, subjects.CodeNotFound} {
		body, err := json.Marshal(subjects.ProblemOf(subjects.Errorf(code, "from the actor"), "", ""))
		if err != nil {
			t.Fatal(err)
		}
		replyWith(func(m *nats.Msg) {
			message := nats.NewMsg(m.Reply)
			message.Header.Set(mesh.HeaderErrorCode, string(code))
			message.Data = body
			_ = m.RespondMsg(message)
		})
		for range 5 {
			if r, body := s.do(t, "POST", s.d.Path, ""); r.StatusCode != code.Status() || !strings.Contains(body, "from the actor") {
				t.Fatalf("the actor replies %s: %d %s", code, r.StatusCode, body)
			}
		}
	}
	replyWith(func(*nats.Msg) {})
	for range 5 {
		if status, body := s.send(t, "Request-Timeout: 0.01"); status != 504 {
			t.Fatalf("a client's own deadline: %d %s", status, body)
		}
	}
	for range 3 {
		if status, body := s.send(t); status != 504 {
			t.Fatalf("no reply: %d %s", status, body)
		}
	}
	s.wantOpen(t, true)
}
