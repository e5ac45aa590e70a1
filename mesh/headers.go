package mesh

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"

	"github.com/weftmesh/weft/subjects"
)

// Message headers.
const (
	// HeaderAuthorization has the user's access token as "Bearer …".
	HeaderAuthorization = "Authorization"
	// HeaderTimeout has the caller's remaining time in milliseconds.
	HeaderTimeout = "Weft-Timeout"
	// HeaderRequestID has the request id.
	HeaderRequestID = "Weft-Request-Id"
	// HeaderCallID identifies a request by a service to a cancellable endpoint. The same id on the actor's cancel subject ends its
	// handling.
	HeaderCallID = "Weft-Call-Id"
	// HeaderCallKey has the call key of a call of an extension's function, the same for every attempt; HeaderCallAttempt counts the attempts
	// of one process, from 1. HeaderCallID is then the attempt's id.
	HeaderCallKey     = "Weft-Call-Key"
	HeaderCallAttempt = "Weft-Call-Attempt"
	// HeaderDeadline has when an attempt of such a call ends unless a heartbeat extends it, in RFC 3339.
	HeaderDeadline = "Weft-Deadline"
	// HeaderExecutionID and HeaderFunctionVersion name the execution and the version of the function.
	HeaderExecutionID     = "Weft-Execution-Id"
	HeaderFunctionVersion = "Weft-Function-Version"
	// HeaderCallSignature has the signature of such a call, a compact JWS.
	HeaderCallSignature = "Weft-Call-Signature"
	// HeaderIdempotencyKey has the caller's idempotency key; see MaxIdempotencyKey.
	HeaderIdempotencyKey = "Idempotency-Key"
	// HeaderIdempotencyReplayed marks the replay of a stored answer.
	HeaderIdempotencyReplayed = "Idempotency-Replayed"
	// HeaderAsOf is set on replies of an edge node: the time of its last contact with the hub (RFC 3339). What the reply says of the hub is as
	// of then.
	HeaderAsOf = "Weft-As-Of"
	// HeaderUserID names the user that a service acts for. It is ignored on other than service subjects.
	HeaderUserID = "Weft-User-Id"
	// HeaderGrantID and HeaderGrantScope name the consent that a service acts under. They are ignored on other than
	// service subjects.
	HeaderGrantID    = "Weft-Grant-Id"
	HeaderGrantScope = "Weft-Grant-Scope"
	// HeaderKeyIDs and HeaderKeyScopes are the Authority that a service acts with. They are ignored on other than service
	// subjects.
	HeaderKeyIDs    = "Weft-Key-Ids"
	HeaderKeyScopes = "Weft-Key-Scopes"
	// HeaderClientIP and HeaderUserAgent describe the HTTP client. They are only sent to endpoints with Origin.
	HeaderClientIP  = "Weft-Client-Ip"
	HeaderUserAgent = "Weft-User-Agent"
	// HeaderGPC is "1" if the HTTP client's Global Privacy Control is on. It is only sent to endpoints with GPC.
	HeaderGPC = "Weft-Gpc"
	// HeaderStream is set by JetStream on messages that it delivers or republishes. A request that has it is rejected.
	HeaderStream = "Nats-Stream"
	// HeaderEvent is the name of the server-sent event that the gateway makes of a message; "message" if absent.
	HeaderEvent = subjects.HeaderEvent
	// HeaderErrorCode and HeaderError are defined by NATS micro.
	HeaderErrorCode = "Nats-Service-Error-Code"
	HeaderError     = "Nats-Service-Error"
)

// Propagator propagates W3C trace context.
var Propagator propagation.TextMapPropagator = propagation.TraceContext{}

// Carrier adapts message headers to Propagator.
type Carrier nats.Header

// Get implements propagation.TextMapCarrier.
func (c Carrier) Get(key string) string { return nats.Header(c).Get(key) }

// Set implements propagation.TextMapCarrier.
func (c Carrier) Set(key, value string) { nats.Header(c).Set(key, value) }

// Keys implements propagation.TextMapCarrier.
func (c Carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	return keys
}

// SetTimeout sets HeaderTimeout to the remaining time of ctx, if it has a deadline.
func SetTimeout(ctx context.Context, h nats.Header) {
	if deadline, ok := ctx.Deadline(); ok {
		h.Set(HeaderTimeout, strconv.FormatInt(max(1, time.Until(deadline).Milliseconds()), 10))
	}
}

// Timeout returns the caller's remaining time, at most most; most if the header is absent or invalid.
func Timeout(h nats.Header, most time.Duration) time.Duration {
	ms, err := strconv.ParseInt(h.Get(HeaderTimeout), 10, 64)
	if err != nil || ms <= 0 || ms > most.Milliseconds() {
		return most
	}
	return time.Duration(ms) * time.Millisecond
}

type contextKey int

const requestIDKey contextKey = iota

// WithRequestID adds the request id to ctx, for calls and logs.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey, id)
}

// RequestID returns ctx's request id; empty if there is none.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// Annotate adds the trace context and the request id of ctx to the headers of a message that ctx causes.
func Annotate(ctx context.Context, h nats.Header) {
	Propagator.Inject(ctx, Carrier(h))
	if id := RequestID(ctx); id != "" {
		h.Set(HeaderRequestID, id)
	}
}
