package gateway_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// BenchmarkProfile measures an authenticated GET /v1/users/me over 64 connections with the default features, compared with a
// minimal bridge from HTTP to NATS.
func BenchmarkProfile(b *testing.B) {
	m := actortest.Start(b)
	telemetry := discardedLog(b)
	b.Run("gateway", func(b *testing.B) {
		gateway, stop := benchGateway(b, m, telemetry)
		defer stop()
		load(b, gateway, "/v1/users/me", "Bearer "+m.Token(b, actortest.User()))
	})
	b.Run("bridge", func(b *testing.B) {
		conn := m.Connect(b, mesh.UserGateway)
		d := describe[subjects.Empty, subjects.Profile]("bridge", "", nil)
		reply := []byte(`{"id":"x","email":"a@b.c","email_verified":true,"first_name":"A","last_name":"B","locale":"en","roles":[]}`)
		sub, err := m.Conn(b, "workflow").Subscribe(d.Subject, func(m *nats.Msg) { _ = m.Respond(reply) })
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		load(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			answer, err := conn.Request(d.Subject, nil, time.Second)
			if err != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(answer.Data)
		}), "/", "")
	})
}

// discardedLog returns telemetry with the production log encoding that discards its output.
func discardedLog(b *testing.B) *mesh.Telemetry {
	b.Helper()
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zap.InfoLevel))
	telemetry, err := mesh.NewTelemetry(b.Context(), mesh.TelemetryOptions{Log: log, Process: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	return telemetry
}

func benchGateway(b *testing.B, m *actortest.Mesh, telemetry *mesh.Telemetry) (http.Handler, func()) {
	b.Helper()
	conn, auth := m.Connect(b, mesh.UserGateway), m.Connect(b, "auth")
	runtime := &runtime.Runtime{Conn: auth, Verifier: verifier(b, m, auth), Telemetry: telemetry, Version: "0.0.0", Now: m.Now}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- runtime.Run(ctx, actors.Service{Name: "auth", Bindings: []actors.Binding{actors.Bind(subjects.GetUserProfile, profile)}},
			func() { close(ready) })
	}()
	<-ready
	g, err := gateway.New(gateway.Deps{Conn: conn, Verifier: verifier(b, m, conn), Telemetry: discardedLog(b), Now: m.Now}, relaxed())
	if err != nil {
		b.Fatal(err)
	}
	return g.Handler(), func() { cancel(); <-done }
}

// load sends b.N requests over 64 connections.
func load(b *testing.B, h http.Handler, path, authorization string) {
	b.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, server.URL+path, nil)
			if err != nil {
				b.Error(err)
				return
			}
			if authorization != "" {
				r.Header.Set("Authorization", authorization)
			}
			response, err := client.Do(r)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			if response.StatusCode != http.StatusOK {
				b.Errorf("status %d", response.StatusCode)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}
