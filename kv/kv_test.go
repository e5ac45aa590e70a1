package kv_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/kv"
)

// value is the type of the values in the tests' buckets.
type value struct {
	Name string `json:"name"`
	N    int    `json:"n"`
}

// options returns the options of a server with its own port and store.
func options(t testing.TB) *server.Options {
	t.Helper()
	return &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(),
		NoSigs: true, NoLog: true,
	}
}

// start runs a server until the test ends.
func start(t testing.TB, opts *server.Options) *server.Server {
	t.Helper()
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatalf("making server: %v", err)
	}
	srv.Start()
	t.Cleanup(func() { stop(srv) })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("server is not ready")
	}
	return srv
}

func stop(srv *server.Server) {
	srv.Shutdown()
	srv.WaitForShutdown()
}

// connect connects to url until the test ends.
func connect(t testing.TB, url string, opts ...nats.Option) kv.JetStream {
	t.Helper()
	opts = append([]nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond)}, opts...)
	conn, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatalf("binding JetStream: %v", err)
	}
	return author{js, "$JS.API."}
}

// mesh starts a server with every bucket of the mesh and the extra ones.
func mesh(t testing.TB, extra ...kv.Spec) kv.JetStream {
	t.Helper()
	js := connect(t, start(t, options(t)).ClientURL())
	ctx := deadline(t)
	if err := kv.CreateSpecs(ctx, js, 1, append(kv.All(), extra...)...); err != nil {
		t.Fatalf("creating buckets: %v", err)
	}
	return js
}

// deadline returns a context that bounds one test.
func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func open(t testing.TB, js kv.JetStream, spec kv.Spec) *kv.Bucket[value] {
	t.Helper()
	bucket, err := kv.Open[value](deadline(t), js, spec)
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	return bucket
}

// eventually waits until holds returns true.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-limit.C:
			t.Fatalf("timed out waiting until: %s", what)
		case <-tick.C:
		}
	}
}

// must fails the test if err is not nil.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
