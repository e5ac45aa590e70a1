// Package actortest is the test bench of actors and gateway: an embedded NATS server with weft's own permissions, streams
// and buckets, SQLite and PostgreSQL, and users with access tokens and consents.
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

// Issuer and Audience are the claims iss and aud of the tests' access tokens.
const (
	Issuer   = "https://weft.test"
	Audience = "weft"
)

// connectWithin bounds how long Connect tries.
const connectWithin = 10 * time.Second

// Mesh is an embedded NATS server of one test, with the connections to it.
type Mesh struct {
	// Dir is the server's directory: configuration, keys and JetStream's files.
	Dir string
	// Log writes to the test.
	Log *zap.Logger
	// Now is the clock of tokens and hosted actors.
	Now func() time.Time

	t    testing.TB
	sync string
	// inProcess makes connections through memory instead of a socket.
	inProcess bool
	// leaf is the address of leaf connections; empty accepts none.
	leaf string
	// edge is the leaf connection of an edge node's server; nil for others.
	edge   *embedded.Leaf
	server *embedded.Server
	url    string
	port   int
	mu     sync.Mutex
	conns  map[string]*mesh.Conn
	key    ed25519.PrivateKey
}

// Option is an option of Start.
type Option func(*Mesh)

// WithClock sets the clock of tokens and hosted actors. It does not change the server's.
func WithClock(now func() time.Time) Option { return func(m *Mesh) { m.Now = now } }

// Quiet discards the logs of the server and of the connections, for tests that provoke errors.
func Quiet() Option { return func(m *Mesh) { m.Log = zap.NewNop() } }

// SyncAlways makes the server sync every write before it acknowledges it, which is the product's default. It is for benchmarks.
func SyncAlways() Option { return func(m *Mesh) { m.sync = embedded.SyncAlways } }

// InProcess connects through memory instead of a socket, as weft up does. It is for benchmarks. RestartServer breaks such
// connections.
func InProcess() Option { return func(m *Mesh) { m.inProcess = true } }

// WithLeaf accepts leaf connections, on a free port that the server keeps.
func WithLeaf() Option { return func(m *Mesh) { m.leaf = "127.0.0.1:-1" } }

// AsEdge makes the server that of an edge node with a leaf connection.
func AsEdge(leaf embedded.Leaf) Option { return func(m *Mesh) { m.edge = &leaf } }

// Server is the running server.
func (m *Mesh) Server() *embedded.Server { return m.server }

// LeafAddress is the address of leaf connections.
func (m *Mesh) LeafAddress() string { return m.leaf }

// Start runs a NATS server with weft's own configuration until the test ends. Every user has its permissions of production,
// and the streams, buckets and durables exist.
func Start(t testing.TB, options ...Option) *Mesh {
	t.Helper()
	m := &Mesh{t: t, Dir: t.TempDir(), Log: logger(t), Now: time.Now, sync: embedded.SyncInterval, port: -1, conns: map[string]*mesh.Conn{}}
	for _, option := range options {
		option(m)
	}
	m.RestartServer(t)
	t.Cleanup(func() { m.StopServer(t) })
	conn := m.Conn(t, mesh.UserMigrate)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := mesh.Setup(ctx, conn.JS, 1); err != nil {
		t.Fatalf("setting up the mesh: %v", err)
	}
	return m
}

// URL returns the server's URL.
func (m *Mesh) URL() string { return m.url }

// StopServer stops the server and keeps its files. It does nothing where the server does not run.
func (m *Mesh) StopServer(t testing.TB) {
	t.Helper()
	if m.server != nil {
		m.server.Shutdown()
		m.server = nil
	}
}

// RestartServer stops the server if it runs and starts it with the same port and files.
func (m *Mesh) RestartServer(t testing.TB) {
	t.Helper()
	m.StopServer(t)
	o := embedded.Options{Port: m.port, Store: filepath.Join(m.Dir, "jetstream"), Sync: m.sync, Leaf: m.leaf, Edge: m.edge != nil}
	if _, err := embedded.Init(m.Dir, o); err != nil {
		t.Fatalf("writing the server's directory: %v", err)
	}
	run := embedded.Start
	if m.edge != nil {
		run = func(ctx context.Context, dir string, log *zap.Logger) (*embedded.Server, error) {
			return embedded.StartEdge(ctx, dir, *m.edge, log)
		}
	}
	server, err := run(t.Context(), m.Dir, m.Log)
	if err != nil {
		t.Fatalf("starting the server: %v", err)
	}
	m.server, m.url = server, server.ClientURL()
	if m.leaf != "" {
		m.leaf = server.LeafAddress()
	}
	_, port, err := net.SplitHostPort(m.url[len("nats://"):])
	if err == nil {
		m.port, err = strconv.Atoi(port)
	}
	if err != nil {
		t.Fatalf("parsing the server's URL %s: %v", m.url, err)
	}
}

// Options returns the options to connect as a NATS user.
func (m *Mesh) Options(t testing.TB, user string) mesh.Options {
	t.Helper()
	seed, err := embedded.LoadSeed(m.Dir, user)
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := embedded.LoadKeyring(m.Dir)
	if err != nil {
		t.Fatal(err)
	}
	o := mesh.Options{URL: m.url, User: user, Seed: seed, Keyring: keyring, Log: m.Log.Named(user), Wait: connectWithin}
	if m.inProcess {
		o.InProcess = m.server
	}
	return o
}

// Connect opens a new connection as a NATS user and closes it when the test ends.
func (m *Mesh) Connect(t testing.TB, user string) *mesh.Conn {
	t.Helper()
	conn, err := mesh.Connect(context.Background(), m.Options(t, user))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// Conn returns the shared connection of a NATS user, opened on first use. The caller must not close it.
func (m *Mesh) Conn(t testing.TB, user string) *mesh.Conn {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conns[user] == nil {
		m.conns[user] = m.Connect(m.t, user)
	}
	return m.conns[user]
}
