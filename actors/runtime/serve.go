package runtime

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// asService is the suffix of the name of an endpoint's service subject in `nats micro info`.
const asService = "_as_service"

func methodOf(endpoint string) string { return strings.TrimSuffix(endpoint, asService) }

// serve adds an endpoint, and its service subject if services may call it.
func (r *Runtime) serve(svc micro.Service, b actors.Binding) error {
	semaphore := newBoundedSemaphore(b.Desc.Concurrency)
	metadata := metadataOf(b.Desc)
	handler := micro.HandlerFunc(func(req micro.Request) { r.accept(b, semaphore, req) })
	err := svc.AddEndpoint(b.Desc.Method, handler,
		micro.WithEndpointSubject(b.Desc.Subject), micro.WithEndpointMetadata(metadata))
	if err != nil || len(b.Desc.Access.Services) == 0 {
		return err
	}
	return svc.AddEndpoint(b.Desc.Method+asService, handler,
		micro.WithEndpointSubject(b.Desc.ServicePattern()), micro.WithEndpointMetadata(metadata))
}

// accept passes a request from the subscription, which delivers serially, to a goroutine. It refuses the request if the actor is
// stopping or the endpoint's queue is full. It drops a message whose reply subject is not an inbox: otherwise a caller could make the
// actor publish to any subject that the actor may publish to.
func (r *Runtime) accept(b actors.Binding, semaphore *boundedSemaphore, req micro.Request) {
	if !mesh.IsInbox(req.Reply()) {
		r.Telemetry.Log.Warn("dropping a message without an inbox to reply to",
			zap.String("subject", req.Subject()), zap.String("reply", req.Reply()))
		return
	}
	if !r.running.add() {
		r.refuse(b, req, "", b.Desc.Actor+" is stopping")
		return
	}
	if !semaphore.admit() {
		r.running.done()
		r.refuse(b, req, subjects.ReasonOverloaded, b.Desc.Name()+" is overloaded")
		return
	}
	r.pool.do(func() {
		defer r.running.done()
		defer semaphore.leave()
		r.answer(b, semaphore, req)
	})
}

// refuse answers a request that is not handled with CodeUnavailable.
func (r *Runtime) refuse(b actors.Binding, req micro.Request, reason subjects.Reason, detail string) {
	r.observe(b.Desc, subjects.CodeUnavailable, 0)
	err := &subjects.Error{Code: subjects.CodeUnavailable, Reason: reason, Detail: detail, RetryAfter: subjects.RetrySoon}
	r.fail(req, err, false, "", "")
}

// answer handles one request, from its deadline to its log line.
func (r *Runtime) answer(b actors.Binding, semaphore *boundedSemaphore, req micro.Request) {
	start := time.Now()
	h := nats.Header(req.Headers())
	ctx, cancel := context.WithTimeout(r.work, mesh.Timeout(h, b.Desc.Timeout))
	defer cancel()
	id := h.Get(mesh.HeaderRequestID)
	relayed := id != ""
	if !relayed {
		id = nuid.Next() // the caller is not the gateway
	}
	ctx = mesh.WithRequestID(mesh.Propagator.Extract(ctx, mesh.Carrier(h)), id)
	ctx, span := r.Telemetry.Start(ctx, b.Desc.Name(), trace.SpanKindServer)
	defer span.End()
	var caller actors.Caller
	var reply []byte
	var replayed bool
	err := classify(ctx, recovered(func() (err error) {
		if caller, err = r.identify(ctx, b.Desc, req.Subject(), h); err != nil {
			return err
		}
		if b.Desc.Origin {
			caller.Origin = actors.Origin{IP: h.Get(mesh.HeaderClientIP), UserAgent: h.Get(mesh.HeaderUserAgent)}
		}
		if err = semaphore.acquire(ctx); err != nil {
			return err
		}
		defer semaphore.release()
		reply, replayed, err = r.handle(actors.WithCaller(ctx, caller), b, h, req.Data())
		return err
	}))
	if limit := r.Conn.MaxPayload(); err == nil && int64(len(reply)) > limit {
		err = subjects.Errorf(subjects.CodeTooLarge, "the reply has %d bytes, the limit is %d", len(reply), limit)
	}
	if err != nil {
		span.SetAttributes(attribute.String("weft.code", string(subjects.CodeOf(err))))
		r.fail(req, err, replayed, mesh.RequestID(ctx), mesh.TraceID(ctx))
	} else {
		r.respond(req, reply, replayed)
	}
	r.observe(b.Desc, subjects.CodeOf(err), time.Since(start))
	r.logRequest(ctx, b.Desc, caller, err, time.Since(start), relayed)
}

