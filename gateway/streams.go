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
	// streamWrite bounds one write to the client of a stream; a slower client is disconnected.
	streamWrite = 15 * time.Second
	// streamRetry is the reconnection time sent to clients (the field "retry").
	streamRetry = 2 * time.Second
	// streamInactive is how long the NATS server keeps the consumer of a stream without requests from the gateway.
	streamInactive = time.Minute
	// streamQueue bounds the messages that wait for a client, streamPrefetch and streamBytes those that NATS sends ahead; the latter must
	// exceed the largest message.
	streamQueue, streamPrefetch, streamBytes = 4, 16, 2 << 20
	// streamSetup bounds the creation of a stream's consumer.
	streamSetup = 5 * time.Second
)

// errStreamEnd ends a stream whose last event was sent.
var errStreamEnd = errors.New("the stream's last event was sent")

// streams counts the open server-sent event streams, uploads and downloads.
type streams struct {
	config  StreamsConfig
	metrics *metrics
	mu      sync.Mutex
	open    int
	// openBy counts them by caller.limitKey.
	openBy map[string]int
}

func newStreams(c StreamsConfig, m *metrics) *streams {
	return &streams{config: c, metrics: m, openBy: map[string]int{}}
}

// acquire counts one more stream of a caller, by its limitKey. The error is CodeRateLimited if the caller has
// StreamsConfig.PerUser streams open, CodeUnavailable if the gateway has StreamsConfig.Max.
func (s *streams) acquire(caller string) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.openBy[caller] >= s.config.PerUser:
		return nil, &subjects.Error{
			Code: subjects.CodeRateLimited, RetryAfter: streamRetry,
			Detail: "too many open streams: at most " + strconv.Itoa(s.config.PerUser) + " at a time (gateway.streams.per_user)",
		}
	case s.open >= s.config.Max:
		return nil, &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "too many open streams", RetryAfter: streamRetry,
		}
	}
	s.open++
	s.openBy[caller]++
	s.metrics.streams.Set(float64(s.open))
	return func() { s.release(caller) }, nil
}

func (s *streams) release(caller string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.openBy[caller]--; s.openBy[caller] == 0 {
		delete(s.openBy, caller)
	}
	s.metrics.streams.Set(float64(s.open))
}

// stream writes server-sent events from the stream that the actor's reply points to. It begins after the event that the
// client names in Last-Event-ID, or else at the pointer's sequence. It ends when the client disconnects, after an event that
// the pointer names as last, when the token is no longer valid, and when the gateway shuts down. If the client has that last event
// already, the response is 204, after which an EventSource does not reconnect (WHATWG HTML §9.2.1).
func (rt *route) stream(rc *requestContext, reply []byte) error {
	var pointer subjects.StreamPointer
	if err := json.Unmarshal(reply, &pointer); err != nil {
		return fmt.Errorf("decoding a stream pointer of %s: %w", rt.d.Name(), err)
	}
	release, err := rc.g.streams.acquire(rc.caller.limitKey())
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithCancel(rc.ctx)
	defer cancel()
	last := uint64(0)
	if id := rc.r.Header.Get("Last-Event-ID"); id != "" {
		if last, err = rc.g.eventIDs.sequence(pointer.Filter, id); err != nil {
			return err
		}
	}
	source, err := rc.g.consume(ctx, pointer, last)
	if err != nil {
		return err
	}
	defer source.stop()
	// Runs before source.stop: the consumer may be blocked on handing over a message.
	defer cancel()
	sse := &eventWriter{w: rc.w, control: http.NewResponseController(rc.w), ids: rc.g.eventIDs, filter: pointer.Filter, last: last}
	if ended, err := sse.receivedEnd(ctx, &source, pointer.Until); err != nil || ended {
		if ended {
			rc.status = http.StatusNoContent
			rc.w.WriteHeader(rc.status)
		}
		return err
	}
	rc.beginStream()
	if rc.r.Method == http.MethodHead {
		return nil
	}
	if err := sse.writeInitial(pointer.Initial); err != nil {
		return clientGone(err)
	}
	return rc.follow(ctx, sse, source, pointer.Until)
}

// beginStream writes the headers of a stream.
func (rc *requestContext) beginStream() {
	h := rc.w.Header()
	h["Content-Type"] = []string{"text/event-stream"}
	// Otherwise nginx buffers the events.
	h["X-Accel-Buffering"] = []string{"no"}
	rc.status = http.StatusOK
	rc.extendDeadlines(0)
	rc.w.WriteHeader(rc.status)
}

// clientGone drops the error of a failed write, because the client has disconnected.
func clientGone(error) error { return nil }

// follow writes the messages until the stream ends; see stream.
func (rc *requestContext) follow(ctx context.Context, sse *eventWriter, from source, until []string) error {
	select {
	case m := <-from.first:
		if err := sse.writeMessage(m, until); err != nil {
			return clientGone(err)
		}
	default:
	}
	heartbeat := time.NewTicker(rc.g.config.Streams.Heartbeat)
	defer heartbeat.Stop()
	recheck := time.NewTicker(rc.g.config.Streams.Recheck)
	defer recheck.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-rc.g.draining:
			return nil
		case <-from.closed:
			return nil
		case m := <-from.messages:
			err = sse.writeMessage(m, until)
		case <-heartbeat.C:
			err = sse.writeHeartbeat()
		case <-recheck.C:
			if rc.caller.token == "" {
				continue
			}
			if _, err := rc.g.Verifier.Verify(ctx, rc.caller.token); err != nil {
				// The session has ended. The client gets the error when it reconnects.
				return nil
			}
		}
		if err != nil {
			return clientGone(err)
		}
	}
}

