package runtime

import (
	"context"
	"encoding/json"
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
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// asService is what the name of an endpoint's service subject ends with in `nats micro info`.
const asService = "_as_service"

func methodOf(endpoint string) string { return strings.TrimSuffix(endpoint, asService) }

// serve adds an endpoint, and its service subject where services may call it.
func (r *Runtime) serve(svc micro.Service, b actors.Binding) error {
	slots := newSlots(b.Desc.Concurrency)
	metadata := metadataOf(b.Desc)
	handler := micro.HandlerFunc(func(req micro.Request) { r.accept(b, slots, req) })
	err := svc.AddEndpoint(b.Desc.Method, handler,
		micro.WithEndpointSubject(b.Desc.Subject), micro.WithEndpointMetadata(metadata))
	if err != nil || len(b.Desc.Access.Services) == 0 {
		return err
	}
	return svc.AddEndpoint(b.Desc.Method+asService, handler,
		micro.WithEndpointSubject(b.Desc.ServicePattern()), micro.WithEndpointMetadata(metadata))
}

// accept takes a request off the endpoint's serial dispatch. One that finds the endpoint full and its
// queue too, or the actor stopping, is refused at once. A message that names no inbox to answer to is no
// request and is dropped: who may make this actor publish where it likes would borrow its permissions.
func (r *Runtime) accept(b actors.Binding, slots *slots, req micro.Request) {
	if !mesh.IsInbox(req.Reply()) {
		r.Telemetry.Log.Warn("dropping a message that is no request",
			zap.String("subject", req.Subject()), zap.String("reply", req.Reply()))
		return
	}
	if !r.inside.enter() {
		r.refuse(b, req, b.Desc.Actor+" is stopping")
		return
	}
	if !slots.enter() {
		r.inside.leave()
		r.refuse(b, req, b.Desc.Name()+" has too much to do")
		return
	}
	r.crew.do(func() {
		defer r.inside.leave()
		defer slots.leave()
		r.answer(b, slots, req)
	})
}

func (r *Runtime) refuse(b actors.Binding, req micro.Request, detail string) {
	r.observe(b.Desc, subjects.CodeUnavailable, 0)
	r.fail(req, &subjects.Error{Code: subjects.CodeUnavailable, Detail: detail, RetryAfter: actors.RetrySoon}, false, "", "")
}

// answer handles one request from its deadline to its log line.
func (r *Runtime) answer(b actors.Binding, slots *slots, req micro.Request) {
	start := time.Now()
	h := nats.Header(req.Headers())
	ctx, cancel := context.WithTimeout(r.work, mesh.Timeout(h, b.Desc.Timeout))
	defer cancel()
	id := h.Get(mesh.HeaderRequestID)
	relayed := id != ""
	if !relayed {
		id = nuid.Next() // a caller that is not the gateway
	}
	ctx = mesh.WithRequestID(mesh.Propagator.Extract(ctx, mesh.Carrier(h)), id)
	ctx, span := r.Telemetry.Start(ctx, b.Desc.Name(), trace.SpanKindServer)
	defer span.End()
	var caller actors.Caller
	var reply []byte
	var replayed bool
	err := coded(ctx, recovered(func() (err error) {
		if caller, err = r.identify(ctx, b.Desc, req.Subject(), h); err != nil {
			return err
		}
		if b.Desc.Origin {
			caller.Origin = actors.Origin{IP: h.Get(mesh.HeaderClientIP), UserAgent: h.Get(mesh.HeaderUserAgent)}
		}
		if err = slots.begin(ctx); err != nil {
			return err
		}
		defer slots.end()
		reply, replayed, err = r.handle(actors.WithCaller(ctx, caller), b, h, req.Data())
		return err
	}))
	if most := r.Conn.MaxPayload(); err == nil && int64(len(reply)) > most {
		err = subjects.Errorf(subjects.CodeTooLarge, "the answer has %d bytes, the limit is %d", len(reply), most)
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

// handle runs the handler, under the caller's idempotency key where there is one.
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
	return r.replayable(ctx, b.Desc, key, data, run)
}

func (r *Runtime) respond(req micro.Request, reply []byte, replayed bool) {
	m := &nats.Msg{Subject: req.Reply(), Data: reply}
	markReplayed(m, replayed)
	r.send(req, m)
}

func (r *Runtime) fail(req micro.Request, err error, replayed bool, requestID, traceID string) {
	problem := subjects.ProblemOf(err, requestID, traceID)
	body, e := json.Marshal(problem)
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

// markReplayed tells the caller that an answer, good or bad, is the stored one.
func markReplayed(m *nats.Msg, replayed bool) {
	if !replayed {
		return
	}
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	m.Header.Set(mesh.HeaderIdempotencyReplayed, "true")
}

// replyWithin is how long an answer waits for a lost line to come back.
const replyWithin = 10 * time.Second

// send publishes the answer itself: micro's own Respond races with micro's bookkeeping once the handler
// has handed off. While the line is down it waits: the caller may be waiting too.
func (r *Runtime) send(req micro.Request, m *nats.Msg) {
	err := r.Conn.PublishMsg(m)
	for end := time.Now().Add(replyWithin); errors.Is(err, nats.ErrReconnectBufExceeded) && time.Now().Before(end); {
		select {
		case <-r.work.Done():
			end = time.Now()
		case <-time.After(50 * time.Millisecond):
			err = r.Conn.PublishMsg(m)
		}
	}
	if err != nil {
		r.Telemetry.Log.Warn("answering", zap.String("subject", req.Subject()), zap.Error(err))
	}
}

// endpointCount is an endpoint's part of `nats micro stats`: micro's own figures see the hand-off alone.
type endpointCount struct {
	requests, errors, nanoseconds atomic.Int64
	instrument                    *mesh.Instrument
}

func (c *endpointCount) snapshot() any {
	if c == nil {
		return nil
	}
	requests, total := c.requests.Load(), c.nanoseconds.Load()
	return struct {
		Requests int64   `json:"requests"`
		Errors   int64   `json:"errors"`
		Average  float64 `json:"average_ms"`
	}{requests, c.errors.Load(), float64(total) / float64(max(1, requests)) / float64(time.Millisecond)}
}

func (r *Runtime) observe(d *subjects.Descriptor, code subjects.Code, took time.Duration) {
	count := r.counts[d.Method]
	count.instrument.Observe(string(code), took)
	count.requests.Add(1)
	count.nanoseconds.Add(int64(took))
	if code != "" {
		count.errors.Add(1)
	}
}

// logRequest writes the request's one line: for a request that somebody else has given its id, and so
// logs, only where it failed or where the level is debug. What is not ours is logged with its cause, once, here.
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
