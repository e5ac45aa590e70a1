package actortest

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/mesh"
)

// readyWithin bounds how long an actor takes to start, and to stop.
const readyWithin = 40 * time.Second

// Hosted is an actor that runs in a test.
type Hosted struct {
	// Telemetry is the actor's logger, tracer and metrics.
	Telemetry *mesh.Telemetry

	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// HostOption changes the configuration of a hosted actor.
type HostOption func(*runtime.HostConfig)

// Host runs an actor until the test ends, as the product does: with its own connection and database. It returns once every
// endpoint answers. An actor that stops by itself fails the test.
func (m *Mesh) Host(
	t testing.TB, actor string, database database.Config, migrations fs.FS,
	build func(actors.Deps) (actors.Service, error), options ...HostOption,
) *Hosted {
	t.Helper()
	h := &Hosted{Telemetry: Telemetry(t), done: make(chan struct{})}
	config := runtime.HostConfig{
		Actor: actor, NATS: m.Options(t, actor), Database: database, KeysetFile: filepath.Join(t.TempDir(), "keyset"),
		Issuer: Issuer, Audience: Audience, Telemetry: h.Telemetry, Version: "0.0.0-test", Now: m.Now,
	}
	for _, option := range options {
		option(&config)
	}
	var ctx context.Context
	ctx, h.cancel = context.WithCancel(context.Background())
	ready := make(chan struct{})
	go func() {
		defer close(h.done)
		h.err = runtime.Host(ctx, config, migrations, build, sync.OnceFunc(func() { close(ready) }))
	}()
	t.Cleanup(func() { _ = h.Stop(t) })
	select {
	case <-ready:
	case <-h.done:
		t.Fatalf("%s did not start: %v", actor, h.err)
	case <-time.After(readyWithin):
		t.Fatalf("%s was not ready within %s", actor, readyWithin)
	}
	return h
}

// Stop ends the actor as SIGTERM does, waits until it has drained and returns its error. An actor that has stopped by itself,
// or does not stop in time, fails the test.
func (h *Hosted) Stop(t testing.TB) error {
	t.Helper()
	select {
	case <-h.done:
		if h.err != nil && !errors.Is(h.err, context.Canceled) {
			t.Errorf("the actor stopped by itself: %v", h.err)
		}
	default:
	}
	h.cancel()
	select {
	case <-h.done:
	case <-time.After(readyWithin):
		t.Fatalf("the actor did not stop within %s", readyWithin)
	}
	return h.err
}

// Metric returns the value of the actor's counter or gauge with the given label values, in the order of the labels' names; 0
// where there is none.
func (h *Hosted) Metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	families, err := h.Telemetry.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			values := make([]string, 0, len(labels))
			for _, pair := range m.GetLabel() {
				values = append(values, pair.GetValue())
			}
			if slices.Equal(values, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// Telemetry returns telemetry that logs to the test and exports nothing.
func Telemetry(t testing.TB) *mesh.Telemetry {
	t.Helper()
	telemetry, err := mesh.NewTelemetry(t.Context(), mesh.TelemetryOptions{Log: logger(t), Process: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return telemetry
}

// logger writes to the test's log and drops what comes after its end: testing.T.Log panics then, and a connection that is
// being closed may still log.
func logger(t testing.TB) *zap.Logger {
	w := &testWriter{t: t}
	t.Cleanup(w.end)
	config := zap.NewDevelopmentEncoderConfig()
	config.TimeKey = ""
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(config), w, zap.InfoLevel))
}

type testWriter struct {
	mu   sync.Mutex
	t    testing.TB
	done bool
}

// Write implements io.Writer.
func (w *testWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.done {
		w.t.Log(string(line[:len(line)-1]))
	}
	return len(line), nil
}

// Sync implements zapcore.WriteSyncer.
func (w *testWriter) Sync() error { return nil }

func (w *testWriter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
}
