package workflow_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

// edgeConn enrolls an edge node and connects as it over a leaf connection.
func edgeConn(t *testing.T, m *actortest.Mesh, name string, e subjects.Enrolment) *mesh.Conn {
	t.Helper()
	_, seed, err := embedded.Enroll(m.Dir, mesh.Enrolled{Kind: subjects.KindEdge, Name: name, Edge: &e}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	publishEnrolled(t, m)
	dir := t.TempDir()
	if _, err := embedded.Init(dir, embedded.Options{Port: -1, Sync: embedded.SyncInterval, Edge: true}); err != nil {
		t.Fatal(err)
	}
	server, err := embedded.StartEdge(t.Context(), dir, embedded.Leaf{Name: name, URLs: []string{"nats://" + m.LeafAddress()}, Seed: seed}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	conn, err := server.LocalConn(embedded.AccountHub, "test", mesh.InboxPrefix(mesh.EnrolledUser(subjects.KindEdge, name)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	actortest.Eventually(t, "the leaf connection", server.Linked)
	return &mesh.Conn{Conn: conn, User: name}
}

func publishEnrolled(t *testing.T, m *actortest.Mesh) {
	t.Helper()
	users, err := embedded.LoadEnrolled(m.Dir)
	if err == nil {
		err = mesh.PublishEnrolled(t.Context(), m.Conn(t, mesh.UserMigrate).JS, users)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// callAsEdge calls an endpoint as an edge node.
func callAsEdge[Req, Res any](t *testing.T, conn *mesh.Conn, e subjects.Endpoint[Req, Res], req Req) (res Res, err error) {
	t.Helper()
	data, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // a leaf connection that is closed loses what is under way
	defer cancel()
	reply, err := conn.Forward(ctx, e.Describe().EnrolledSubject(subjects.KindEdge, conn.User), nats.Header{}, data)
	if err == nil {
		err = json.Unmarshal(reply.Data, &res)
	}
	return res, err
}

// TestEdges calls the endpoints of edge nodes as two of them.
func TestEdges(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setup(t, database, actortest.WithLeaf(), actortest.Quiet())
		created := call(t, c, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, scheduled("on: {one: {with: {type: sensor.read}}}", "", "- note: {set: {seen: true}}\n"))})
		box7 := edgeConn(t, c.mesh, "box7", subjects.Enrolment{Users: []string{c.user}, Workflows: []string{created.ID}})
		box8 := edgeConn(t, c.mesh, "box8", subjects.Enrolment{Workflows: []string{created.ID}})
		var contact subjects.EdgeContact
		actortest.Eventually(t, "the hub answers", func() (ok bool) {
			var err error
			contact, err = callAsEdge(t, box7, subjects.ContactEdge, subjects.ContactEdgeRequest{Version: "1", Hub: "hub", OutboxMessages: 3, LagMS: 5})
			return err == nil && len(contact.Enrolment.Users) == 1
		})
		if contact.LeaseMS != time.Hour.Milliseconds() || len(contact.Revisions) != len(subjects.EdgeSections()) {
			t.Errorf("the contact is %+v", contact)
		}
		for _, section := range subjects.EdgeSections() {
			got, err := callAsEdge(t, box7, subjects.SyncEdge, subjects.SyncEdgeRequest{Section: section})
			if err != nil || got.Revision != contact.Revisions[section] {
				t.Errorf("%s: %+v, %v", section, got, err)
			}
			if want := map[string]int{subjects.EdgeKeys: 1, subjects.EdgeConsents: 2, subjects.EdgeWorkflows: 1}[section]; len(got.Items) != want {
				t.Errorf("%s has %d items, want %d", section, len(got.Items), want)
			}
		}
		actortest.Eventually(t, "the hub answers the other", func() bool {
			_, err := callAsEdge(t, box8, subjects.ContactEdge, subjects.ContactEdgeRequest{Version: "1", Hub: "hub"})
			return err == nil
		})
		for _, section := range []string{subjects.EdgeConsents, subjects.EdgeWorkflows, subjects.EdgeBlocked} {
			if got, err := callAsEdge(t, box8, subjects.SyncEdge, subjects.SyncEdgeRequest{Section: section}); err != nil || len(got.Items) != 0 {
				t.Errorf("%s of an edge without users: %+v, %v", section, got, err)
			}
		}
		message := func(sequence uint64) subjects.EdgeMessage {
			data := json.RawMessage(`{"specversion":"1.0","id":"` + actortest.User() + `","source":"edge","type":"sensor.read"}`)
			return subjects.EdgeMessage{Sequence: sequence, Kind: subjects.EdgeEvent, At: time.Now(), UserID: c.user, Data: data}
		}
		send := func(outbox string, through uint64, sequences ...uint64) {
			t.Helper()
			r := subjects.ReceiveEdgeRequest{Outbox: outbox}
			for _, s := range sequences {
				r.Messages = append(r.Messages, message(s))
			}
			if receipt, err := callAsEdge(t, box7, subjects.ReceiveEdge, r); err != nil || receipt.Through != through {
				t.Errorf("sending %v: %+v, %v", sequences, receipt, err)
			}
		}
		send("a", 2, 1, 2)
		send("a", 2, 1, 2) // a repetition
		send("a", 3, 2, 3)
		send("a", 9, 9) // those between have expired or are those of another hub
		send("a", 9, 4)
		send("b", 1, 1) // a new outbox begins again
		_, err := callAsEdge(t, box7, subjects.ReceiveEdge, subjects.ReceiveEdgeRequest{Outbox: "a", Messages: []subjects.EdgeMessage{message(12), message(11)}})
		if subjects.CodeOf(err) != subjects.CodeInvalid {
			t.Errorf("messages out of order: %v", err)
		}
		admin := mesh.As{Token: c.mesh.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleAdmin))}
		page, err := mesh.Call(t.Context(), c.conn, subjects.ListEdges, subjects.ListEdgesRequest{PageRequest: subjects.PageRequest{Limit: 1}}, admin)
		if err != nil || len(page.Items) != 1 || page.NextCursor == "" {
			t.Fatalf("the first page is %+v, %v", page, err)
		}
		if e := page.Items[0]; e.Name != "box7" || e.Received != 5 || e.Outbox.Messages != 3 || e.Status != "connected" || e.Hub != "hub" || e.LeaseUntil == nil {
			t.Errorf("the edge is %+v", e)
		}
		// The hub leaves the workflow to the edge.
		if done := call(t, c, subjects.PublishEvent, event("own", "sensor.read", `{}`)); len(done.Started) != 0 {
			t.Errorf("the hub has started %v", done.Started)
		}
		if list := call(t, c, subjects.ListExecutions, subjects.ListExecutionsRequest{}); len(list.Items) != 0 {
			t.Errorf("the hub has executed %+v", list.Items)
		}
		if err := embedded.Revoke(c.mesh.Dir, subjects.KindEdge, "box7"); err != nil {
			t.Fatal(err)
		}
		publishEnrolled(t, c.mesh)
		actortest.Eventually(t, "a revoked edge is refused", func() bool {
			_, err := callAsEdge(t, box7, subjects.ReceiveEdge, subjects.ReceiveEdgeRequest{Outbox: "a", Messages: []subjects.EdgeMessage{message(13)}})
			return err != nil
		})
		actortest.Eventually(t, "the hub runs the workflow again", func() bool {
			return len(call(t, c, subjects.PublishEvent, event(actortest.User(), "sensor.read", `{}`)).Started) == 1
		})
	})
}
