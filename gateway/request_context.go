package gateway

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// operation is one HTTP operation: an endpoint's route, or one of the gateway's own.
type operation struct {
	// name is <actor>.<method> in metrics, logs and spans.
	name string
	// route is the path pattern. Logs contain it instead of the path, which may hold a secret.
	route string
	// handle writes the response, or returns an error to be written as a problem.
	handle func(*requestContext) error
	// quiet leaves successful requests out of the log, for health probes and assets.
	quiet bool
	// secret: responses hold secrets, and are not compressed.
	secret  bool
	metrics *mesh.Instrument
}

// requestContext holds one HTTP request and the state of its response.
type requestContext struct {
	g  *Gateway
	op *operation
	w  http.ResponseWriter
	r  *http.Request
	// ctx is the request's context with its trace and request id.
	ctx    context.Context
	id     string
	caller caller
	body   body
	// status is the status written; 0 until the response has started.
	status int
	// headerValues backs the headers that every response has, so that they take a single allocation.
	headerValues [4]string
	headersUsed  int
}

// caller identifies whose rate limits a request counts against.
type caller struct {
	// token is the access token of the request; user is its subject. Both are empty unless it is valid.
	token, user string
	// claims are the token's.
	claims mesh.Claims
	// apiKey is the API key of the request; admit exchanges it for a token.
	apiKey string
	// browser is the session of the request's cookies; nil if it has none, or may come from another site.
	browser *browserSession
	// authErr says why the token or API key is invalid.
	authErr error
	address netip.Addr
	// charged is set once the request has been counted against the address's limit and the global one.
	charged bool
}

// limitAddress is the client address as rate limits count it.
func (c caller) limitAddress() string { return limitAddress(c.address) }

// limitKey identifies the caller in limits that apply to users and anonymous clients alike.
func (c caller) limitKey() string {
	if c.user == "" {
		return "ip." + c.limitAddress()
	}
	return "user." + c.user
}

// String is the caller as logs name it. It holds no address.
func (c caller) String() string {
	if c.user != "" {
		return "user:" + c.user
	}
	return "anyone"
}

// serve returns the handler of an operation. It adds request id, span, security headers, CORS, panic recovery, rendering of
// errors as problems, metrics and the log line.
func (g *Gateway) serve(op *operation) http.HandlerFunc {
	op.metrics = g.Telemetry.Instrument("gateway", op.name)
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rc := &requestContext{g: g, op: op, w: w, r: r, id: requestID(r)}
		rc.setCommonHeaders()
		ctx := r.Context()
		if len(r.Header["Traceparent"]) > 0 {
			ctx = mesh.Propagator.Extract(ctx, propagation.HeaderCarrier(r.Header))
		}
		ctx, span := g.Telemetry.Start(mesh.WithRequestID(ctx, rc.id), op.name, trace.SpanKindServer)
		rc.ctx = ctx
		rc.identify()
		err := rc.handle()
		if err != nil {
			rc.writeProblem(err)
			span.SetAttributes(attribute.String("weft.code", string(subjects.CodeOf(err))))
		}
		if span.IsRecording() {
			span.SetAttributes(attribute.String("http.request.method", r.Method), attribute.String("http.route", op.route),
				attribute.Int("http.response.status_code", rc.status))
		}
		span.End()
		rc.record(err, time.Since(start))
	}
}

// handle runs the operation. A panic becomes an internal error, except http.ErrAbortHandler, which net/http handles.
func (rc *requestContext) handle() (err error) {
	aborted := false
	err = rc.g.Telemetry.Recovered(mesh.UserGateway, func() (err error) {
		defer func() {
			if p := recover(); p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it by identity
				aborted = true
			} else if p != nil {
				panic(p)
			}
		}()
		return rc.op.handle(rc)
	})
	if aborted {
		panic(http.ErrAbortHandler)
	}
	return err
}

// requestID returns the client's X-Request-Id if it is valid, or else a new id.
func requestID(r *http.Request) string {
	if ids := r.Header["X-Request-Id"]; len(ids) == 1 && validRequestID(ids[0]) {
		return ids[0]
	}
	return rand.Text()
}

func validRequestID(id string) bool {
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

// identify sets the caller from the Authorization header or, without one, from the session cookies. It rejects nothing: authorize and the actor do.
func (rc *requestContext) identify() {
	rc.caller.address = rc.g.proxies.clientAddress(rc.r)
	values := rc.r.Header["Authorization"]
	if len(values) == 0 {
		rc.identifyByCookie()
		return
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return
	}
	if strings.HasPrefix(token, subjects.APIKeyPrefix) {
		rc.caller.apiKey = token
		return
	}
	claims, err := rc.g.Verifier.Verify(rc.ctx, token)
	if err != nil {
		rc.caller.authErr = err
		return
	}
	rc.caller.token, rc.caller.user, rc.caller.claims = token, claims.Subject, claims
}

// admit exchanges an API key for a token, or the refresh token of a browser session if it is due, and takes the request's tokens from
// the rate limits. ownOnly replaces the limit of the client address by the endpoint's own limits.
func (rc *requestContext) admit(ctx context.Context, own []ownLimit, ownOnly bool) error {
	if rc.caller.apiKey != "" {
		if err := rc.exchangeAPIKey(ctx); err != nil {
			return err
		}
	}
	if rc.caller.browser != nil {
		if err := rc.renewBrowserSession(ctx); err != nil {
			return err
		}
	}
	return rc.g.limits.take(ctx, rc, own, ownOnly)
}

// authorize rejects a caller who may not call an endpoint, before anything of the request is judged: who may not call learns nothing
// about the form of a request. The actor applies the same rule again, to the same token.
func (rc *requestContext) authorize(d *subjects.Descriptor) error {
	if err := rc.authenticated(d.Access); err != nil {
		return err
	}
	return mesh.MayCall(d, rc.caller.claims)
}

// authenticated rejects an anonymous caller of an operation that requires a user.
func (rc *requestContext) authenticated(a subjects.Access) error {
	if a.Anyone || rc.caller.user != "" {
		return nil
	}
	if rc.caller.authErr != nil {
		return rc.caller.authErr
	}
	return subjects.Errorf(subjects.CodeUnauthenticated,
		"authentication required: send an access token or API key as Authorization: Bearer …")
}
