package actortest

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
)

// Enroll enrolls an extension or an edge node at the running server, publishes that, and returns a function that opens connections of the
// user, which the end of the test closes.
func (m *Mesh) Enroll(t testing.TB, kind, name string) (connect func() *nats.Conn) {
	t.Helper()
	user, seed, err := embedded.Enroll(m.Dir, mesh.Enrolled{Kind: kind, Name: name}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m.publishEnrolled(t)
	key, err := nkeys.FromSeed(seed)
	if err != nil {
		t.Fatal(err)
	}
	return func() *nats.Conn {
		conn, err := nats.Connect(m.URL(), nats.Nkey(user.Key, key.Sign), nats.CustomInboxPrefix(mesh.InboxPrefix(user.User())))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		return conn
	}
}

// Expel revokes an enrolled user at the running server, and publishes that.
func (m *Mesh) Expel(t testing.TB, kind, name string) {
	t.Helper()
	if err := embedded.Revoke(m.Dir, kind, name); err != nil {
		t.Fatal(err)
	}
	m.publishEnrolled(t)
}

func (m *Mesh) publishEnrolled(t testing.TB) {
	t.Helper()
	if err := m.server.Reload(); err != nil {
		t.Fatal(err)
	}
	users, err := embedded.LoadEnrolled(m.Dir)
	if err == nil {
		err = mesh.PublishEnrolled(deadline(t), m.Conn(t, mesh.UserMigrate).JS, users)
	}
	if err != nil {
		t.Fatalf("publishing the enrolled users: %v", err)
	}
}
