package mesh

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"

	"github.com/weftmesh/weft/subjects"
)

// Message headers of the mesh.
const (
	// HeaderAuthorization carries the user's access token as "Bearer …".
	HeaderAuthorization = "Authorization"
	// HeaderTimeout carries the caller's remaining time in milliseconds.
	HeaderTimeout = "Weft-Timeout"
	// HeaderRequestID carries the request id.
	HeaderRequestID = "Weft-Request-Id"
	// HeaderIdempotencyKey carries the caller's idempotency key.
	HeaderIdempotencyKey = "Idempotency-Key"
	// HeaderIdempotencyReplayed marks a stored answer.
	HeaderIdempotencyReplayed = "Idempotency-Replayed"
	// HeaderUserID names the user that a service acts for. It counts on service subjects alone.
	HeaderUserID = "Weft-User-Id"
	// HeaderGrantID and HeaderGrantScope name the consent that a service acts under. They count on
	// service subjects alone.
	HeaderGrantID    = "Weft-Grant-Id"
	HeaderGrantScope = "Weft-Grant-Scope"
	// HeaderClientIP and HeaderUserAgent tell where an HTTP request came from; only endpoints with
	// Origin see them.
	HeaderClientIP  = "Weft-Client-Ip"
	HeaderUserAgent = "Weft-User-Agent"
	// HeaderStream is set by JetStream on what it delivers or republishes: a request that carries it is
	// refused.
	HeaderStream = "Nats-Stream"
	// HeaderEvent is the server-sent event's name of a message that the gateway streams; "message" without it.
	HeaderEvent = subjects.HeaderEvent
	// HeaderErrorCode and HeaderError are NATS micro's.
	HeaderErrorCode = "Nats-Service-Error-Code"
	HeaderError     = "Nats-Service-Error"
)

// Propagator carries W3C trace context.
var Propagator propagation.TextMapPropagator = propagation.TraceContext{}

// Carrier adapts message headers to the propagator.
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

// SetTimeout writes what is left of ctx's deadline.
func SetTimeout(ctx context.Context, h nats.Header) {
	if deadline, ok := ctx.Deadline(); ok {
		h.Set(HeaderTimeout, strconv.FormatInt(max(1, time.Until(deadline).Milliseconds()), 10))
	}
}

// Timeout reads the caller's remaining time, bounded by most; most where none is given.
func Timeout(h nats.Header, most time.Duration) time.Duration {
	ms, err := strconv.ParseInt(h.Get(HeaderTimeout), 10, 64)
	if err != nil || ms <= 0 || ms > most.Milliseconds() {
		return most
	}
	return time.Duration(ms) * time.Millisecond
}

type contextKey int

const requestIDKey contextKey = iota

// WithRequestID puts the request id into ctx, for calls and logs.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey, id)
}

// RequestID is ctx's request id; empty where there is none.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}
