package embedded

import (
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh"
)

// The server is restarted on its address when a full disk has space again, and clients reconnect. (TestFullDisk fills a real disk.)
func TestServerRestartsAfterDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Init(dir, Options{Port: -1}); err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	seed, err := LoadSeed(dir, mesh.UserMigrate)
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := LoadKeyring(dir)
	if err != nil {
		t.Fatal(err)
	}
	options := mesh.Options{URL: s.ClientURL(), User: mesh.UserMigrate, Seed: seed, Keyring: keyring, Wait: 5 * time.Second}
	address, before := s.ClientURL(), map[string]string{}
	conns, again := map[string]*mesh.Conn{}, map[string]chan nats.Status{}
	for _, way := range []string{"by its address", "in this process"} {
		if way == "in this process" {
			options.InProcess = s
		}
		conn, err := mesh.Connect(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		conns[way], again[way], before[way] = conn, conn.StatusChanged(nats.CONNECTED), conn.ConnectedServerId()
	}
	s.log.Errorf("JetStream failed to store a msg on stream '%s': %v", "EVENTS", syscall.ENOSPC)
	for way, conn := range conns {
		select {
		case <-again[way]:
		case <-time.After(30 * time.Second):
			t.Fatalf("the client connected %s does not reconnect", way)
		}
		if after := conn.ConnectedServerId(); after == before[way] || s.ClientURL() != address {
			t.Errorf("the client connected %s is at server %s, was at %s; the server listens on %s, listened on %s", way, after, before[way], s.ClientURL(), address)
		}
		if err := mesh.Setup(t.Context(), conn.JS, 1); err != nil {
			t.Errorf("setup on the restarted server, connected %s: %v", way, err)
		}
	}
}