// source delivers the messages of a stream. closed is closed when the consumer has stopped.
type source struct {
	messages <-chan jetstream.Msg
	// first has the message that was looked at before the stream began, if any. pending reports whether there was one.
	first   chan jetstream.Msg
	pending bool
	closed  <-chan struct{}
	stop    func()
}

// consume reads a stream with an ordered consumer until ctx ends or stop is called, from the message with the sequence last on, if
// that is not 0, else from the pointer's sequence on.
func (g *Gateway) consume(ctx context.Context, p subjects.StreamPointer, last uint64) (source, error) {
	config := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{p.Filter}, InactiveThreshold: streamInactive,
		DeliverPolicy: jetstream.DeliverNewPolicy,
	}
	if p.Sequence > 0 {
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, p.Sequence
	}
	if last > 0 {
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, last
	}
	setup, cancel := context.WithTimeout(ctx, streamSetup)
	defer cancel()
	consumer, err := g.Conn.JS.OrderedConsumer(setup, p.Stream, config)
	if err != nil {
		return source{}, streamUnavailable(p, err)
	}
	info := consumer.CachedInfo()
	queue := make(chan jetstream.Msg, streamQueue)
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		err := g.Telemetry.Recovered(mesh.UserGateway, func() error { return g.Conn.JS.VerifyMessage(m) })
		if err != nil {
			return // not published by the stream's author
		}
		select {
		case queue <- m:
		case <-ctx.Done():
		}
	}, jetstream.PullMaxMessagesWithBytesLimit(streamPrefetch, streamBytes), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		g.Telemetry.Log.Debug("reading a stream", zap.String("stream", p.Stream), zap.Error(err))
	}))
	if err != nil {
		return source{}, streamUnavailable(p, err)
	}
	// Stop blocks while the consumer is being recreated, which may take as long as the server is unreachable.
	return source{
		messages: queue, first: make(chan jetstream.Msg, 1), pending: info != nil && info.NumPending > 0,
		closed: consuming.Closed(), stop: func() { go consuming.Stop() },
	}, nil
}

func streamUnavailable(p subjects.StreamPointer, err error) error {
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Detail: "the event stream is unavailable", RetryAfter: streamRetry,
		Cause: fmt.Errorf("reading stream %s: %w", p.Stream, err),
	}
}

// eventWriter writes server-sent events (WHATWG HTML §9.2).
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     bytes.Buffer
	ids     eventIDs
	filter  string
	// last is the sequence of the last message that the client has; 0 if it has none.
	last uint64
}

// receivedEnd reports whether the client has the last event of a stream that ends. It looks at the message that the client has
// received last, which is the first that the source delivers if it still exists.
func (e *eventWriter) receivedEnd(ctx context.Context, from *source, until []string) (bool, error) {
	if e.last == 0 || len(until) == 0 || !from.pending {
		return false, nil
	}
	timeout := time.NewTimer(streamSetup)
	defer timeout.Stop()
	select {
	case m := <-from.messages:
		from.first <- m
		meta, err := m.Metadata()
		if err != nil {
			return false, fmt.Errorf("reading the metadata of a message: %w", err)
		}
		return meta.Sequence.Stream == e.last && slices.Contains(until, m.Headers().Get(mesh.HeaderEvent)), nil
	case <-timeout.C:
	case <-from.closed:
	case <-ctx.Done():
	}
	return false, nil
}

// writeInitial writes the reconnection time and the initial events.
func (e *eventWriter) writeInitial(initial []subjects.InitialEvent) error {
	fmt.Fprintf(&e.buf, "retry: %d\n\n", streamRetry.Milliseconds())
	for _, event := range initial {
		data, err := subjects.Encode(event.Data)
		if err != nil {
			return fmt.Errorf("encoding an initial event: %w", err)
		}
		e.writeEvent("", event.Event, data)
	}
	return e.flush()
}

// writeMessage writes a message of the stream as an event. It returns errStreamEnd after an event named in until.
func (e *eventWriter) writeMessage(m jetstream.Msg, until []string) error {
	meta, err := m.Metadata()
	if err != nil {
		return fmt.Errorf("reading the metadata of a message: %w", err)
	}
	if meta.Sequence.Stream <= e.last {
		return nil // the client has it
	}
	name := m.Headers().Get(mesh.HeaderEvent)
	e.writeEvent(e.ids.id(e.filter, meta.Sequence.Stream), name, m.Data())
	if err := e.flush(); err != nil {
		return err
	}
	if slices.Contains(until, name) {
		return errStreamEnd
	}
	return nil
}

// writeHeartbeat writes an empty comment.
func (e *eventWriter) writeHeartbeat() error {
	e.buf.WriteString(":\n\n")
	return e.flush()
}

func (e *eventWriter) writeEvent(id, name string, data []byte) {
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

// flush sends the buffered events within streamWrite.
func (e *eventWriter) flush() error {
	// Errors are ignored: a ResponseRecorder has no deadlines.
	_ = e.control.SetWriteDeadline(time.Now().Add(streamWrite))
	_, err := e.w.Write(e.buf.Bytes())
	e.buf.Reset()
	if err := errors.Join(err, e.control.Flush()); err != nil {
		return fmt.Errorf("writing an event: %w", err)
	}
	_ = e.control.SetWriteDeadline(time.Time{})
	return nil
}
