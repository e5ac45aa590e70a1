package gateway

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// operation is one thing that HTTP can ask for: an endpoint's route, or one of the gateway's own.
type operation struct {
	// name is <actor>.<method> in metrics, logs and spans.
	name string
	// route is the path's pattern, for logs: a path itself may carry a secret.
	route string
	// handle answers, or returns what to answer with as a problem.
	handle func(*exchange) error
	// quiet keeps successes out of the log: probes come every second.
	quiet  bool
	counts *mesh.Instrument
}

// exchange is one HTTP request and its answer.
type exchange struct {
	g      *Gateway
	op     *operation
	w      http.ResponseWriter
	r      *http.Request
	ctx    context.Context
	id     string
	caller caller
	status int
	// values back the headers that every answer has: one allocation for all.
	values [4]string
	used   int
}

// caller is who a request counts on, as the gateway has verified it.
type caller struct {
	// token is the access token as it came; user is its subject, empty unless it is valid.
	token, user string
	// key is an API key as it came, until admit has exchanged it for a token.
	key string
	// refused says why a token, or a key, is not valid.
	refused error
	address netip.Addr
	// counted says that the address and the whole have been charged for this request.
	counted bool
}

func (c caller) ip() string { return countedAs(c.address) }

func (c caller) String() string {
	if c.user != "" {
		return "user:" + c.user
	}
	return "anyone"
}

// Shared header values: never appended to.
var (
	nosniff     = []string{"nosniff"}
	noStore     = []string{"no-store"}
	hsts        = []string{"max-age=31536000"}
	typeJSON    = []string{"application/json"}
	typeProblem = []string{"application/problem+json"}
)

// set sets a header under its canonical name.
func (x *exchange) set(name, value string) {
	if x.used == len(x.values) {
		x.w.Header()[name] = []string{value}
		return
	}
	x.values[x.used] = value
	x.w.Header()[name] = x.values[x.used : x.used+1 : x.used+1]
	x.used++
}

// logFields are reused from line to line.
var logFields = sync.Pool{New: func() any { return new([10]zap.Field) }}

// serve makes an operation an http.HandlerFunc: request id, span, security headers, CORS, recovery, the problem
// of an error, metric and log line.
func (g *Gateway) serve(op *operation) http.HandlerFunc {
	op.counts = g.Telemetry.Instrument("gateway", op.name)
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		x := &exchange{g: g, op: op, w: w, r: r, id: requestID(r)}
		x.secure()
		ctx := r.Context()
		if len(r.Header["Traceparent"]) > 0 {
			ctx = mesh.Propagator.Extract(ctx, propagation.HeaderCarrier(r.Header))
		}
		ctx, span := g.Telemetry.Start(mesh.WithRequestID(ctx, x.id), op.name, trace.SpanKindServer)
		x.ctx = ctx
		x.identify()
		err := x.run()
		if err != nil {
			x.problem(err)
			span.SetAttributes(attribute.String("weft.code", string(subjects.CodeOf(err))))
		}
		if span.IsRecording() {
			span.SetAttributes(attribute.String("http.request.method", r.Method), attribute.String("http.route", op.route),
				attribute.Int("http.response.status_code", x.status))
		}
		span.End()
		x.record(err, time.Since(start))
	}
}

// run handles the request; a panic becomes an internal error.
func (x *exchange) run() (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
				panic(p)
			}
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return x.op.handle(x)
}

func (x *exchange) secure() {
	h := x.w.Header()
	x.set("X-Request-Id", x.id)
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore
	if x.r.TLS != nil {
		h["Strict-Transport-Security"] = hsts
	}
	if origins := x.r.Header["Origin"]; len(origins) > 0 {
		x.g.cors(h, origins[0])
	}
}

// requestID is the client's, if it is harmless, or a new one.
func requestID(r *http.Request) string {
	if ids := r.Header["X-Request-Id"]; len(ids) == 1 && saneID(ids[0]) {
		return ids[0]
	}
	return rand.Text()
}

func saneID(id string) bool {
	if len(id) == 0 || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("._:-", c) < 0 {
			return false
		}
	}
	return true
}

