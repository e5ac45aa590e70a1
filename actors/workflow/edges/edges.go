package edges

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// connectedWithin is the age of the last contact up to which an edge node counts as connected.
const connectedWithin = 10 * time.Second

// enrolledFor is for how long the list of enrolled users is used that was read.
const enrolledFor = time.Second

// Workflows reads the current versions of workflows by their ids; those that do not exist are left out.
type Workflows func(ctx context.Context, ids []string) ([]subjects.EdgeWorkflow, error)

// Hub serves edge nodes.
type Hub struct {
	actors.Deps

	lease     time.Duration
	workflows Workflows
	mirrored  *mirrored

	mu       sync.Mutex
	enrolled []mesh.Enrolled
	readAt   time.Time
}

// New returns the hub's side, which grants leases of the given length.
func New(deps actors.Deps, lease time.Duration, workflows Workflows) *Hub {
	return &Hub{Deps: deps, lease: lease, workflows: workflows, mirrored: &mirrored{conn: deps.Conn}}
}

// Bindings are the endpoints.
func (h *Hub) Bindings() []actors.Binding {
	return []actors.Binding{
		actors.Bind(subjects.ContactEdge, h.contact),
		actors.Bind(subjects.SyncEdge, h.sync),
		actors.Bind(subjects.ReceiveEdge, h.receive),
		actors.Bind(subjects.ListEdges, h.list),
	}
}

// users returns the enrolled users, as they were at most a second ago.
func (h *Hub) users(ctx context.Context) ([]mesh.Enrolled, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.readAt) < enrolledFor {
		return h.enrolled, nil
	}
	list, err := mesh.FetchEnrolled(ctx, h.Conn.JS)
	if err != nil {
		return nil, &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "the enrolled edge nodes cannot be read at present", RetryAfter: subjects.RetrySoon, Cause: err,
		}
	}
	h.enrolled, h.readAt = list, time.Now()
	return list, nil
}

// Enrolment returns what an edge node is enrolled for. The error is CodeForbidden for one that is not enrolled, or not any more.
func (h *Hub) Enrolment(ctx context.Context, name string) (subjects.Enrolment, error) {
	list, err := h.users(ctx)
	if err != nil {
		return subjects.Enrolment{}, err
	}
	for _, user := range list {
		if user.Kind == subjects.KindEdge && user.Name == name {
			if user.Edge == nil {
				return subjects.Enrolment{}, nil
			}
			return *user.Edge, nil
		}
	}
	return subjects.Enrolment{}, &subjects.Error{
		Code: subjects.CodeForbidden, Reason: subjects.ReasonEdgeNotEnrolled, Detail: "the edge node " + name + " is not enrolled",
	}
}

// EdgeOf returns the edge node that runs a workflow; empty if none does. Schedules and events start such a workflow at the edge and not here.
func (h *Hub) EdgeOf(ctx context.Context, userID, workflowID string) (string, error) {
	list, err := h.users(ctx)
	if err != nil {
		return "", err
	}
	for _, user := range list {
		if user.Edge != nil && slices.Contains(user.Edge.Workflows, workflowID) && slices.Contains(user.Edge.Users, userID) {
			return user.Name, nil
		}
	}
	return "", nil
}

// caller returns the calling edge node and what it is enrolled for.
func (h *Hub) caller(ctx context.Context) (string, subjects.Enrolment, error) {
	name := actors.CallerFrom(ctx).Name
	enrolment, err := h.Enrolment(ctx, name)
	return name, enrolment, err
}

func (h *Hub) contact(ctx context.Context, r subjects.ContactEdgeRequest) (subjects.EdgeContact, error) {
	name, enrolment, err := h.caller(ctx)
	if err != nil {
		return subjects.EdgeContact{}, err
	}
	revisions := map[string]string{}
	for _, kind := range subjects.EdgeSections() {
		s, err := h.section(ctx, kind, enrolment)
		if err != nil {
			return subjects.EdgeContact{}, err
		}
		revisions[kind] = s.revision
	}
	now := h.Now()
	row := edgeRow{
		Name: name, LastSeen: now.UnixMicro(), LeaseUntil: now.Add(h.lease).UnixMicro(), Version: r.Version, Hub: r.Hub,
		OutboxMessages: r.OutboxMessages, OutboxBytes: r.OutboxBytes, LagMS: r.LagMS, Refused: r.Refused, SkewMS: r.SkewMS,
	}
	err = h.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return putEdge(ctx, tx, row) })
	if err != nil {
		return subjects.EdgeContact{}, err
	}
	return subjects.EdgeContact{Now: h.Now(), LeaseMS: h.lease.Milliseconds(), Enrolment: enrolment, Revisions: revisions}, nil
}

// pageBytes bounds a page of a section, in bytes of its values, except that one value is always in it.
const pageBytes = 512 << 10

