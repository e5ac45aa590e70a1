package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// streamWrite bounds one write to a client that follows a stream: a slower one is let go.
	streamWrite = 15 * time.Second
	// streamRetry is how long a client waits before it comes back (the field "retry").
	streamRetry = 2 * time.Second
	// streamInactive is after how long without us the server drops a stream's consumer.
	streamInactive = time.Minute
	// streamSetup bounds the making of a stream's consumer.
	streamSetup = 5 * time.Second
)

// errStreamEnds ends a stream whose last event was sent.
var errStreamEnds = errors.New("the stream's last event was sent")

// streams counts the open server-sent event streams.
type streams struct {
	config  StreamsConfig
	metrics *metrics
	mu      sync.Mutex
	open    int
	by      map[string]int
}

func newStreams(c StreamsConfig, m *metrics) *streams {
	return &streams{config: c, metrics: m, by: map[string]int{}}
}

// enter counts one more stream of whom. The error is CodeRateLimited for one who has too many, CodeUnavailable
// where the gateway has.
func (s *streams) enter(whom string) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.by[whom] >= s.config.PerUser:
		return nil, &subjects.Error{
			Code: subjects.CodeRateLimited, RetryAfter: streamRetry,
			Detail: "more than " + strconv.Itoa(s.config.PerUser) + " streams are open at once",
		}
	case s.open >= s.config.Max:
		return nil, &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "too many streams are open", RetryAfter: streamRetry,
		}
	}
	s.open++
	s.by[whom]++
	s.metrics.streams.Set(float64(s.open))
	return func() { s.exit(whom) }, nil
}

func (s *streams) exit(whom string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.by[whom]--; s.by[whom] == 0 {
		delete(s.by, whom)
	}
	s.metrics.streams.Set(float64(s.open))
}

// stream answers with server-sent events, from where the actor's reply points on: after the event that the client says it
// has seen (Last-Event-ID), or the pointer's sequence. It ends when the client goes, after an event that the pointer
// names as last, when the token is no longer valid, and when the gateway stops.
func (rt *route) stream(x *exchange, reply []byte) error {
	var pointer subjects.StreamPointer
	if err := json.Unmarshal(reply, &pointer); err != nil {
		return fmt.Errorf("reading a stream pointer of %s: %w", rt.d.Name(), err)
	}
	whom := "user." + x.caller.user
	if x.caller.user == "" {
		whom = "ip." + x.caller.ip()
	}
	leave, err := x.g.streams.enter(whom)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithCancel(x.ctx)
	defer cancel()
	source, err := x.g.read(ctx, pointer, x.r.Header.Get("Last-Event-ID"))
	if err != nil {
		return err
	}
	defer source.stop()
	// Before that: the consumer may be waiting to hand a message over.
	defer cancel()
	sse := &eventWriter{w: x.w, control: http.NewResponseController(x.w), head: x.r.Method == http.MethodHead}
	x.begin()
	if sse.head {
		return nil
	}
	if err := sse.open(pointer.Initial); err != nil {
		return clientGone(err)
	}
	return x.follow(ctx, sse, source, pointer.Until)
}

// begin sends the headers of a stream.
func (x *exchange) begin() {
	h := x.w.Header()
	h["Content-Type"] = []string{"text/event-stream"}
	// Proxies of the nginx kind would hold events back.
	h["X-Accel-Buffering"] = []string{"no"}
	x.status = http.StatusOK
	x.extend(0)
	x.w.WriteHeader(x.status)
}

// clientGone turns a failed write into no error: there is nobody to tell.
func clientGone(error) error { return nil }

// follow passes the messages on until one of the ends that stream names.
func (x *exchange) follow(ctx context.Context, sse *eventWriter, from source, until []string) error {
	heartbeat := time.NewTicker(x.g.config.Streams.Heartbeat)
	defer heartbeat.Stop()
	recheck := time.NewTicker(x.g.config.Streams.Recheck)
	defer recheck.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-x.g.draining:
			return nil
		case <-from.closed:
			return nil
		case m := <-from.messages:
			err = sse.message(m, until)
		case <-heartbeat.C:
			err = sse.comment()
		case <-recheck.C:
			if x.caller.token == "" {
				continue
			}
			if _, err := x.g.Verifier.Verify(ctx, x.caller.token); err != nil {
				// The end of the session ends the stream, as the client will learn when it comes back.
				return nil
			}
		}
		if err != nil {
			return clientGone(err)
		}
	}
}

