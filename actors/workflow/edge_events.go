package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// eventEdge is the origin of events of edge nodes in the metric workflow_events_total.
const eventEdge = "edge"

// edgeDelivered processes a message of an edge node's outbox for the user whom it names, if the edge is enrolled for the user at this moment.
func (a *Actor) edgeDelivered(ctx context.Context, e subjects.Envelope[subjects.EdgeDelivery]) error {
	m := e.Data
	enrolment, err := a.edges.Enrolment(ctx, m.Edge)
	if err != nil {
		return err
	}
	if !slices.Contains(enrolment.Users, m.UserID) {
		return &subjects.Error{
			Code: subjects.CodeForbidden, Reason: subjects.ReasonEdgeNotEnrolled, Detail: "the edge node " + m.Edge + " is not enrolled for the user",
		}
	}
	switch m.Kind {
	case subjects.EdgeEvent:
		if a.Guard.Blocked(m.UserID) {
			return subjects.Errorf(subjects.CodeForbidden, "the account is disabled or deleted")
		}
		event, err := structuredEvent(m.Data, a.config.MaxInput, m.At)
		if err != nil {
			return err
		}
		_, _, err = a.triggers.route(ctx, m.UserID, event, engine.Origin{}, eventEdge)
		return err
	case subjects.EdgeNotification:
		var request subjects.SendNotificationRequest
		if err := json.Unmarshal(m.Data, &request); err != nil {
			return subjects.Errorf(subjects.CodeInvalid, "the notification cannot be read: %v", err)
		}
		request.UserID = m.UserID
		_, err := mesh.Call(ctx, a.Conn, subjects.SendNotification, request, mesh.As{
			Service: true, UserID: m.UserID, Grant: mesh.Grant{UserID: m.UserID, Scope: m.Scope, ConsentID: m.ConsentID},
			Authority: mesh.Authority{Keys: m.Keys, Scopes: m.Scopes},
		})
		return err
	case subjects.EdgeFailed:
		return republish(ctx, a, subjects.ExecutionsFailed, e)
	case subjects.EdgeFinished:
		return republish(ctx, a, subjects.ExecutionsFinished, e)
	}
	return subjects.Errorf(subjects.CodeInvalid, "there is no kind of message %q", m.Kind)
}

// republish publishes what executions at an edge node have come to, as the event that executions at the hub cause.
func republish[T any](ctx context.Context, a *Actor, as subjects.Event[T], e subjects.Envelope[subjects.EdgeDelivery]) error {
	var data T
	if err := json.Unmarshal(e.Data.Data, &data); err != nil {
		return subjects.Errorf(subjects.CodeInvalid, "the executions cannot be read: %v", err)
	}
	message, err := subjects.Encode(as.New(e.ID, e.Data.UserID, e.Data.At, data))
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		return a.Outbox.Add(ctx, tx, outbox.Message{ID: "edge_" + e.ID, Subject: as.Subject, Key: e.Data.UserID, Data: message})
	})
}
