package runtime

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
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

// serve adds an endpoint, and its subjects for services and enrolled users if such may call it.
func (r *Runtime) serve(svc *microService, b actors.Binding) error {
	semaphore := newBoundedSemaphore(b.Desc.Name(), b.Desc.Concurrency)
	r.semaphores[b.Desc.Method] = semaphore
	metadata := metadataOf(b.Desc)
	add := func(name, subject string) error {
		stats := &endpointStats{}
		e := microEndpoint{name: name, subject: subject, metadata: metadata, stats: stats}
		return svc.addEndpoint(r.Conn.Conn, e, func(m *nats.Msg) {
			if err := r.recovered(func() error { r.accept(endpoint{b, stats}, semaphore, m); return nil }); err != nil {
				r.Telemetry.Log.Error("accepting a request failed", zap.String("subject", m.Subject), zap.Error(err))
			}
		})
	}
	err := add(b.Desc.Method, b.Desc.Subject)
	if err == nil && len(b.Desc.Access.Services) > 0 {
		err = add(b.Desc.Method+asService, b.Desc.ServicePattern())
	}
	for _, kind := range b.Desc.Access.Enrolled {
		if err == nil {
			err = add(b.Desc.Method+"_as_"+kind, b.Desc.EnrolledSubject(kind, "*"))
		}
	}
	return err
}

// endpoint is a subject of an endpoint with its handler and figures.
type endpoint struct {
	actors.Binding
	stats *endpointStats
}

// accept passes a request from the subscription, which delivers serially, to a goroutine. It refuses the request if the actor is
// stopping, the message is too large, or the endpoint's queue or the memory for received requests is full. It drops a message whose
// reply subject is not an inbox of a user that may publish such a request: otherwise a caller could make the actor publish to any
// subject that the actor may publish to.
func (r *Runtime) accept(b endpoint, semaphore *boundedSemaphore, req *nats.Msg) {
	if !mayReplyTo(b.Desc, req) {
		r.Telemetry.Log.Warn("dropping a message without an inbox to reply to",
			zap.String("subject", req.Subject), zap.String("reply", req.Reply))
		return
	}
	if !r.running.add() {
		r.refuse(b, req, "", b.Desc.Actor+" is stopping")
		return
	}
	if err := b.Desc.CheckSize(len(req.Data)); err != nil {
		r.running.done()
		r.observe(b, subjects.CodeTooLarge, 0)
		r.fail(req, err, false, "", "")
		return
	}
	if !semaphore.admit() {
		r.running.done()
		r.refuse(b, req, subjects.ReasonOverloaded, b.Desc.Name()+" is overloaded")
		return
	}
	large, ok := r.receive(len(req.Data))
	if !ok {
		semaphore.leave()
		r.running.done()
		r.refuse(b, req, subjects.ReasonOverloaded, "the memory for received requests is in use")
		return
	}
	r.pool.do(func() {
		defer r.running.done()
		defer semaphore.leave()
		defer large.release()
		if err := r.recovered(func() error { r.answer(b, semaphore, large, req); return nil }); err != nil {
			r.Telemetry.Log.Error("answering a request failed", zap.String("subject", req.Subject), zap.Error(err))
		}
	})
}

// mayReplyTo reports whether a request's reply subject is an inbox of a NATS user that may publish such a request.
func mayReplyTo(d *subjects.Descriptor, req *nats.Msg) bool {
	return mesh.IsInbox(req.Reply, callersOf(d, req.Subject)...) || req.Subject == d.Subject && mesh.IsEdgeInbox(req.Reply)
}

// callersOf returns the NATS users that may publish a request on subject, except that edge nodes may also publish on the plain subjects.
func callersOf(d *subjects.Descriptor, subject string) []string {
	switch kind, name := d.CallerOf(subject); {
	case kind != "":
		return []string{mesh.EnrolledUser(kind, name)}
	case name != "":
		return []string{name}
	}
	return []string{mesh.UserGateway, mesh.UserOperator}
}

