package mesh_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

// enroll enrolls a user at the mesh's running server and returns a connection of it.
func enroll(t *testing.T, m *actortest.Mesh, kind, name string) (mesh.Enrolled, *mesh.Conn) {
	t.Helper()
	user, seed, err := embedded.Enroll(m.Dir, mesh.Enrolled{Kind: kind, Name: name}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := nkeys.FromSeed(seed)
	if err != nil {
		t.Fatal(err)
	}
	var conn *nats.Conn
	actortest.Eventually(t, "the server admits "+user.User(), func() bool {
		conn, err = nats.Connect(m.URL(), nats.Nkey(user.Key, key.Sign), nats.CustomInboxPrefix(mesh.InboxPrefix(user.User())), nats.NoReconnect())
		return err == nil
	})
	t.Cleanup(conn.Close)
	return user, &mesh.Conn{Conn: conn, User: user.User()}
}

// TestEnrolledUsersReachOnlyTheirOwn compares what the server allows an extension with what it is for. TestEdgesReachOnlyTheirOwn does so for an
// edge node, which can only connect as a leaf node.
func TestEnrolledUsersReachOnlyTheirOwn(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	for _, kind := range []string{subjects.KindExtension} {
		user, conn := enroll(t, m, kind, "box7")
		edge, extension := kind == subjects.KindEdge, kind == subjects.KindExtension
		for _, d := range subjects.Endpoints() {
			check(t, user.User(), "publish", d.Subject, mayPublish(t, conn, d.Subject), edge)
			for _, other := range subjects.EnrolledKinds() {
				for _, name := range []string{"box7", "box8"} {
					subject := d.EnrolledSubject(other, name)
					want := other == kind && name == "box7" && d.Access.AllowsEnrolled(kind)
					check(t, user.User(), "publish", subject, mayPublish(t, conn, subject), want)
				}
			}
			for _, service := range mesh.Users() {
				subject := d.ServiceSubject(service)
				check(t, user.User(), "publish", subject, mayPublish(t, conn, subject), false)
			}
			check(t, user.User(), "subscribe", d.Subject, maySubscribe(t, conn, d.Subject), false)
		}
		for subject, want := range map[string]bool{
			subjects.FunctionsOf("box7"): extension, subjects.FunctionsOf("box8"): false, subjects.FunctionsOf("*"): false,
			"$SRV.INFO": extension, "$SRV.INFO.box7": extension, "$SRV.INFO.box7.1": extension, "$SRV.INFO.workflow": false,
			mesh.InboxPrefix(user.User()) + ".a": true, mesh.InboxPrefix("workflow") + ".a": false, mesh.InboxPrefix("edge-box8") + ".a": false,
			">": false, "weft.>": false, "$SYS.>": false,
		} {
			check(t, user.User(), "subscribe", subject, maySubscribe(t, conn, subject), want)
		}
		for subject, want := range map[string]bool{
			mesh.FunctionInbox("box7") + ".a": extension, mesh.FunctionInbox("box8") + ".a": false, mesh.FunctionInbox("*") + ".a": false,
		} {
			check(t, user.User(), "publish", subject, mayPublish(t, conn, subject), want)
		}
		for _, subject := range []string{
			"weft.ext.v1.box7.f", subjects.CancelFunctionSubject("box7", "f"), "$JS.API.INFO", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.EVENTS", "$KV.guards.box7.k", subjects.GuardBarrier,
			"weft.event.v1.auth.u", "$SRV.INFO", mesh.InboxPrefix("workflow") + ".a", "$SYS.REQ.SERVER.PING",
		} {
			check(t, user.User(), "publish", subject, mayPublish(t, conn, subject), false)
		}
	}
}

// TestOnlyTheWorkflowActorCallsExtensions compares what the server allows weft's own users.
func TestOnlyTheWorkflowActorCallsExtensions(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	for _, user := range mesh.Users() {
		conn := m.Conn(t, user)
		for _, subject := range []string{subjects.FunctionSubject("acme", "f"), subjects.CancelFunctionSubject("acme", "f")} {
			check(t, user, "publish", subject, mayPublish(t, conn, subject), user == "workflow")
			check(t, user, "subscribe", subject, maySubscribe(t, conn, subject), false)
		}
		check(t, user, "subscribe", mesh.FunctionInbox("acme")+".a", maySubscribe(t, conn, mesh.FunctionInbox("acme")+".a"), user == "workflow")
		check(t, user, "publish", subjects.ServiceInfo("acme"), mayPublish(t, conn, subjects.ServiceInfo("acme")),
			user == "workflow" || user == mesh.UserOperator)
	}
}

func TestRevokedUsersAreDisconnected(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	_, kept := enroll(t, m, subjects.KindExtension, "kept")
	user, conn := enroll(t, m, subjects.KindExtension, "gone")
	if _, _, err := embedded.Enroll(m.Dir, user, time.Now()); !errors.Is(err, embedded.ErrEnrolled) {
		t.Errorf("enrolling again: %v", err)
	}
	if err := embedded.Revoke(m.Dir, user.Kind, user.Name); err != nil {
		t.Fatal(err)
	}
	actortest.Eventually(t, "the server disconnects the user", conn.IsClosed)
	if kept.IsClosed() || !m.Conn(t, "auth").IsConnected() {
		t.Error("other users are disconnected")
	}
	if err := embedded.Revoke(m.Dir, user.Kind, user.Name); !errors.Is(err, embedded.ErrNotEnrolled) {
		t.Errorf("revoking again: %v", err)
	}
	m.RestartServer(t)
	users, err := embedded.LoadEnrolled(m.Dir)
	if err != nil || len(users) != 1 || users[0].Name != "kept" {
		t.Errorf("after a restart %v, %v are enrolled", users, err)
	}
}

func TestEnrolledNames(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	for _, name := range []string{"", "A", "a.b", "a b", "*", ">", "1a", "-a", "auth", "gateway", "a_b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ä", "../x"} {
		if _, _, err := embedded.Enroll(m.Dir, mesh.Enrolled{Kind: subjects.KindExtension, Name: name}, time.Now()); err == nil {
			t.Errorf("the name %q is accepted", name)
		}
	}
	if _, _, err := embedded.Enroll(m.Dir, mesh.Enrolled{Kind: "service", Name: "a"}, time.Now()); err == nil {
		t.Error("an unknown kind is accepted")
	}
	if _, _, err := embedded.Enroll(t.TempDir(), mesh.Enrolled{Kind: subjects.KindEdge, Name: "a"}, time.Now()); err == nil {
		t.Error("a folder without a server is accepted")
	}
}

func TestEnrolledUsersArePublished(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	users, err := mesh.FetchEnrolled(t.Context(), m.Conn(t, "workflow").JS)
	if err != nil || len(users) != 0 {
		t.Fatalf("%v, %v are enrolled", users, err)
	}
	want, _, err := embedded.Enroll(m.Dir, mesh.Enrolled{Kind: subjects.KindEdge, Name: "box7"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := mesh.PublishEnrolled(t.Context(), m.Conn(t, mesh.UserMigrate).JS, []mesh.Enrolled{want}); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"workflow", "integration", mesh.UserGateway} {
		if users, err = mesh.FetchEnrolled(t.Context(), m.Conn(t, user).JS); err != nil || !slices.Equal(users, []mesh.Enrolled{want}) {
			t.Errorf("%s reads %v, %v", user, users, err)
		}
	}
}
