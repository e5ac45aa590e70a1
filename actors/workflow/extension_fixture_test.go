package workflow_test

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// served is a function of an extension in a test: its metadata, and what it answers.
type served struct {
	metadata map[string]string
	handle   func(r micro.Request)
}

// service is the copies of an extension, and what they have received.
type service struct {
	b       *bundle
	name    string
	connect func() *nats.Conn

	mu sync.Mutex
	// calls are the headers of the calls, by function, cancels the cancellations.
	calls   map[string][]micro.Headers
	cancels []map[string]string
}

// enroll enrolls an extension, of which no copy runs.
func enroll(t *testing.T, b *bundle, name string) *service {
	t.Helper()
	return &service{b: b, name: name, connect: b.mesh.Enroll(t, subjects.KindExtension, name), calls: map[string][]micro.Headers{}}
}

// meta returns metadata of a function: the schemas, then further keys and values.
func meta(input, output string, more ...string) map[string]string {
	m := map[string]string{"weft.input": input}
	if output != "" {
		m["weft.output"] = output
	}
	for i := 0; i < len(more); i += 2 {
		m["weft."+more[i]] = more[i+1]
	}
	return m
}

// anything is a schema that every object matches.
const anything = `{"type":"object"}`

// run starts a copy and waits until the actor knows its functions. stop ends it.
func (s *service) run(t *testing.T, version string, functions map[string]served) (stop func()) {
	t.Helper()
	stop = s.start(t, version, functions)
	eventually(t, "the functions are known", func() bool {
		list, err := mesh.Call(t.Context(), s.b.conn, subjects.ListFunctions, subjects.ListFunctionsRequest{Extension: s.name}, s.b.as)
		return err == nil && len(list.Items) >= len(functions)
	})
	return stop
}

// start starts a copy. stop ends it.
func (s *service) start(t *testing.T, version string, functions map[string]served) (stop func()) {
	t.Helper()
	conn := s.connect()
	service, err := micro.AddService(conn, micro.Config{Name: s.name, Version: version})
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range functions {
		handler := micro.HandlerFunc(func(r micro.Request) {
			s.mu.Lock()
			s.calls[name] = append(s.calls[name], r.Headers())
			s.mu.Unlock()
			go f.handle(r)
		})
		err := service.AddEndpoint(name, handler, micro.WithEndpointSubject(subjects.FunctionSubject(s.name, name)), micro.WithEndpointMetadata(f.metadata))
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = conn.Subscribe(subjects.CancelFunctionSubject(s.name, "*"), func(m *nats.Msg) {
		var c map[string]string
		_ = json.Unmarshal(m.Data, &c)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cancels = append(s.cancels, c)
	})
	if err == nil {
		err = conn.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn.Close
}

// count returns how many calls of a function the copies have received.
func (s *service) count(name string) int { return len(s.received(name)) }

func (s *service) received(name string) []micro.Headers {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]micro.Headers(nil), s.calls[name]...)
}

// cancelled waits for a cancellation of a call, and returns its reason.
func (s *service) cancelled(t *testing.T, callID string) (reason string) {
	t.Helper()
	actortest.Eventually(t, "the attempt is cancelled", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range s.cancels {
			if c["call_id"] == callID {
				reason = c["reason"]
			}
		}
		return reason != ""
	})
	return reason
}

// answer answers every call with JSON.
func answer(text string) func(micro.Request) {
	return func(r micro.Request) { _ = r.Respond([]byte(text)) }
}

// fail answers every call with an error.
func fail(code, text string) func(micro.Request) {
	return func(r micro.Request) { _ = r.Error(code, text, nil) }
}

// nothing answers no call.
func nothing(micro.Request) {}

// beats sends heartbeats of a call at an interval for a time, and then an answer.
func beats(every time.Duration, n int, answer string) func(micro.Request) {
	return func(r micro.Request) {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for range n {
			<-tick.C
			_ = r.Respond([]byte("+WPI"))
		}
		if answer != "" {
			_ = r.Respond([]byte(answer))
		}
	}
}

// silentRequest is a request whose heartbeats are not sent.
type silentRequest struct{ micro.Request }

// Respond implements micro.Request.
func (r silentRequest) Respond(data []byte, opts ...micro.RespondOpt) error {
	if string(data) == "+WPI" {
		return nil
	}
	return r.Request.Respond(data, opts...)
}
