package actortest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
)

// Cluster is a JetStream cluster of one test: servers in this process with weft's own nats.conf and keys.
type Cluster struct {
	// Dir is the directory of configuration and keys, which all servers share.
	Dir     string
	options []*server.Options
	servers []*server.Server
}

// NewCluster prepares a cluster of size servers that listen on free ports of this machine. None is started; all are stopped when
// the test ends.
func NewCluster(t testing.TB, size int) *Cluster {
	t.Helper()
	c := &Cluster{Dir: t.TempDir(), servers: make([]*server.Server, size)}
	if _, err := embedded.Init(c.Dir, embedded.Options{Port: -1, Sync: embedded.SyncInterval}); err != nil {
		t.Fatalf("writing the servers' directory: %v", err)
	}
	routes := make([]*url.URL, size)
	for i := range routes {
		routes[i] = &url.URL{Scheme: "nats", Host: net.JoinHostPort("127.0.0.1", fmt.Sprint(freePort(t)))}
	}
	for i := range size {
		o, err := server.ProcessConfigFile(filepath.Join(c.Dir, "nats.conf"))
		if err != nil {
			t.Fatalf("reading nats.conf: %v", err)
		}
		o.NoSigs, o.NoLog, o.ServerName, o.StoreDir = true, true, fmt.Sprintf("n%d", i+1), t.TempDir()
		o.Port = freePort(t)
		_, port, _ := net.SplitHostPort(routes[i].Host)
		o.Cluster = server.ClusterOpts{Name: "weft", Host: "127.0.0.1"}
		if o.Cluster.Port, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port); err != nil {
			t.Fatal(err)
		}
		o.Routes = routes
		c.options = append(c.options, o)
	}
	t.Cleanup(func() {
		for i := range c.servers {
			c.Stop(i)
		}
	})
	return c
}

// StartCluster is NewCluster with every server started.
func StartCluster(t testing.TB, size int) *Cluster {
	t.Helper()
	c := NewCluster(t, size)
	for i := range size {
		c.Start(t, i)
	}
	return c
}

// Start starts a server and returns when it accepts connections. Like a process, it reads its configuration anew: a second server from
// the same options would lack the accounts' subject mappings.
func (c *Cluster) Start(t testing.TB, i int) {
	t.Helper()
	read, err := server.ProcessConfigFile(filepath.Join(c.Dir, "nats.conf"))
	if err != nil {
		t.Fatalf("reading nats.conf: %v", err)
	}
	o := c.options[i].Clone()
	o.Accounts, o.Users, o.Nkeys, o.SystemAccount = read.Accounts, read.Users, read.Nkeys, read.SystemAccount
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatalf("creating a server: %v", err)
	}
	c.servers[i] = s
	go s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatalf("server %d accepts no connections", i)
	}
}

// Stop stops a server and keeps its files. It does nothing where the server does not run.
func (c *Cluster) Stop(i int) {
	if c.servers[i] != nil {
		c.servers[i].Shutdown()
		c.servers[i].WaitForShutdown()
		c.servers[i] = nil
	}
}

// URL returns the URLs of all servers, separated by commas.
func (c *Cluster) URL() string {
	urls := make([]string, len(c.options))
	for i, o := range c.options {
		urls[i] = fmt.Sprintf("nats://127.0.0.1:%d", o.Port)
	}
	return strings.Join(urls, ",")
}

// Keys returns the directory of the users' seeds.
func (c *Cluster) Keys() string { return filepath.Join(c.Dir, "keys") }

// Connect opens a connection as a NATS user and closes it when the test ends.
func (c *Cluster) Connect(t testing.TB, user string) *mesh.Conn {
	t.Helper()
	seed, err := embedded.LoadSeed(c.Dir, user)
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := embedded.LoadKeyring(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := mesh.Connect(t.Context(), mesh.Options{URL: c.URL(), User: user, Seed: seed, Keyring: keyring, Wait: connectWithin})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// freePort returns a port of this machine that was free a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}
