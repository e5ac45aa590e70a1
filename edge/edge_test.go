package edge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/actors/workflow"
	"github.com/weftmesh/weft/edge"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

// hub is a hub with the workflow actor and one user.
type hub struct {
	*actortest.Mesh

	user string
	as   mesh.As
	// lease is that which the hub grants.
	lease time.Duration
	host  *actortest.Hosted
	db    database.Config

	mu            sync.Mutex
	notifications []subjects.SendNotificationRequest
}

func startHub(t testing.TB, options ...actortest.Option) *hub {
	t.Helper()
	h := &hub{Mesh: actortest.Start(t, append(options, actortest.Quiet(), actortest.WithLeaf())...), user: actortest.User(), lease: time.Hour}
	h.as = mesh.As{Token: h.Token(t, h.user)}
	h.Consent(t, h.user, subjects.ScopeWorkflowsExecute, subjects.ScopeNotificationsSend)
	h.db = sqlite(t, "workflow")
	h.startWorkflow(t)
	h.Host(t, "notification", sqlite(t, "notification"), nil, func(actors.Deps) (actors.Service, error) {
		return actors.Service{Name: "notification", Bindings: []actors.Binding{
			actors.Bind(subjects.SendNotification, func(_ context.Context, r subjects.SendNotificationRequest) (subjects.NotificationRef, error) {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.notifications = append(h.notifications, r)
				return subjects.NotificationRef{NotificationID: actortest.User(), Status: "queued"}, nil
			}),
		}}, nil
	})
	return h
}

func (h *hub) startWorkflow(t testing.TB) {
	t.Helper()
	h.host = hostWorkflow(t, h.Mesh, h.db, h.lease, nil)
}

func sqlite(t testing.TB, actor string) database.Config {
	t.Helper()
	return database.Config{Actor: actor, DataDir: t.TempDir(), Durability: database.DurabilityInterval}
}

func hostWorkflow(t testing.TB, m *actortest.Mesh, db database.Config, lease time.Duration, at *actors.Edge, options ...actortest.HostOption) *actortest.Hosted {
	t.Helper()
	config := workflow.DefaultConfig()
	config.EdgeLease = lease
	options = append(options, func(c *runtime.HostConfig) { c.Edge = at })
	return m.Host(t, "workflow", db, workflow.Migrations, func(d actors.Deps) (actors.Service, error) {
		a, err := workflow.New(d, config)
		if err != nil {
			return actors.Service{}, err
		}
		return a.Service(), nil
	}, options...)
}

// createWorkflow creates a workflow of the hub's user that an event of a type starts, with tasks.
func (h *hub) createWorkflow(t testing.TB, name, event, tasks string) string {
	t.Helper()
	text, err := json.Marshal(fmt.Sprintf("document: {dsl: '1.0.3', namespace: edge, name: %s, version: '0.1.0'}\n"+
		"schedule: {on: {one: {with: {type: %s}}}}\ndo:\n%s", name, event, tasks))
	if err != nil {
		t.Fatal(err)
	}
	w, err := mesh.Call(t.Context(), h.Conn(t, mesh.UserGateway), subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: text}, h.as)
	if err != nil {
		t.Fatal(err)
	}
	return w.ID
}

// node is an edge node of a test.
type node struct {
	*edge.Node
	*actortest.Mesh

	hub     *hub
	relay   *actortest.Relay
	dir     string
	options edge.Options
	stop    func()
	db      database.Config
	host    *actortest.Hosted
}

// nodeOption changes the options of a node before it is opened.
type nodeOption func(*edge.Options)

