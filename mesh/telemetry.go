package mesh

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.26.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
)

// Telemetry holds a process's log, metrics and traces.
type Telemetry struct {
	Log      *zap.Logger
	Registry *prometheus.Registry
	Tracer   trace.Tracer
	Requests *prometheus.CounterVec
	Duration *prometheus.HistogramVec
	// refused counts messages in streams and buckets that were refused because their author did not publish them.
	refused *prometheus.CounterVec
	// slow counts how often messages of a subscription were dropped because they were not read fast enough.
	slow *prometheus.CounterVec
	// panics counts the panics that failed only what they occurred in.
	panics   *prometheus.CounterVec
	provider *sdktrace.TracerProvider
	// exports is set if spans are exported.
	exports bool
}

// TelemetryOptions configures NewTelemetry.
type TelemetryOptions struct {
	Log *zap.Logger
	// OTLP is the URL of an OTLP/HTTP collector. If empty, no spans are exported, but every request still has a trace id.
	OTLP string
	// Ratio is the share of new traces that are sampled, from 0 to 1.
	Ratio float64
	// Process and Version identify the process in traces.
	Process, Version string
}

// NewTelemetry creates a process's instruments.
func NewTelemetry(ctx context.Context, o TelemetryOptions) (*Telemetry, error) {
	t := &Telemetry{Log: o.Log, Registry: prometheus.NewRegistry()}
	t.Requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weft_requests_total", Help: "Requests by actor, endpoint and code; code is ok for success.",
	}, []string{"actor", "endpoint", "code"})
	t.Duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "weft_request_duration_seconds", Help: "Time from a request's arrival to its answer.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
	}, []string{"actor", "endpoint"})
	t.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weft_messages_refused_total",
		Help: "Messages that a stream or bucket held and a reader refused, because the user that may publish them did not sign them.",
	}, []string{"stream"})
	t.slow = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weft_nats_slow_consumers_total",
		Help: "How often messages for a NATS user's subscriptions were dropped because they were not read fast enough.",
	}, []string{"user"})
	t.panics = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weft_panics_total",
		Help: "Panics in the handling of a request, a message or a background task, each of which failed only that; actor is gateway for HTTP.",
	}, []string{"actor"})
	t.Registry.MustRegister(t.Requests, t.Duration, t.refused, t.slow, t.panics, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(resource.NewSchemaless(
			semconv.ServiceName("weft-"+o.Process), semconv.ServiceVersion(o.Version))),
	}
	if o.OTLP == "" {
		options = append(options, sdktrace.WithSampler(sdktrace.NeverSample()))
	} else {
		exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(o.OTLP))
		if err != nil {
			return nil, fmt.Errorf("opening the OTLP exporter: %w", err)
		}
		t.exports = true
		options = append(options, sdktrace.WithBatcher(exporter),
			sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(o.Ratio))))
	}
	t.provider = sdktrace.NewTracerProvider(options...)
	t.Tracer = t.provider.Tracer("github.com/weftmesh/weft")
	return t, nil
}

// noSpan is used if spans are not exported.
var noSpan = noop.Span{}

// Start starts a span. If spans are not exported, it only adds a new trace id to a ctx without one, because logs, problems and
// subsequent messages refer to it.
func (t *Telemetry) Start(ctx context.Context, name string, kind trace.SpanKind) (context.Context, trace.Span) {
	if t.exports {
		return t.Tracer.Start(ctx, name, trace.WithSpanKind(kind)) //nolint:spancheck // the caller ends it
	}
	if trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, noSpan
	}
	var traceID trace.TraceID
	var spanID trace.SpanID
	binary.NativeEndian.PutUint64(traceID[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(traceID[8:], rand.Uint64()|1) // an id of zeros is invalid
	binary.NativeEndian.PutUint64(spanID[:], rand.Uint64()|1)
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID})), noSpan
}

// Instrument counts the requests of one endpoint, or the messages of one durable.
type Instrument struct {
	ok        prometheus.Counter
	took      prometheus.Observer
	otherwise *prometheus.CounterVec
}

// Instrument returns the instrument of an actor's endpoint or durable. The lookup costs more than its use, so keep the result.
func (t *Telemetry) Instrument(actor, endpoint string) *Instrument {
	labels := prometheus.Labels{"actor": actor, "endpoint": endpoint}
	t.panics.WithLabelValues(actor) // a series that an increase can be computed of from its first panic on
	of := t.Requests.MustCurryWith(labels)
	return &Instrument{ok: of.WithLabelValues("ok"), took: t.Duration.With(labels), otherwise: of}
}

// Observe records one request with its error code; an empty code means success.
func (i *Instrument) Observe(code string, took time.Duration) {
	if code == "" {
		i.ok.Inc()
	} else {
		i.otherwise.WithLabelValues(code).Inc()
	}
	i.took.Observe(took.Seconds())
}

// Refused counts and logs a stored message that was refused because its author did not publish it. It is what Options.Refused is for.
func (t *Telemetry) Refused(subject string, err error) {
	stream := StreamOf(subject)
	t.refused.WithLabelValues(stream).Inc()
	t.Log.Warn("a stored message was refused", zap.String("stream", stream), zap.String("subject", subject), zap.Error(err))
}

// SlowConsumer counts the messages that were dropped because a subscription did not read them fast enough. It is what Options.SlowConsumer is
// for; the connection logs it.
func (t *Telemetry) SlowConsumer(user, _ string) { t.slow.WithLabelValues(user).Inc() }

// Close exports the remaining spans.
func (t *Telemetry) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// TraceID returns ctx's trace id; empty if there is none.
func TraceID(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}
