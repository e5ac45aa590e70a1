package subjects

import (
	"encoding/json"
	"time"
)

// Bounds of what an edge node sends and is enrolled for.
const (
	// MaxEdgeBatch is the most messages of one request to receive_edge.
	MaxEdgeBatch = 500
	// MaxEdgeEntries is the most users, and the most workflows, that an edge node is enrolled for.
	MaxEdgeEntries = 100
)

// Enrolment is what an edge node is enrolled for: it acts for these users only, and runs these workflows of theirs.
type Enrolment struct {
	Users     []string `json:"users,omitempty" maxItems:"100"`
	Workflows []string `json:"workflows,omitempty" maxItems:"100"`
}

// ContactEdgeRequest is what an edge node reports at each contact.
type ContactEdgeRequest struct {
	Version        string `json:"version" maxLength:"128" doc:"Version of the edge's binary."`
	Hub            string `json:"hub" maxLength:"512" doc:"The address of the hub that the edge dials."`
	OutboxMessages int64  `json:"outbox_messages" minimum:"0" doc:"Messages that the hub has not acknowledged."`
	OutboxBytes    int64  `json:"outbox_bytes" minimum:"0"`
	LagMS          int64  `json:"lag_ms" minimum:"0" doc:"Age of the oldest message of the outbox, in milliseconds."`
	SkewMS         int64  `json:"skew_ms" doc:"The hub's clock less the edge's as last measured, in milliseconds."`
	Refused        int64  `json:"refused" minimum:"0" doc:"Messages that a full outbox has refused since the edge started."`
}

// EdgeContact is the hub's answer to a contact.
type EdgeContact struct {
	// Now is the hub's clock.
	Now time.Time `json:"now"`
	// LeaseMS is for how long the edge may act without another contact, in milliseconds from the moment at which it asked.
	LeaseMS   int64     `json:"lease_ms"`
	Enrolment Enrolment `json:"enrolment"`
	// Revisions has a text for each section of sync_edge that changes with the section.
	Revisions map[string]string `json:"revisions"`
}

// ContactEdge renews the lease of an edge node.
var ContactEdge = declare(Endpoint[ContactEdgeRequest, EdgeContact]{
	Subject: "weft.v1.workflow.contact_edge", Access: EnrolledUsers(KindEdge), ReadOnly: true, Concurrency: 256,
	Summary: "Renew the lease of an edge node",
	Doc: "Takes an edge node's report and grants it a lease (workflow.edge_lease). The answer says what the edge is enrolled for, and which " +
		"sections of sync_edge have changed. Only edge nodes may call it.",
})

// Sections of SyncEdge. Keys and values are those of the hub's buckets, except those of workflows.
const (
	// EdgeKeys has the public keys that verify access tokens.
	EdgeKeys = "keys"
	// EdgeRevoked has the revoked sessions.
	EdgeRevoked = "revoked"
	// EdgeBlocked has the blocked accounts among the edge's users.
	EdgeBlocked = "blocked"
	// EdgeConsents has the states of the consents of the edge's users.
	EdgeConsents = "consents"
	// EdgeWorkflows has the edge's workflows by id; a value is an EdgeWorkflow.
	EdgeWorkflows = "workflows"
)

// EdgeSections returns the sections of SyncEdge.
func EdgeSections() []string {
	return []string{EdgeKeys, EdgeRevoked, EdgeBlocked, EdgeConsents, EdgeWorkflows}
}

// EdgeWorkflow is the current version of a workflow that an edge node is enrolled for.
type EdgeWorkflow struct {
	WorkflowID string `json:"workflow_id"`
	UserID     string `json:"user_id"`
	Version    int    `json:"version"`
	// Definition is the resolved definition.
	Definition json.RawMessage `json:"definition"`
	// Keys and Scopes restrict the workflow's scheduled runs to what the API keys may do that it was created with.
	Keys   string `json:"keys,omitempty"`
	Scopes string `json:"scopes,omitempty"`
}

// SyncEdgeRequest asks for a section, page by page.
type SyncEdgeRequest struct {
	Section string `json:"section" enum:"keys,revoked,blocked,consents,workflows"`
	After   string `json:"after,omitempty" maxLength:"512" doc:"The last key of the previous page."`
}

// EdgeItem is one entry of a section.
type EdgeItem struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// EdgeSection is a page of a section.
type EdgeSection struct {
	// Revision changes with the section. Pages with different revisions do not belong together: begin again.
	Revision string     `json:"revision"`
	Items    []EdgeItem `json:"items"`
	More     bool       `json:"more,omitempty" doc:"More pages follow; ask for those after the last key."`
}

// SyncEdge returns what an edge node mirrors.
var SyncEdge = declare(Endpoint[SyncEdgeRequest, EdgeSection]{
	Subject: "weft.v1.workflow.sync_edge", Access: EnrolledUsers(KindEdge), ReadOnly: true,
	Summary: "Read what an edge node mirrors",
	Doc: "Returns a page of a section: the public keys that verify access tokens, revoked sessions, and of the users and workflows that the edge " +
		"is enrolled for the blocked accounts, the states of consents and the definitions. Only edge nodes may call it.",
})

