package actors

import (
	"context"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// Edge is what an actor is given at an edge node. It is nil elsewhere.
type Edge struct {
	// Permit refuses everything past the edge's lease (CodeUnavailable), and what is done for a user whom the edge is not enrolled for
	// (CodeForbidden). An empty user is that of a request without one.
	Permit func(userID string) error
	// Keep keeps a message for the hub, once for an id within ten minutes. The error is CodeUnavailable with ReasonEdgeOutboxFull if the outbox is full.
	Keep func(ctx context.Context, id string, m subjects.EdgeMessage) error
	// Workflows returns the workflows that the edge is enrolled for, and a channel that is closed when they may have changed. known is false
	// before the first contact with the hub.
	Workflows func() (list []subjects.EdgeWorkflow, known bool, changed <-chan struct{})
	// AsOf is the time of the last contact with the hub: what the edge knows of it is at most that old.
	AsOf func() time.Time
}
