package mesh

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.26.0"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// Telemetry is a process's log, metrics and traces.
type Telemetry struct {
	Log      *zap.Logger
	Registry *prometheus.Registry
	Tracer   trace.Tracer
	Requests *prometheus.CounterVec
	Duration *prometheus.HistogramVec
	provider *sdktrace.TracerProvider
}

// TelemetryOptions says where telemetry goes.
type TelemetryOptions struct {
	Log *zap.Logger
	// OTLP is the endpoint URL of an OTLP/HTTP collector; empty exports nothing, though every request
	// still has a trace id.
	OTLP string
	// Ratio is the share of new traces that are sampled, 0 to 1.
	Ratio float64
	// Process names the process in traces.
	Process, Version string
}

// NewTelemetry makes a process's instruments.
func NewTelemetry(ctx context.Context, o TelemetryOptions) (*Telemetry, error) {
	t := &Telemetry{Log: o.Log, Registry: prometheus.NewRegistry()}
	t.Requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weft_requests_total", Help: "Requests by actor, endpoint and code; code is ok for success.",
	}, []string{"actor", "endpoint", "code"})
	t.Duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "weft_request_duration_seconds", Help: "Time from a request's arrival to its answer.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
	}, []string{"actor", "endpoint"})
	t.Registry.MustRegister(t.Requests, t.Duration, collectors.NewGoCollector(),
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
		options = append(options, sdktrace.WithBatcher(exporter),
			sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(o.Ratio))))
	}
	t.provider = sdktrace.NewTracerProvider(options...)
	t.Tracer = t.provider.Tracer("github.com/weftmesh/weft")
	return t, nil
}

// Observe records one request.
func (t *Telemetry) Observe(actor, endpoint, code string, took time.Duration) {
	if code == "" {
		code = "ok"
	}
	t.Requests.WithLabelValues(actor, endpoint, code).Inc()
	t.Duration.WithLabelValues(actor, endpoint).Observe(took.Seconds())
}

// Close flushes what is still to be exported.
func (t *Telemetry) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// TraceID is ctx's trace id; empty where there is none.
func TraceID(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}
