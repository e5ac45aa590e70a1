// Package actortest is what the tests of actors and of the gateway run on: the real mesh (an embedded
// NATS server with the permissions of nats.conf, set up), both databases, users with tokens and consents.
package actortest

import (
	"context"
	"crypto/ed25519"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
)

// Issuer and Audience are those of the tests' access tokens.
const (
	Issuer   = "https://weft.test"
	Audience = "weft"
)

// connectWithin bounds a connection's making.
const connectWithin = 10 * time.Second

// Mesh is a mesh of one test's own.
type Mesh struct {
	// Dir is the server's folder.
	Dir string
	// Log writes to the test.
	Log *zap.Logger
	// Now is the clock of tokens and hosted actors.
	Now func() time.Time

	t    testing.TB
	sync string
	// inProcess has connections need no socket.
	inProcess bool
	server    *embedded.Server
	url       string
	port      int
	mu        sync.Mutex
	conns     map[string]*mesh.Conn
	key       ed25519.PrivateKey
}

// Option is an option of Start.
type Option func(*Mesh)

// WithClock makes now the clock of tokens and hosted actors. The server has its own.
func WithClock(now func() time.Time) Option { return func(m *Mesh) { m.Now = now } }

// Quiet keeps the server's and the connections' logs out of the test's: for tests that provoke refusals.
func Quiet() Option { return func(m *Mesh) { m.Log = zap.NewNop() } }

// SyncAlways has the server sync every acknowledged write, as the product does unless told otherwise: for benchmarks.
func SyncAlways() Option { return func(m *Mesh) { m.sync = embedded.SyncAlways } }

// InProcess has connections need no socket, as those of weft up: for benchmarks. They do not survive RestartServer.
func InProcess() Option { return func(m *Mesh) { m.inProcess = true } }

// Start runs a NATS server with weft's own configuration until the test ends: every user may there what it
// may in production and nothing else, and the streams, buckets and durables exist.
func Start(t testing.TB, options ...Option) *Mesh {
	t.Helper()
	m := &Mesh{t: t, Dir: t.TempDir(), Log: logger(t), Now: time.Now, sync: embedded.SyncInterval, port: -1, conns: map[string]*mesh.Conn{}}
	for _, option := range options {
		option(m)
	}
	m.RestartServer(t)
	t.Cleanup(func() { m.StopServer(t) })
	conn := m.Conn(t, mesh.UserSetup)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := mesh.Setup(ctx, conn.JS, 1); err != nil {
		t.Fatalf("setting the mesh up: %v", err)
	}
	return m
}

// URL is the server's address.
func (m *Mesh) URL() string { return m.url }

// StopServer stops the server; its state stays. Stopping a stopped server does nothing.
func (m *Mesh) StopServer(t testing.TB) {
	t.Helper()
	if m.server != nil {
		m.server.Shutdown()
		m.server = nil
	}
}

// RestartServer stops the server, where it runs, and starts it again with the same port and state.
func (m *Mesh) RestartServer(t testing.TB) {
	t.Helper()
	m.StopServer(t)
	o := embedded.Options{Port: m.port, Store: filepath.Join(m.Dir, "jetstream"), Sync: m.sync}
	if _, err := embedded.Init(m.Dir, []byte(mesh.RenderConf()), o); err != nil {
		t.Fatalf("writing the server's folder: %v", err)
	}
	server, err := embedded.Start(t.Context(), m.Dir, m.Log)
	if err != nil {
		t.Fatalf("starting the server: %v", err)
	}
	m.server, m.url = server, server.ClientURL()
	_, port, err := net.SplitHostPort(m.url[len("nats://"):])
	if err == nil {
		m.port, err = strconv.Atoi(port)
	}
	if err != nil {
		t.Fatalf("reading the server's address %s: %v", m.url, err)
	}
}

// Options is how to connect as a user.
func (m *Mesh) Options(t testing.TB, user string) mesh.Options {
	t.Helper()
	seed, err := embedded.LoadSeed(m.Dir, user)
	if err != nil {
		t.Fatal(err)
	}
	o := mesh.Options{URL: m.url, User: user, Seed: seed, Log: m.Log.Named(user), Wait: connectWithin}
	if m.inProcess {
		o.InProcess = m.server
	}
	return o
}

// Connect makes a connection of the caller's own as a user, closed at the test's end.
func (m *Mesh) Connect(t testing.TB, user string) *mesh.Conn {
	t.Helper()
	conn, err := mesh.Connect(context.Background(), m.Options(t, user))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// Conn is the test's one connection as a user, for whoever in the test needs it; do not close it.
func (m *Mesh) Conn(t testing.TB, user string) *mesh.Conn {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conns[user] == nil {
		m.conns[user] = m.Connect(m.t, user)
	}
	return m.conns[user]
}
