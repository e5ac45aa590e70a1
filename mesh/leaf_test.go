package mesh_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

// startEdge enrolls an edge node at the hub and runs its server. The connection is that to the account of the hub.
func startEdge(t *testing.T, hub *actortest.Mesh, name string) (*embedded.Server, *mesh.Conn) {
	t.Helper()
	user, seed, err := embedded.Enroll(hub.Dir, mesh.Enrolled{Kind: subjects.KindEdge, Name: name}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := embedded.Init(dir, embedded.Options{Port: -1, Sync: embedded.SyncInterval}); err != nil {
		t.Fatal(err)
	}
	server, err := embedded.StartEdge(t.Context(), dir, embedded.Leaf{Name: name, URLs: []string{"nats://" + hub.LeafAddress()}, Seed: seed}, hub.Log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	conn, err := server.LocalConn(embedded.AccountHub, "edge", mesh.InboxPrefix(user.User()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	actortest.Eventually(t, "the leaf connection of "+name, server.Linked)
	return server, &mesh.Conn{Conn: conn, User: user.User()}
}

// reaches reports whether a request on a subject arrives at a subscription of the other side.
func reaches(t *testing.T, from *nats.Conn, to *nats.Conn, subject string) bool {
	t.Helper()
	sub, err := to.SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := to.Flush(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(300 * time.Millisecond)
	for time.Now().Before(deadline) { // interest crosses a leaf connection asynchronously
		if err := from.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := sub.NextMsg(20 * time.Millisecond); err == nil {
			return true
		}
	}
	return false
}

// TestEdgesReachOnlyTheirOwn sends messages over real leaf connections in both directions.
func TestEdgesReachOnlyTheirOwn(t *testing.T) {
	t.Parallel()
	hub := actortest.Start(t, actortest.Quiet(), actortest.WithLeaf())
	server, edge := startEdge(t, hub, "box7")
	_, other := startEdge(t, hub, "box8")
	for _, c := range []struct {
		subject, user string
		want          bool
	}{
		{subjects.ListWorkflows.Subject, "workflow", true},
		{subjects.ListWorkflows.Describe().ServiceSubject("gateway"), "workflow", false},
		{subjects.ListWorkflows.Describe().EnrolledSubject("edge", "box7"), "workflow", false},
		{subjects.ContactEdge.Describe().EnrolledSubject("edge", "box7"), "workflow", true},
		{subjects.ContactEdge.Describe().EnrolledSubject("edge", "box8"), "workflow", false},
		{mesh.InboxPrefix("workflow") + ".a", "workflow", false},
		{subjects.GuardBarrier, "workflow", false},
		{"$SRV.PING", "workflow", false},
	} {
		if got := reaches(t, edge.Conn, hub.Conn(t, c.user).Conn, c.subject); got != c.want {
			t.Errorf("from the edge, %s reaches the hub: %v, want %v", c.subject, got, c.want)
		}
	}
	gateway := hub.Conn(t, mesh.UserGateway).Conn
	if reaches(t, gateway, edge.Conn, subjects.ListWorkflows.Subject) {
		t.Error("the edge receives requests to the hub")
	}
	for _, subject := range []string{subjects.ListWorkflows.Subject, mesh.InboxPrefix("edge-box8") + ".a", "weft.event.v1.auth.user_registered"} {
		if reaches(t, edge.Conn, other.Conn, subject) {
			t.Errorf("box8 receives %s of box7", subject)
		}
	}
	for _, subject := range []string{"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.EVENTS", "$JS.hub.API.INFO", "$SYS.REQ.SERVER.PING"} {
		if m, err := edge.Request(subject, nil, 150*time.Millisecond); err == nil && len(m.Data) > 0 {
			t.Errorf("the edge gets an answer to %s: %s", subject, m.Data)
		}
	}
	local, err := server.LocalConn(embedded.AccountMesh, "local", "_INBOX_local")
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	if reaches(t, local, hub.Conn(t, "workflow").Conn, subjects.ListWorkflows.Subject) {
		t.Error("the edge's own mesh reaches the hub")
	}
	if err := embedded.Revoke(hub.Dir, subjects.KindEdge, "box7"); err != nil {
		t.Fatal(err)
	}
	actortest.Eventually(t, "the hub closes the leaf connection", func() bool { return !server.Linked() })
}
