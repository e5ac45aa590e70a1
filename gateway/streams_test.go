package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// event is one server-sent event.
type event struct{ id, name, data string }

// follower reads a stream of events as a client.
type follower struct {
	t        testing.TB
	response *http.Response
	events   chan event
	comments chan struct{}
	cancel   context.CancelFunc
}

// follow opens a stream. Its events channel is closed at the end.
func (s *site) follow(t testing.TB, path string, header ...string) *follower {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{t: t, response: response, events: make(chan event, 64), comments: make(chan struct{}, 64), cancel: cancel}
	go f.read()
	t.Cleanup(f.close)
	return f
}

func (f *follower) close() {
	f.cancel()
	_ = f.response.Body.Close()
}

func (f *follower) read() {
	defer close(f.events)
	var e event
	var data []string
	for lines := bufio.NewScanner(f.response.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "":
			if data != nil {
				e.data = strings.Join(data, "\n")
				f.events <- e
			}
			e, data = event{}, nil
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			data = append(data, value)
		case ":":
			f.comments <- struct{}{}
		}
	}
}

func (f *follower) next() event {
	f.t.Helper()
	e, open := <-f.events
	if !open {
		f.t.Fatal("the stream ended")
	}
	return e
}

func (f *follower) ended() {
	f.t.Helper()
	if e, open := <-f.events; open {
		f.t.Fatalf("the stream continued with %+v", e)
	}
}

// feed is the event stream of an execution that the test publishes to.
type feed struct {
	*site
	id string
}

var watch = describe[struct {
	ID string `json:"execution_id" in:"path"`
}, subjects.StreamPointer]("watch", "GET /t/watch/{execution_id}", func(d *subjects.Descriptor) { d.Stream = true })

// newFeed replies to watch with a pointer to the execution's stream.
func newFeed(t *testing.T, c gateway.Config, sequence uint64, initial ...subjects.InitialEvent) feed {
	t.Helper()
	f := feed{start(t, c, watch), actortest.User()}
	f.listen(t, watch, subjects.StreamPointer{
		Stream: subjects.WorkflowFeed.Name, Filter: subjects.WorkflowFeedSubject(f.id), Sequence: sequence,
		Until: []string{"completed"}, Initial: initial,
	})
	return f
}