func (h *Hub) sync(ctx context.Context, r subjects.SyncEdgeRequest) (subjects.EdgeSection, error) {
	_, enrolment, err := h.caller(ctx)
	if err != nil {
		return subjects.EdgeSection{}, err
	}
	s, err := h.section(ctx, r.Section, enrolment)
	if err != nil {
		return subjects.EdgeSection{}, err
	}
	page := subjects.EdgeSection{Revision: s.revision, Items: []subjects.EdgeItem{}}
	size := 0
	for _, item := range s.items {
		if item.Key <= r.After {
			continue
		}
		if size += len(item.Key) + len(item.Value); size > pageBytes && len(page.Items) > 0 {
			page.More = true
			break
		}
		page.Items = append(page.Items, item)
	}
	return page, nil
}

func (h *Hub) receive(ctx context.Context, r subjects.ReceiveEdgeRequest) (subjects.EdgeReceipt, error) {
	name, _, err := h.caller(ctx)
	if err != nil {
		return subjects.EdgeReceipt{}, err
	}
	if !slices.IsSortedFunc(r.Messages, func(a, b subjects.EdgeMessage) int { return cmp.Compare(a.Sequence, b.Sequence) }) {
		return subjects.EdgeReceipt{}, subjects.InvalidField("messages", "must be in the order of their sequences")
	}
	receipt := subjects.EdgeReceipt{}
	err = h.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		from, err := through(ctx, tx, name, r.Outbox)
		if err != nil {
			return err
		}
		receipt.Through = uint64(from)
		var messages []outbox.Message
		for _, m := range r.Messages {
			if m.Sequence <= receipt.Through {
				continue
			}
			message, err := h.delivery(name, r.Outbox, m)
			if err != nil {
				return err
			}
			messages = append(messages, message)
			receipt.Through = m.Sequence
		}
		if len(messages) == 0 {
			return nil
		}
		if err := advance(ctx, tx, name, r.Outbox, from, int64(receipt.Through), len(messages), h.Now()); err != nil {
			return err
		}
		return h.Outbox.Add(ctx, tx, messages...)
	})
	return receipt, err
}

// delivery returns the event for a message of an edge node.
func (h *Hub) delivery(edge, from string, m subjects.EdgeMessage) (outbox.Message, error) {
	event := subjects.EdgeDelivered.New(h.NewID(), m.UserID, h.Now(), subjects.EdgeDelivery{Edge: edge, EdgeMessage: m})
	data, err := subjects.Encode(event)
	return outbox.Message{ID: "edge." + event.ID, Subject: subjects.EdgeDelivered.Subject, Key: edge + "." + from + "." + m.UserID, Data: data}, err
}

func (h *Hub) list(ctx context.Context, r subjects.ListEdgesRequest) (subjects.Page[subjects.Edge], error) {
	var page subjects.Page[subjects.Edge]
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return page, err
	}
	users, err := h.users(ctx)
	if err != nil {
		return page, err
	}
	var edges []mesh.Enrolled
	for _, user := range users {
		if user.Kind == subjects.KindEdge && user.Name > after[0] {
			edges = append(edges, user)
		}
	}
	slices.SortFunc(edges, func(a, b mesh.Enrolled) int { return strings.Compare(a.Name, b.Name) })
	edges = edges[:min(len(edges), r.PageLimit()+1)]
	names := make([]string, 0, len(edges))
	for _, user := range edges {
		names = append(names, user.Name)
	}
	if len(names) == 0 {
		return actors.PageOf([]subjects.Edge{}, r.PageLimit(), nil), nil
	}
	rows, err := edgesNamed(ctx, h.DB.DB, names)
	if err != nil {
		return page, err
	}
	received, err := receivedBy(ctx, h.DB.DB, names)
	if err != nil {
		return page, err
	}
	items := make([]subjects.Edge, 0, len(edges))
	for _, user := range edges {
		items = append(items, h.resource(user, rows[user.Name], received[user.Name]))
	}
	return actors.PageOf(items, r.PageLimit(), func(e subjects.Edge) []string { return []string{e.Name} }), nil
}

func (h *Hub) resource(user mesh.Enrolled, row edgeRow, received int64) subjects.Edge {
	edge := subjects.Edge{
		Name: user.Name, EnrolledAt: user.At, Status: "never_seen", Version: row.Version, Hub: row.Hub, SkewMS: row.SkewMS, Received: received,
		Outbox: subjects.OutboxState{Messages: row.OutboxMessages, Bytes: row.OutboxBytes, LagMS: row.LagMS, Refused: row.Refused},
	}
	if user.Edge != nil {
		edge.Enrolment = *user.Edge
	}
	if row.Name == "" {
		return edge
	}
	seen, until := time.UnixMicro(row.LastSeen).UTC(), time.UnixMicro(row.LeaseUntil).UTC()
	edge.LastSeen, edge.LeaseUntil, edge.Status = &seen, &until, "disconnected"
	if h.Now().Sub(seen) < connectedWithin {
		edge.Status = "connected"
	}
	return edge
}
