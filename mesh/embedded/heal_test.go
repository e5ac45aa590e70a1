package embedded

import (
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh"
)

// What a full disk leaves behind in the server goes with it: it is started anew on its address once there is room, and
// clients find it there. (TestFullDisk fills a real one.)
func TestAServerWhoseDiskWasFullIsStartedAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Init(dir, []byte(mesh.RenderConf()), Options{Port: -1}); err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	seed, err := LoadSeed(dir, mesh.UserSetup)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := mesh.Connect(t.Context(), mesh.Options{URL: s.ClientURL(), User: mesh.UserSetup, Seed: seed, Wait: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	again := conn.StatusChanged(nats.CONNECTED)
	before, address := conn.ConnectedServerId(), s.ClientURL()
	s.log.Errorf("JetStream failed to store a msg on stream '%s': %v", "EVENTS", syscall.ENOSPC)
	select {
	case <-again:
	case <-time.After(30 * time.Second):
		t.Fatal("the client has found no server again")
	}
	if after := conn.ConnectedServerId(); after == before || s.ClientURL() != address {
		t.Errorf("the client is at %s, was at %s; the server listens on %s, listened on %s", after, before, s.ClientURL(), address)
	}
	if err := mesh.Setup(t.Context(), conn.JS, 1); err != nil {
		t.Errorf("setting up on the new server: %v", err)
	}
}