// publish publishes an event and returns its id.
func (f feed) publish(t *testing.T, name, data string) string {
	t.Helper()
	m := nats.NewMsg(subjects.WorkflowFeedSubject(f.id))
	m.Data = []byte(data)
	if name != "" {
		m.Header.Set(mesh.HeaderEvent, name)
	}
	ack, err := f.Conn(t, "workflow").JS.PublishMsg(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return f.eventID(t, ack.Sequence)
}

// eventID returns the id that every gateway gives a message of the feed.
func (f feed) eventID(t *testing.T, sequence uint64) string {
	t.Helper()
	id, err := gateway.EventID(f.Conn(t, "gateway"), subjects.WorkflowFeedSubject(f.id), sequence)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestStreamThatHasEndedIsNotFollowedAgain: a client that has the last event gets 204 when it reconnects, one that lacks it gets the
// rest, and the stream ends.
func TestStreamThatHasEndedIsNotFollowedAgain(t *testing.T) {
	t.Parallel()
	f := newFeed(t, relaxed(), 1, subjects.InitialEvent{Event: "state", Data: 1})
	first, last := f.publish(t, "started", "1"), f.publish(t, "completed", "2")
	again := f.follow(t, "/t/watch/"+f.id, "Last-Event-ID: "+first)
	if got := again.next(); got.name != "state" {
		t.Errorf("the initial event is %+v", got)
	}
	if got := again.next(); got != (event{last, "completed", "2"}) {
		t.Errorf("the rest is %+v", got)
	}
	again.ended()
	for range 2 {
		r, body := f.do(t, "GET", "/t/watch/"+f.id, "", "Last-Event-ID: "+last)
		if r.StatusCode != 204 || body != "" {
			t.Errorf("reconnecting with the last event: %d %q", r.StatusCode, body)
		}
	}
}

// TestEventIDsAreOpaque: an id shows nothing of the sequence, and belongs to its stream.
func TestEventIDsAreOpaque(t *testing.T) {
	t.Parallel()
	f := newFeed(t, relaxed(), 1)
	ids := map[string]bool{}
	for range 3 {
		id := f.publish(t, "step", "1")
		if _, err := strconv.ParseUint(id, 10, 64); err == nil || len(id) != 22 || ids[id[:4]] {
			t.Errorf("the id %s after %v", id, ids)
		}
		ids[id[:4]] = true
	}
	other, err := gateway.EventID(f.Conn(t, "gateway"), subjects.WorkflowFeedSubject(actortest.User()), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{other, "1", "0", "AAAAAAAAAAAAAAAAAAAAAA"} {
		if r, body := f.do(t, "GET", "/t/watch/"+f.id, "", "Last-Event-ID: "+id); r.StatusCode != 400 {
			t.Errorf("%s: %d %s", id, r.StatusCode, body)
		}
	}
}

func TestStreamResumesAfterLastEvent(t *testing.T) {
	t.Parallel()
	f := newFeed(t, relaxed(), 1, subjects.InitialEvent{Event: "state", Data: map[string]int{"n": 1}})
	first := f.publish(t, "started", `{"a":1}`)
	stream := f.follow(t, "/t/watch/"+f.id)
	if stream.response.StatusCode != 200 || stream.response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", stream.response.StatusCode, stream.response.Header)
	}
	if got := stream.next(); got != (event{"", "state", `{"n":1}`}) {
		t.Errorf("the initial event is %+v", got)
	}
	if got := stream.next(); got != (event{first, "started", `{"a":1}`}) {
		t.Errorf("the first event is %+v", got)
	}
	second := f.publish(t, "", "two\nlines")
	if got := stream.next(); got != (event{second, "", "two\nlines"}) {
		t.Errorf("a live event is %+v", got)
	}
	stream.close()
	third := f.publish(t, "step", "3")
	again := f.follow(t, "/t/watch/"+f.id, "Last-Event-ID: "+second)
	if got := again.next(); got.name != "state" {
		t.Errorf("the initial event on resuming is %+v", got)
	}
	if got := again.next(); got != (event{third, "step", "3"}) {
		t.Errorf("the first event on resuming is %+v", got)
	}
	last := f.publish(t, "completed", "{}")
	f.publish(t, "later", "{}")
	if got := again.next(); got != (event{last, "completed", "{}"}) {
		t.Errorf("the last event is %+v", got)
	}
	again.ended()
	if r, body := f.do(t, "GET", "/t/watch/"+f.id, "", "Last-Event-ID: x"); r.StatusCode != 400 {
		t.Errorf("an invalid Last-Event-ID: %d %s", r.StatusCode, body)
	}
	if r, body := f.do(t, "GET", "/t/watch/"+f.id, "", "Accept: application/json"); r.StatusCode != 406 {
		t.Errorf("not acceptable: %d %s", r.StatusCode, body)
	}
}

func TestForgedFeedMessagesAreNotStreamed(t *testing.T) {
	t.Parallel()
	f := newFeed(t, relaxed(), 1)
	f.Forge(t, "notification", "workflow", subjects.WorkflowFeedSubject(f.id), []byte(`"forged"`))
	first := f.publish(t, "a", "1")
	stream := f.follow(t, "/t/watch/"+f.id)
	if got := stream.next(); got.id != first {
		t.Errorf("the first event is %+v", got)
	}
	f.Forge(t, "operator", "workflow", subjects.WorkflowFeedSubject(f.id), []byte(`"forged"`))
	second := f.publish(t, "b", "2")
	if got := stream.next(); got.id != second {
		t.Errorf("the second event is %+v", got)
	}
}

func TestStreamSurvivesServerRestart(t *testing.T) {
	t.Parallel()
	f := newFeed(t, relaxed(), 1)
	first := f.publish(t, "a", "1")
	stream := f.follow(t, "/t/watch/"+f.id)
	if got := stream.next(); got.id != first {
		t.Fatalf("got %+v", got)
	}
	f.RestartServer(t)
	conn := f.Connect(t, "workflow")
	ack, err := conn.JS.PublishMsg(t.Context(), &nats.Msg{Subject: subjects.WorkflowFeedSubject(f.id), Data: []byte("2")})
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.next(); got.data != "2" || got.id != f.eventID(t, ack.Sequence) {
		t.Errorf("got %+v", got)
	}
}

func TestStreamEndsWithItsSession(t *testing.T) {
	t.Parallel()
	c := relaxed()
	c.Streams.Recheck, c.Streams.Heartbeat = 20*time.Millisecond, 20*time.Millisecond
	f := newFeed(t, c, 0)
	me, session := actortest.User(), actortest.User()
	stream := f.follow(t, "/t/watch/"+f.id, bearer(f.Token(t, me, actortest.WithSession(session))))
	other := f.follow(t, "/t/watch/"+f.id, bearer(f.Token(t, me)))
	<-stream.comments
	f.RevokeSession(t, me, session)
	stream.ended()
	id := f.publish(t, "x", "1")
	if got := other.next(); got.id != id {
		t.Errorf("another session's stream: %+v", got)
	}
	f.gateway.Drain()
	other.ended()
}

func TestStreamLimits(t *testing.T) {
	t.Parallel()
	c := relaxed()
	c.Streams.PerUser, c.Streams.Max = 2, 3
	f := newFeed(t, c, 0)
	path := "/t/watch/" + f.id
	mine := bearer(f.Token(t, actortest.User()))
	first := f.follow(t, path, mine)
	f.follow(t, path, mine)
	if r, body := f.do(t, "GET", path, "", mine); r.StatusCode != 429 || r.Header.Get("Retry-After") == "" {
		t.Errorf("the third stream of a user: %d %s", r.StatusCode, body)
	}
	f.follow(t, path, bearer(f.Token(t, actortest.User())))
	r, body := f.do(t, "GET", path, "", bearer(f.Token(t, actortest.User())))
	sc := scenario{status: 503, code: subjects.CodeUnavailable}
	sc.check(t, r, body)
	first.close()
	eventually(t, "a stream can be opened", func() bool {
		again := f.follow(t, path, mine)
		defer again.close()
		return again.response.StatusCode == 200
	})
}

func TestReplies(t *testing.T) {
	t.Parallel()
	type ref struct {
		ID string `json:"id"`
	}
	made := describe[subjects.Empty, ref]("made", "POST /t/made", func(d *subjects.Descriptor) {
		d.Status, d.Location = http.StatusAccepted, "/v1/made/{id}"
	})
	moved := describe[subjects.Empty, ref]("moved", "GET /t/moved", func(d *subjects.Descriptor) {
		d.Status, d.Location = http.StatusFound, "{id}"
	})
	gone := describe[subjects.Empty, subjects.Empty]("gone", "DELETE /t/gone", func(d *subjects.Descriptor) { d.Status = http.StatusNoContent })
	page := describe[subjects.Empty, subjects.Document]("page", "GET /t/page", func(d *subjects.Descriptor) { d.Produces = "text/csv" })
	s := start(t, relaxed(), made, moved, gone, page)
	s.listen(t, made, ref{"a/b"})
	s.listen(t, moved, ref{"https://example.com/x?y=1"})
	s.listen(t, gone, subjects.Empty{})
	s.listen(t, page, subjects.Document{ContentType: "text/csv; charset=utf-8", Body: []byte("a,b\n"), Filename: "x.csv"})
	for _, sc := range []scenario{
		{method: "POST", path: "/t/made", status: 202, reply: []string{"Location: /v1/made/a%2Fb"}, contains: []string{`"a/b"`}},
		{method: "GET", path: "/t/moved", status: 302, reply: []string{"Location: https://example.com/x?y=1"}},
		{method: "DELETE", path: "/t/gone", status: 204, reply: []string{"Content-Type: "}},
		{method: "GET", path: "/t/page", status: 200, contains: []string{"a,b\n"},
			reply: []string{"Content-Type: text/csv; charset=utf-8", "Content-Disposition: attachment; filename=x.csv"}},
		{method: "GET", path: "/t/page", header: []string{"Accept: text/html"}, status: 406, code: subjects.CodeNotAcceptable},
	} {
		t.Run(sc.path, func(t *testing.T) {
			response, body := s.do(t, sc.method, sc.path, "", sc.header...)
			sc.check(t, response, body)
		})
	}
	failing, err := json.Marshal(subjects.ProblemOf(&subjects.Error{
		Code: subjects.CodeConsentRequired, Scope: subjects.ScopeWorkflowsExecute, Detail: "not now",
	}, "", ""))
	if err != nil {
		t.Fatal(err)
	}
	refused := describe[subjects.Empty, ref]("refused", "POST /t/refused", nil)
	other := startOn(t, s.Mesh, relaxed(), refused)
	if _, err := s.Conn(t, "workflow").Subscribe(refused.Subject, func(m *nats.Msg) {
		reply := nats.NewMsg(m.Reply)
		reply.Header.Set(mesh.HeaderErrorCode, string(subjects.CodeConsentRequired))
		reply.Header.Set(mesh.HeaderIdempotencyReplayed, "true")
		reply.Data = failing
		_ = m.RespondMsg(reply)
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Conn(t, "workflow").Flush(); err != nil {
		t.Fatal(err)
	}
	response, body := other.do(t, "POST", "/t/refused", "")
	scenario{
		status: 403, code: subjects.CodeConsentRequired, contains: []string{subjects.ScopeWorkflowsExecute, "not now"},
		reply: []string{"Idempotency-Replayed: true"},
	}.check(t, response, body)
}