// identify finds out whom the request counts on. It decides nothing: authorize and the actor do.
func (x *exchange) identify() {
	x.caller.address = x.g.origins.address(x.r)
	values := x.r.Header["Authorization"]
	if len(values) == 0 {
		return
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return
	}
	if strings.HasPrefix(token, subjects.APIKeyPrefix) {
		x.caller.key = token
		return
	}
	claims, err := x.g.Verifier.Verify(x.ctx, token)
	if err != nil {
		x.caller.refused = err
		return
	}
	x.caller.token, x.caller.user = token, claims.Subject
}

// admit finds out whose an API key is and takes the request's tokens from the limits.
func (x *exchange) admit(ctx context.Context, own []ownLimit, alone bool) error {
	if x.caller.key != "" {
		if err := x.exchangeKey(ctx); err != nil {
			return err
		}
	}
	return x.g.limits.take(ctx, x, own, alone)
}

// authorize refuses who is nobody where somebody is needed. What a known user may do is the actor's to say.
func (x *exchange) authorize(a subjects.Access) error {
	if a.Anyone || x.caller.user != "" {
		return nil
	}
	if x.caller.refused != nil {
		return x.caller.refused
	}
	return subjects.Errorf(subjects.CodeUnauthenticated, "sign in and send the access token, or an API key, as Authorization: Bearer …")
}

// countedByServer is how long a body net/http certainly counts by itself.
const countedByServer = 2000

// write answers with a body of one piece. contentType is a shared value.
func (x *exchange) write(status int, contentType []string, body []byte) {
	x.status = status
	h := x.w.Header()
	if contentType != nil {
		h["Content-Type"] = contentType
	}
	if status == http.StatusNoContent {
		x.w.WriteHeader(status)
		return
	}
	head := x.r.Method == http.MethodHead
	if head || len(body) > countedByServer {
		x.set("Content-Length", strconv.Itoa(len(body)))
	}
	x.w.WriteHeader(status)
	if !head {
		// A client that is gone is nobody to tell.
		_, _ = x.w.Write(body)
	}
}

// problem answers with an error, unless an answer has begun.
func (x *exchange) problem(err error) {
	if x.status != 0 {
		return
	}
	p := subjects.ProblemOf(err, x.id, mesh.TraceID(x.ctx))
	h := x.w.Header()
	if p.RetryAfter > 0 {
		h["Retry-After"] = []string{strconv.Itoa(p.RetryAfter)}
	}
	if p.Code == subjects.CodeUnauthenticated {
		h["Www-Authenticate"] = []string{challenge(x.caller.refused != nil)}
	}
	body, e := json.Marshal(p)
	if e != nil {
		x.g.Telemetry.Log.Error("encoding a problem", zap.Error(e))
	}
	x.write(p.Status, typeProblem, body)
}

// challenge is WWW-Authenticate (RFC 6750 §3).
func challenge(refused bool) string {
	if refused {
		return `Bearer realm="weft", error="invalid_token"`
	}
	return `Bearer realm="weft"`
}

// record writes the request's metric and its one log line.
func (x *exchange) record(err error, took time.Duration) {
	code := subjects.CodeOf(err)
	x.op.counts.Observe(string(code), took)
	if x.op.quiet && err == nil {
		return
	}
	level := zap.InfoLevel
	if code == subjects.CodeInternal {
		level = zap.ErrorLevel
	}
	entry := x.g.lines.Check(level, "http")
	if entry == nil {
		return
	}
	fields := logFields.Get().(*[10]zap.Field)
	*fields = [10]zap.Field{
		zap.String("request_id", x.id), zap.String("trace_id", mesh.TraceID(x.ctx)), zap.String("endpoint", x.op.name),
		zap.String("method", x.r.Method), zap.String("route", x.op.route), zap.String("caller", x.caller.String()),
		zap.Int("status", x.status), zap.String("code", string(code)), zap.Duration("took", took), zap.Skip(),
	}
	if err != nil {
		fields[9] = zap.Error(err)
	}
	entry.Write(fields[:]...)
	*fields = [10]zap.Field{}
	logFields.Put(fields)
}