// Kinds of EdgeMessage.
const (
	// EdgeEvent is a CloudEvent in JSON that a user published at the edge.
	EdgeEvent = "event"
	// EdgeNotification is a SendNotificationRequest of an execution at the edge.
	EdgeNotification = "notification"
	// EdgeFailed is the data of ExecutionsFailed, EdgeFinished that of ExecutionsFinished, of executions at the edge.
	EdgeFailed   = "failed"
	EdgeFinished = "finished"
)

// EdgeMessage is a message of an edge node's outbox.
type EdgeMessage struct {
	// Sequence is the message's position in the outbox.
	Sequence uint64    `json:"sequence" minimum:"1"`
	Kind     string    `json:"kind" enum:"event,notification,failed,finished"`
	At       time.Time `json:"at" doc:"When the edge accepted it, by the clock of the hub as the edge knew it."`
	UserID   string    `json:"user_id" minLength:"1" maxLength:"64"`
	// ConsentID and Scope name the consent under which an execution sends a notification, Keys and Scopes the API keys that caused it.
	ConsentID string          `json:"consent_id,omitempty" maxLength:"64"`
	Scope     string          `json:"scope,omitempty" maxLength:"64"`
	Keys      string          `json:"keys,omitempty" maxLength:"4096"`
	Scopes    string          `json:"scopes,omitempty" maxLength:"4096"`
	Data      json.RawMessage `json:"data"`
}

// ReceiveEdgeRequest carries messages of an edge node's outbox, in order.
type ReceiveEdgeRequest struct {
	// Outbox identifies the outbox, whose sequences begin again where it is created again.
	Outbox   string        `json:"outbox" minLength:"1" maxLength:"64"`
	Messages []EdgeMessage `json:"messages" minItems:"1" maxItems:"500"`
}

// EdgeReceipt acknowledges messages.
type EdgeReceipt struct {
	// Through is the highest sequence that the hub has stored. The edge may delete all up to it.
	Through uint64 `json:"through"`
}

// ReceiveEdge stores messages of an edge node's outbox.
var ReceiveEdge = declare(Endpoint[ReceiveEdgeRequest, EdgeReceipt]{
	Subject: "weft.v1.workflow.receive_edge", Access: EnrolledUsers(KindEdge), ReadOnly: true, Timeout: 30 * time.Second,
	Summary: "Store messages of an edge node",
	Doc: "Stores messages of an edge node's outbox, in order, each once: those up to the highest sequence that is stored already are passed over. " +
		"They are then published as events, in the order of a user's messages; one that cannot be processed becomes a dead letter. Only edge nodes may call it.",
})

// EdgeDelivery is a message that the hub has stored for an edge node.
type EdgeDelivery struct {
	Edge string `json:"edge"`
	EdgeMessage
}

// EdgeDelivered is published for each message that an edge node has delivered.
var EdgeDelivered = declareEvent(Event[EdgeDelivery]{
	Subject: "weft.event.v1.workflow.edge_delivered",
	Doc:     "An edge node has delivered a message of its outbox.",
})

// ProcessEdgeDelivery subscribes the workflow actor to the messages of edge nodes.
var ProcessEdgeDelivery = subscribe(Subscription[EdgeDelivery]{
	Event: EdgeDelivered, Owner: "workflow", MaxDeliver: 20,
	Backoff: []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute},
})

// Edge is an edge node as administrators see it.
type Edge struct {
	Name       string      `json:"name"`
	Enrolment  Enrolment   `json:"enrolment"`
	EnrolledAt time.Time   `json:"enrolled_at"`
	Status     string      `json:"status" enum:"never_seen,connected,disconnected" doc:"connected: the last contact was within ten seconds."`
	LastSeen   *time.Time  `json:"last_seen,omitempty" doc:"The last contact. What follows was reported then."`
	LeaseUntil *time.Time  `json:"lease_until,omitempty" doc:"Until when the edge may act without another contact."`
	Version    string      `json:"version,omitempty"`
	Hub        string      `json:"hub,omitempty" doc:"The address of the hub that the edge dials."`
	Outbox     OutboxState `json:"outbox"`
	SkewMS     int64       `json:"skew_ms" doc:"The hub's clock less the edge's, in milliseconds."`
	Received   int64       `json:"received" doc:"Messages of the outbox that the hub has stored."`
}

// OutboxState describes the outbox of an edge node.
type OutboxState struct {
	Messages int64 `json:"messages"`
	Bytes    int64 `json:"bytes"`
	LagMS    int64 `json:"lag_ms" doc:"Age of the oldest message, in milliseconds."`
	Refused  int64 `json:"refused" doc:"Messages that a full outbox has refused since the edge started."`
}

// ListEdgesRequest pages through the edge nodes.
type ListEdgesRequest struct{ PageRequest }

// ListEdges lists the enrolled edge nodes.
var ListEdges = declare(Endpoint[ListEdgesRequest, Page[Edge]]{
	Subject: "weft.v1.workflow.list_edges", Route: "GET /v1/admin/edges", Access: Role(RoleAdmin),
	Summary: "List edge nodes",
	Doc:     "Lists the enrolled edge nodes by name, with what each reported at its last contact.",
})
