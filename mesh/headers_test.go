package mesh_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/weftmesh/weft/mesh"
)

func TestTimeoutHeader(t *testing.T) {
	t.Parallel()
	const most = 10 * time.Second
	for value, want := range map[string]time.Duration{
		"": most, "1": time.Millisecond, "2500": 2500 * time.Millisecond, "10000": most, "10001": most, "0": most, "-1": most, "x": most,
		"1.5": most, "9223372036854775807": most, "9223372036854775808": most,
	} {
		header := nats.Header{}
		if value != "" {
			header.Set(mesh.HeaderTimeout, value)
		}
		if got := mesh.Timeout(header, most); got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
}

func TestSetTimeout(t *testing.T) {
	t.Parallel()
	header := nats.Header{}
	mesh.SetTimeout(context.Background(), header)
	if _, set := header[mesh.HeaderTimeout]; set {
		t.Error("a context without deadline sets the header")
	}
	for _, left := range []time.Duration{time.Minute, -time.Minute} {
		ctx, cancel := context.WithTimeout(context.Background(), left)
		mesh.SetTimeout(ctx, header)
		cancel()
		ms, err := strconv.Atoi(header.Get(mesh.HeaderTimeout))
		if err != nil || ms < 1 || ms > 60_000 || left > 0 && ms < 50_000 {
			t.Errorf("with %s left the header is %q", left, header.Get(mesh.HeaderTimeout))
		}
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	if got := mesh.RequestID(context.Background()); got != "" {
		t.Errorf("a context without request id has %q", got)
	}
	outer := mesh.WithRequestID(context.Background(), "outer")
	inner := mesh.WithRequestID(outer, "inner")
	if mesh.RequestID(outer) != "outer" || mesh.RequestID(inner) != "inner" {
		t.Errorf("got %q and %q", mesh.RequestID(outer), mesh.RequestID(inner))
	}
}

// TestTraceContextTravelsInHeaders sends a trace id through message headers.
func TestTraceContextTravelsInHeaders(t *testing.T) {
	t.Parallel()
	sent := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled,
	}))
	header := nats.Header{}
	mesh.Propagator.Inject(sent, mesh.Carrier(header))
	if keys := mesh.Carrier(header).Keys(); !slices.Equal(keys, []string{"traceparent"}) {
		t.Errorf("the headers are %v", keys)
	}
	received := mesh.Propagator.Extract(context.Background(), mesh.Carrier(header))
	if got, want := mesh.TraceID(received), mesh.TraceID(sent); got != want || want == "" {
		t.Errorf("got the trace id %q, want %q", got, want)
	}
	if got := mesh.TraceID(context.Background()); got != "" {
		t.Errorf("a context without trace has the id %q", got)
	}
}