// enroll enrolls an edge node at the hub and returns its seed.
func (h *hub) enroll(t testing.TB, name string, e subjects.Enrolment) []byte {
	t.Helper()
	_, seed, err := embedded.Enroll(h.Dir, mesh.Enrolled{Kind: subjects.KindEdge, Name: name, Edge: &e}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h.publishEnrolled(t)
	return seed
}

// set changes what an edge node is enrolled for.
func (h *hub) set(t testing.TB, name string, e subjects.Enrolment) {
	t.Helper()
	if err := embedded.SetEdge(h.Dir, name, e); err != nil {
		t.Fatal(err)
	}
	h.publishEnrolled(t)
}

func (h *hub) publishEnrolled(t testing.TB) {
	t.Helper()
	users, err := embedded.LoadEnrolled(h.Dir)
	if err == nil {
		err = mesh.PublishEnrolled(t.Context(), h.Conn(t, mesh.UserMigrate).JS, users)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// startNode runs an edge node that reaches the hub through a relay. linked says whether it is waited for until the first contact.
func (h *hub) startNode(t testing.TB, name string, e subjects.Enrolment, options ...nodeOption) *node {
	t.Helper()
	relay := actortest.NewRelay(t, h.LeafAddress())
	return h.startNodeThrough(t, name, h.enroll(t, name, e), relay.Address(), relay, options...)
}

func (h *hub) startNodeThrough(t testing.TB, name string, seed []byte, address string, relay *actortest.Relay, options ...nodeOption) *node {
	t.Helper()
	leaf := embedded.Leaf{Name: name, URLs: []string{"nats://" + address}, Seed: seed}
	n := &node{
		hub: h, relay: relay, dir: t.TempDir(), db: sqlite(t, "workflow"), Mesh: actortest.Start(t, actortest.Quiet(), actortest.AsEdge(leaf)),
	}
	config := edge.DefaultConfig()
	config.ContactEvery = 200 * time.Millisecond
	n.options = edge.Options{Name: name, Hub: address, Version: "test", Dir: n.dir, Config: config, Link: n.Server().Link, Log: zap.NewNop()}
	for _, option := range options {
		option(&n.options)
	}
	n.start(t)
	return n
}

// start opens the node and runs it with the workflow actor.
func (n *node) start(t testing.TB) {
	t.Helper()
	o := n.options
	var err error
	if o.SystemSeed, err = embedded.LoadSeed(n.Dir, mesh.UserSystem); err != nil {
		t.Fatal(err)
	}
	if o.Local, err = n.Server().LocalConn(embedded.AccountMesh, "edge", mesh.InboxPrefix("edge")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Local.Close)
	if o.Uplink, err = n.Server().LocalConn(embedded.AccountHub, "uplink", mesh.InboxPrefix("edge-"+o.Name)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Uplink.Close)
	o.Auth, o.Consent = n.Conn(t, "auth"), n.Conn(t, "consent")
	if n.Node, err = edge.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	membership, err := mesh.Join(t.Context(), n.Conn(t, mesh.UserGateway), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := mesh.NewVerifier(t.Context(), membership, actortest.Issuer, actortest.Audience, n.Node.Now)
	if err != nil {
		t.Fatal(err)
	}
	n.UseVerifier(verifier)
	ctx, cancel := context.WithCancel(context.Background())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- n.Run(ctx, func() { close(ready) }) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the node ended with %v", err)
		}
		_ = membership.Close(context.Background())
	})
	t.Cleanup(n.stop)
	<-ready
	n.host = hostWorkflow(t, n.Mesh, n.db, time.Hour, n.Actor(), func(c *runtime.HostConfig) { c.Now = n.Node.Now })
}

// restart stops the node and starts it again.
func (n *node) restart(t testing.TB) {
	t.Helper()
	_ = n.host.Stop(t)
	n.stop()
	n.start(t)
}

// publish publishes an event at the edge.
func (n *node) publish(t testing.TB, id, kind string) (subjects.PublishedEvent, error) {
	t.Helper()
	return publish(t, n.Mesh, n.hub.as, id, kind)
}

func publish(t testing.TB, m *actortest.Mesh, as mesh.As, id, kind string) (subjects.PublishedEvent, error) {
	t.Helper()
	event := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"test","type":%q,"data":{}}`, id, kind)
	return mesh.Call(t.Context(), m.Conn(t, mesh.UserGateway), subjects.PublishEvent, subjects.PublishEventRequest{Event: json.RawMessage(event)}, as)
}

// mustPublish is publish, which must succeed.
func (n *node) mustPublish(t testing.TB, id, kind string) subjects.PublishedEvent {
	t.Helper()
	done, err := n.publish(t, id, kind)
	if err != nil {
		t.Fatalf("publishing %s: %v", id, err)
	}
	return done
}

// contacted waits for the first contact.
func (n *node) contacted(t testing.TB) {
	t.Helper()
	actortest.Eventually(t, "the first contact", func() bool { return n.Permit(n.hub.user) == nil })
}

func (n *node) status(t testing.TB) edge.Status {
	t.Helper()
	status, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// executions lists the executions of the hub's user at a mesh.
func executions(t testing.TB, m *actortest.Mesh, as mesh.As) []subjects.Execution {
	t.Helper()
	page, err := mesh.Call(t.Context(), m.Conn(t, mesh.UserGateway), subjects.ListExecutions, subjects.ListExecutionsRequest{}, as)
	if err != nil {
		t.Fatal(err)
	}
	return page.Items
}

// edges lists the edge nodes as an administrator.
func (h *hub) edges(t testing.TB) []subjects.Edge {
	t.Helper()
	admin := mesh.As{Token: h.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleUser, subjects.RoleAdmin))}
	page, err := mesh.Call(t.Context(), h.Conn(t, mesh.UserGateway), subjects.ListEdges, subjects.ListEdgesRequest{}, admin)
	if err != nil {
		t.Fatal(err)
	}
	return page.Items
}

// reasonOf returns the reason of an error.
func reasonOf(err error) subjects.Reason {
	var e *subjects.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

const setTask = "- note: {set: {seen: true}}\n"

// TestNode runs a workflow at the edge, and tells the hub.
func TestNode(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	own := h.createWorkflow(t, "own", "sensor.read", "- tell: {call: notification.send, with: {subject: Sensor, body: read}}\n")
	other := h.createWorkflow(t, "other", "sensor.read", setTask)
	n := h.startNode(t, "box7", subjects.Enrolment{Users: []string{h.user}, Workflows: []string{own}})
	n.contacted(t)
	actortest.Eventually(t, "the workflow is installed", func() bool {
		page, err := mesh.Call(t.Context(), n.Conn(t, mesh.UserGateway), subjects.ListWorkflows, subjects.ListWorkflowsRequest{}, h.as)
		return err == nil && len(page.Items) == 1 && page.Items[0].ID == own
	})
	n.relay.Cut(true)
	actortest.Eventually(t, "the edge is offline", func() bool { return !n.status(t).Linked })
	if done := n.mustPublish(t, "e1", "sensor.read"); len(done.Started) != 1 {
		t.Fatalf("the event started %v at the edge", done.Started)
	}
	actortest.Eventually(t, "the execution at the edge completes", func() bool {
		list := executions(t, n.Mesh, h.as)
		return len(list) == 1 && list[0].Status == "completed"
	})
	actortest.Eventually(t, "event, notification and result are kept", func() bool { return n.status(t).Outbox.Messages == 3 })
	_, err := mesh.Call(t.Context(), n.Conn(t, mesh.UserGateway), subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: json.RawMessage(`"a"`)}, h.as)
	if subjects.CodeOf(err) != subjects.CodeUnsupported {
		t.Errorf("creating a workflow at the edge: %v", err)
	}
	_, err = mesh.Call(t.Context(), n.Conn(t, mesh.UserGateway), subjects.GetUserProfile, subjects.Empty{}, h.as)
	if reasonOf(err) != subjects.ReasonEdgeOffline {
		t.Errorf("a call that needs the hub: %v", err)
	}
	decision, err := mesh.Call(t.Context(), n.Conn(t, mesh.UserGateway), subjects.ValidateConsent, subjects.ValidateConsentRequest{Scope: subjects.ScopeWorkflowsExecute}, h.as)
	if err != nil || !decision.Allowed {
		t.Errorf("the consent offline: %+v, %v", decision, err)
	}
	keys, err := mesh.Call(t.Context(), n.Conn(t, mesh.UserGateway), subjects.JWKS, subjects.Empty{}, mesh.As{})
	if err != nil || len(keys.Keys) != 1 {
		t.Errorf("the keys offline: %+v, %v", keys, err)
	}
	n.relay.Cut(false)
	actortest.Eventually(t, "the hub runs the other workflow, and only that", func() bool {
		list := executions(t, h.Mesh, h.as)
		return len(list) == 1 && list[0].WorkflowID == other
	})
	actortest.Eventually(t, "the hub sends the notification", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.notifications) == 1 && h.notifications[0].UserID == h.user
	})
	actortest.Eventually(t, "the hub lists the edge", func() bool {
		list := h.edges(t)
		return len(list) == 1 && list[0].Status == "connected" && list[0].Received == 3 && list[0].Outbox.Messages == 0
	})
	for _, as := range []mesh.As{{}, h.as, {Token: h.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleAdmin))}} {
		_, err := mesh.Call(t.Context(), h.Conn(t, mesh.UserGateway), subjects.ContactEdge, subjects.ContactEdgeRequest{Version: "x", Hub: "x"}, as)
		if code := subjects.CodeOf(err); code != subjects.CodeForbidden && code != subjects.CodeUnauthenticated {
			t.Errorf("%+v: %v", as, err)
		}
	}
	_, err = mesh.Call(t.Context(), h.Conn(t, mesh.UserGateway), subjects.ListEdges, subjects.ListEdgesRequest{}, h.as)
	if subjects.CodeOf(err) != subjects.CodeForbidden {
		t.Errorf("a user lists the edges: %v", err)
	}
}

// TestRevocationsReachTheEdge ends a session, a consent and an enrolment at the hub.
func TestRevocationsReachTheEdge(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	own := h.createWorkflow(t, "own", "sensor.read", setTask)
	n := h.startNode(t, "box7", subjects.Enrolment{Users: []string{h.user}, Workflows: []string{own}})
	n.contacted(t)
	session := actortest.User()
	as := mesh.As{Token: h.Token(t, h.user, actortest.WithSession(session))}
	if _, err := publish(t, n.Mesh, as, "e1", "x"); err != nil {
		t.Fatal(err)
	}
	h.RevokeSession(t, h.user, session)
	actortest.Eventually(t, "the edge refuses the session", func() bool {
		_, err := publish(t, n.Mesh, as, "e2", "x")
		return subjects.CodeOf(err) == subjects.CodeUnauthenticated
	})
	actortest.Eventually(t, "the workflow is installed", func() bool { return len(n.mustPublish(t, actortest.User(), "sensor.read").Started) == 1 })
	h.Revoke(t, h.user, subjects.ScopeWorkflowsExecute)
	start := func() error {
		_, err := mesh.Call(t.Context(), n.Conn(t, mesh.UserGateway), subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: own}, h.as)
		return err
	}
	actortest.Eventually(t, "the edge refuses without consent", func() bool { return subjects.CodeOf(start()) == subjects.CodeConsentRequired })
	h.Consent(t, h.user, subjects.ScopeWorkflowsExecute)
	actortest.Eventually(t, "the edge starts with consent", func() bool { return start() == nil })
	h.Block(t, h.user, true)
	actortest.Eventually(t, "the edge refuses a blocked account", func() bool { return start() != nil })
	h.Block(t, h.user, false)
	actortest.Eventually(t, "the edge takes the account again", func() bool { return start() == nil })
	h.set(t, "box7", subjects.Enrolment{})
	actortest.Eventually(t, "the edge refuses the user", func() bool { return reasonOf(start()) == subjects.ReasonEdgeNotEnrolled })
}

// TestStolenEdge revokes an edge node that keeps its credentials.
func TestStolenEdge(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	n := h.startNode(t, "box7", subjects.Enrolment{Users: []string{h.user}})
	n.contacted(t)
	if err := embedded.Revoke(h.Dir, subjects.KindEdge, "box7"); err != nil {
		t.Fatal(err)
	}
	h.publishEnrolled(t)
	before := time.Now()
	actortest.Eventually(t, "the hub closes the connection", func() bool { return !n.status(t).Linked })
	if took := time.Since(before); took > 5*time.Second {
		t.Errorf("the hub closed the connection after %s", took)
	}
	n.mustPublish(t, "stolen", "x") // the edge may act until its lease ends
	actortest.Eventually(t, "the hub does not list the edge", func() bool { return len(h.edges(t)) == 0 })
	actortest.Eventually(t, "the message stays at the edge", func() bool { s := n.status(t); return !s.Linked && s.Outbox.Messages == 1 })
}

// TestRestartWithoutHub starts an edge with the state of its enrolment and never reaches the hub.
func TestRestartWithoutHub(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	own := h.createWorkflow(t, "own", "sensor.read", setTask)
	seed := h.enroll(t, "box7", subjects.Enrolment{Users: []string{h.user}, Workflows: []string{own}})
	state := h.firstContact(t, "box7", seed)
	relay := actortest.NewRelay(t, h.LeafAddress())
	relay.Cut(true)
	n := h.startNodeThrough(t, "box7", seed, relay.Address(), relay, func(o *edge.Options) { o.First = state })
	actortest.Eventually(t, "the workflow is installed", func() bool { return len(n.mustPublish(t, actortest.User(), "sensor.read").Started) == 1 })
	n.restart(t)
	if done := n.mustPublish(t, "after", "sensor.read"); len(done.Started) != 1 {
		t.Errorf("after a restart the event started %v", done.Started)
	}
}

// firstContact makes the contact of an enrolment.
func (h *hub) firstContact(t testing.TB, name string, seed []byte) *edge.State {
	t.Helper()
	dir := t.TempDir()
	if _, err := embedded.Init(dir, embedded.Options{Port: -1, Sync: embedded.SyncInterval, Edge: true}); err != nil {
		t.Fatal(err)
	}
	server, err := embedded.StartEdge(t.Context(), dir, embedded.Leaf{Name: name, URLs: []string{"nats://" + h.LeafAddress()}, Seed: seed}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	conn, err := server.LocalConn(embedded.AccountHub, "first", mesh.InboxPrefix("edge-"+name))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var state *edge.State
	actortest.Eventually(t, "the first contact", func() bool {
		state, err = edge.First(t.Context(), name, "test", conn, server.Link)
		return err == nil
	})
	return state
}

// TestCredentials reads credentials that others may read, or that are incomplete.
func TestCredentials(t *testing.T) {
	t.Parallel()
	if _, err := edge.LoadCredentials(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("missing credentials are accepted")
	}
	for _, c := range []edge.Credentials{{}, {Name: "a", Issuer: "i", Audience: "a", Seed: "SU"}} {
		if c.Check() == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