// handle runs the handler, under the caller's idempotency key if there is one.
func (r *Runtime) handle(ctx context.Context, b actors.Binding, h nats.Header, data []byte) ([]byte, bool, error) {
	run := func(ctx context.Context) (reply []byte, err error) {
		err = recovered(func() error {
			reply, err = b.Handle(ctx, data)
			return err
		})
		return reply, err
	}
	key := h.Get(mesh.HeaderIdempotencyKey)
	if key == "" || !b.Desc.Mutating || r.Idempotency == nil {
		reply, err := run(ctx)
		return reply, false, err
	}
	return r.runOnce(ctx, b.Desc, key, data, run)
}

func (r *Runtime) respond(req micro.Request, reply []byte, replayed bool) {
	m := &nats.Msg{Subject: req.Reply(), Data: reply}
	markReplayed(m, replayed)
	r.send(req, m)
}

func (r *Runtime) fail(req micro.Request, err error, replayed bool, requestID, traceID string) {
	problem := subjects.ProblemOf(err, requestID, traceID)
	body, e := subjects.Encode(problem)
	if e != nil {
		r.Telemetry.Log.Error("encoding a problem", zap.String("subject", req.Subject()), zap.Error(e))
		return
	}
	m := &nats.Msg{Subject: req.Reply(), Data: body, Header: nats.Header{
		mesh.HeaderErrorCode: {string(problem.Code)}, mesh.HeaderError: {problem.Title},
	}}
	markReplayed(m, replayed)
	r.send(req, m)
}

// markReplayed sets the header of a replayed answer.
func markReplayed(m *nats.Msg, replayed bool) {
	if !replayed {
		return
	}
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	m.Header.Set(mesh.HeaderIdempotencyReplayed, "true")
}

const (
	// replyTimeout bounds how long a reply waits for the connection to be restored.
	replyTimeout = 10 * time.Second
	// replyRetry is the delay between two attempts to send a reply while the connection is lost.
	replyRetry = 50 * time.Millisecond
)

// send publishes the reply. It does not use micro's Respond, which races with micro's statistics once the handler has passed the
// request on. While the connection is lost it waits, because the caller may be waiting too.
func (r *Runtime) send(req micro.Request, m *nats.Msg) {
	err := r.Conn.PublishMsg(m)
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		ctx, cancel := context.WithTimeout(r.work, replyTimeout)
		defer cancel()
		for errors.Is(err, nats.ErrReconnectBufExceeded) && wait.Sleep(ctx, replyRetry) == nil {
			err = r.Conn.PublishMsg(m)
		}
	}
	if err != nil {
		r.Telemetry.Log.Warn("reply not sent", zap.String("subject", req.Subject()), zap.Error(err))
	}
}

// endpointStats are an endpoint's figures for `nats micro stats`. micro's own figures only cover the time until accept returns.
type endpointStats struct {
	requests, errors, nanoseconds atomic.Int64
	instrument                    *mesh.Instrument
}

// snapshot returns the figures as they are encoded for `nats micro stats`.
func (s *endpointStats) snapshot() any {
	if s == nil {
		return nil
	}
	requests, total := s.requests.Load(), s.nanoseconds.Load()
	return struct {
		Requests int64   `json:"requests"`
		Errors   int64   `json:"errors"`
		Average  float64 `json:"average_ms"`
	}{requests, s.errors.Load(), float64(total) / float64(max(1, requests)) / float64(time.Millisecond)}
}

// observe records a request in the metrics and in the endpoint's figures.
func (r *Runtime) observe(d *subjects.Descriptor, code subjects.Code, took time.Duration) {
	stats := r.stats[d.Method]
	stats.instrument.Observe(string(code), took)
	stats.requests.Add(1)
	stats.nanoseconds.Add(int64(took))
	if code != "" {
		stats.errors.Add(1)
	}
}

// logRequest writes the log line of a request. A successful request that came with a request id is logged at level debug only,
// because the gateway logs it. The cause of an error is logged here and nowhere else.
func (r *Runtime) logRequest(
	ctx context.Context, d *subjects.Descriptor, c actors.Caller, err error, took time.Duration, relayed bool,
) {
	if err == nil && relayed && !r.Telemetry.Log.Core().Enabled(zap.DebugLevel) {
		return
	}
	code := subjects.CodeOf(err)
	fields := []zap.Field{
		zap.String("request_id", mesh.RequestID(ctx)), zap.String("trace_id", mesh.TraceID(ctx)),
		zap.String("subject", d.Subject), zap.Stringer("caller", c), zap.String("code", string(code)), zap.Duration("took", took),
	}
	switch code {
	case "":
		r.Telemetry.Log.Info("request", fields...)
	case subjects.CodeInternal, subjects.CodeUnavailable:
		r.Telemetry.Log.Error("request", append(fields, zap.Error(err))...)
	default:
		r.Telemetry.Log.Info("request", append(fields, zap.Error(err))...)
	}
}