// refuse answers a request that is not handled with CodeUnavailable.
func (r *Runtime) refuse(b endpoint, req *nats.Msg, reason subjects.Reason, detail string) {
	r.observe(b, subjects.CodeUnavailable, 0)
	err := &subjects.Error{Code: subjects.CodeUnavailable, Reason: reason, Detail: detail, RetryAfter: subjects.RetrySoon}
	r.fail(req, err, false, "", "")
}

// answer handles one request, from its deadline to its log line.
func (r *Runtime) answer(b endpoint, semaphore *boundedSemaphore, large *largeRequest, req *nats.Msg) {
	start := time.Now()
	h := req.Header
	ctx, cancel := context.WithTimeout(r.work, mesh.Timeout(h, b.Desc.Timeout))
	defer cancel()
	defer r.cancellations.track(b.Desc, req.Subject, h, cancel)()
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
	err := classify(ctx, r.recovered(func() (err error) {
		if caller, err = r.identify(ctx, b.Desc, req.Subject, h); err != nil {
			return err
		}
		if r.Edge != nil && b.Desc != subjects.HealthChecks[r.service.Name].Describe() {
			if err = r.Edge.Permit(caller.UserID); err != nil {
				return err
			}
		}
		if b.Desc.Origin {
			caller.Origin = actors.Origin{IP: h.Get(mesh.HeaderClientIP), UserAgent: h.Get(mesh.HeaderUserAgent)}
		}
		caller.GPC = b.Desc.GPC && caller.Service == "" && h.Get(mesh.HeaderGPC) == "1"
		if err = large.reserve(ctx, b.Desc, caller, req.Data); err != nil {
			return err
		}
		if err = semaphore.acquire(ctx, caller.UserID); err != nil {
			return err
		}
		defer semaphore.release(caller.UserID)
		data := req.Data
		req.Data = nil // the handler may wait for long after it has decoded it
		reply, replayed, err = r.handle(actors.WithCaller(ctx, caller), b.Binding, h, data)
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
	r.observe(b, subjects.CodeOf(err), time.Since(start))
	r.logRequest(ctx, b.Desc, caller, err, time.Since(start), relayed)
}

// handle runs the handler, under the caller's idempotency key if there is one.
func (r *Runtime) handle(ctx context.Context, b actors.Binding, h nats.Header, data []byte) ([]byte, bool, error) {
	run := func(ctx context.Context) (reply []byte, err error) {
		err = r.recovered(func() error {
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

func (r *Runtime) respond(req *nats.Msg, reply []byte, replayed bool) {
	m := &nats.Msg{Subject: req.Reply, Data: reply}
	markReplayed(m, replayed)
	if r.Edge != nil {
		if m.Header == nil {
			m.Header = nats.Header{}
		}
		m.Header.Set(mesh.HeaderAsOf, r.Edge.AsOf().UTC().Format(time.RFC3339))
	}
	r.send(req, m)
}

func (r *Runtime) fail(req *nats.Msg, err error, replayed bool, requestID, traceID string) {
	problem := subjects.ProblemOf(err, requestID, traceID)
	body, e := subjects.Encode(problem)
	if e != nil {
		r.Telemetry.Log.Error("encoding a problem", zap.String("subject", req.Subject), zap.Error(e))
		return
	}
	m := &nats.Msg{Subject: req.Reply, Data: body, Header: nats.Header{
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

// send publishes the reply. While the connection is lost it waits, because the caller may be waiting too.
func (r *Runtime) send(req *nats.Msg, m *nats.Msg) {
	err := r.Conn.PublishMsg(m)
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		ctx, cancel := context.WithTimeout(r.work, replyTimeout)
		defer cancel()
		for errors.Is(err, nats.ErrReconnectBufExceeded) && wait.Sleep(ctx, replyRetry) == nil {
			err = r.Conn.PublishMsg(m)
		}
	}
	if err != nil {
		r.Telemetry.Log.Warn("reply not sent", zap.String("subject", req.Subject), zap.Error(err))
	}
}

// observe records a request in the metrics and in the figures of its subject.
func (r *Runtime) observe(e endpoint, code subjects.Code, took time.Duration) {
	r.instruments[e.Desc.Method].Observe(string(code), took)
	e.stats.observe(code, took)
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