// source is a stream's messages. closed tells that it cannot go on.
type source struct {
	messages <-chan jetstream.Msg
	closed   <-chan struct{}
	stop     func()
}

// read follows a stream by an ordered consumer, until ctx ends or stop is called.
func (g *Gateway) read(ctx context.Context, p subjects.StreamPointer, last string) (source, error) {
	config := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{p.Filter}, InactiveThreshold: streamInactive,
		DeliverPolicy: jetstream.DeliverNewPolicy,
	}
	if p.Sequence > 0 {
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, p.Sequence
	}
	if last != "" {
		seen, err := strconv.ParseUint(last, 10, 63)
		if err != nil {
			return source{}, subjects.InvalidField("Last-Event-ID", "is no id of an event of this stream")
		}
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, seen+1
	}
	setup, cancel := context.WithTimeout(ctx, streamSetup)
	defer cancel()
	consumer, err := g.Conn.JS.OrderedConsumer(setup, p.Stream, config)
	if err != nil {
		return source{}, unreadable(p, err)
	}
	queue := make(chan jetstream.Msg, 16)
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		select {
		case queue <- m:
		case <-ctx.Done():
		}
	}, jetstream.PullMaxMessages(64), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		g.Telemetry.Log.Debug("reading a stream", zap.String("stream", p.Stream), zap.Error(err))
	}))
	if err != nil {
		return source{}, unreadable(p, err)
	}
	// Stopping waits for a consumer that is being made anew, which may take as long as the server is away.
	return source{messages: queue, closed: consuming.Closed(), stop: func() { go consuming.Stop() }}, nil
}

func unreadable(p subjects.StreamPointer, err error) error {
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Detail: "the events cannot be read right now", RetryAfter: streamRetry,
		Cause: fmt.Errorf("reading stream %s: %w", p.Stream, err),
	}
}

// eventWriter writes server-sent events (WHATWG HTML §9.2).
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     bytes.Buffer
	head    bool
}

func (e *eventWriter) open(initial []subjects.InitialEvent) error {
	fmt.Fprintf(&e.buf, "retry: %d\n\n", streamRetry.Milliseconds())
	for _, event := range initial {
		data, err := json.Marshal(event.Data)
		if err != nil {
			return fmt.Errorf("encoding an initial event: %w", err)
		}
		e.event("", event.Event, data)
	}
	return e.flush()
}

// message writes a stream's message; errStreamEnds follows one that is named as last.
func (e *eventWriter) message(m jetstream.Msg, until []string) error {
	meta, err := m.Metadata()
	if err != nil {
		return fmt.Errorf("reading a stream's message: %w", err)
	}
	name := m.Headers().Get(mesh.HeaderEvent)
	e.event(strconv.FormatUint(meta.Sequence.Stream, 10), name, m.Data())
	if err := e.flush(); err != nil {
		return err
	}
	if slices.Contains(until, name) {
		return errStreamEnds
	}
	return nil
}

func (e *eventWriter) comment() error {
	e.buf.WriteString(":\n\n")
	return e.flush()
}

func (e *eventWriter) event(id, name string, data []byte) {
	if id != "" {
		e.buf.WriteString("id: " + id + "\n")
	}
	if name != "" {
		e.buf.WriteString("event: " + strings.NewReplacer("\r", " ", "\n", " ").Replace(name) + "\n")
	}
	data = bytes.ReplaceAll(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		e.buf.WriteString("data: ")
		e.buf.Write(line)
		e.buf.WriteByte('\n')
	}
	e.buf.WriteByte('\n')
}

func (e *eventWriter) flush() error {
	// A recorder in a test has no deadline to set.
	_ = e.control.SetWriteDeadline(time.Now().Add(streamWrite))
	_, err := e.w.Write(e.buf.Bytes())
	e.buf.Reset()
	if err != nil {
		return fmt.Errorf("writing an event: %w", err)
	}
	if err := e.control.Flush(); err != nil {
		return fmt.Errorf("writing an event: %w", err)
	}
	_ = e.control.SetWriteDeadline(time.Time{})
	return nil
}
