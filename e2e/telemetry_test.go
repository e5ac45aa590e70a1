package e2e_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// spans is an OTLP/HTTP collector. traces has the names of the spans by trace ID.
type spans struct {
	mu     sync.Mutex
	traces map[string][]string
}

func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var export collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &export) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range export.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := hex.EncodeToString(span.GetTraceId())
				s.traces[id] = append(s.traces[id], span.GetName())
			}
		}
	}
}

// of returns the names of the spans of a trace.
func (s *spans) of(trace string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.traces[trace])
}

// TestTraceSpansHTTPToProvider checks that a caller's trace continues through the gateway, the actors, the execution's step and
// the call to the provider.
func TestTraceSpansHTTPToProvider(t *testing.T) {
	t.Parallel()
	otlp := &spans{traces: map[string][]string{}}
	server := httptest.NewServer(otlp)
	t.Cleanup(server.Close)
	weft := startWeft(t, t.TempDir(), "WEFT_TRACING_OTLP="+server.URL+"/v1/traces")
	c, _ := signUp(t, weft.ready.HTTP)
	p := startStubProvider(t, map[string]string{"/thing": `{"n":1}`})
	c.grant(t, "integrations.execute", "workflows.execute")
	p.connect(t, c, "api")
	definition := `{"definition":{"document":{"dsl":"1.0.3","namespace":"test","name":"traced","version":"1.0.0"},
		"do":[{"fetch":{"call":"http.get","with":{"connection":"api","path":"/thing"}}}]}}`
	id := c.must(t, 201, "POST", "/v1/workflows", definition).text(".id")
	const trace = "0af7651916cd43dd8448eb211c80319c"
	c.must(t, 200, "POST", "/v1/workflows/"+id+"/execute", map[string]any{"input": map[string]any{}},
		"traceparent: 00-"+trace+"-b7ad6b7169203331-01")
	want := []string{"workflow.execute_workflow", "integration.execute_action", "http.get"}
	if err := eventually(func() (bool, string) {
		have := strings.Join(otlp.of(trace), " ")
		missing := slices.ContainsFunc(want, func(name string) bool { return !strings.Contains(have, name) })
		return !missing, have
	}); err != nil {
		t.Errorf("the trace lacks spans of %v: %v", want, err)
	}
}

// TestMetricsCountRequests checks the request metrics by actor, endpoint and code, and some of auth's.
func TestMetricsCountRequests(t *testing.T) {
	t.Parallel()
	weft := startWeft(t, t.TempDir())
	c, _ := signUp(t, weft.ready.HTTP)
	c.must(t, 200, "GET", "/v1/users/me", nil)
	c.must(t, 404, "GET", "/v1/consents/018f0000-0000-7000-8000-000000000000", nil)
	metrics, err := newClient(strings.TrimSuffix(weft.ready.Metrics, "/metrics")).do(t.Context(), "GET", "/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`weft_requests_total{actor="auth",code="ok",endpoint="get_user_profile"} 1`,
		`weft_requests_total{actor="consent",code="not_found",endpoint="get_consent"} 1`,
		`weft_request_duration_seconds_count{actor="auth",endpoint="login"} 1`,
		`auth_registrations_total 1`, `auth_logins_total{result="success"} 1`, `auth_active_sessions 1`,
	} {
		if !strings.Contains(string(metrics.body), line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
}
