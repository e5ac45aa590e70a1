package workflow

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) publishEvent(ctx context.Context, r subjects.PublishEventRequest) (subjects.PublishedEvent, error) {
	event, err := readEvent(r, a.config.MaxInput, a.Now())
	if err != nil {
		return subjects.PublishedEvent{}, err
	}
	// Correlated events must be committed before anything starts with them. Publishing twice is harmless under any key.
	ctx = a.DB.Detached(ctx)
	started, delivered, err := a.triggers.route(ctx, actors.CallerFrom(ctx).UserID, event, engine.Origin{}, eventPublished)
	if err != nil {
		return subjects.PublishedEvent{}, err
	}
	if a.Edge != nil { // afterwards, so that a full outbox has the caller repeat an event that starts nothing twice
		if err := a.tellHub(ctx, actors.CallerFrom(ctx).UserID, event); err != nil {
			return subjects.PublishedEvent{}, err
		}
	}
	return subjects.PublishedEvent{ID: event.text("id"), Source: event.text("source"), Started: started, Delivered: delivered}, nil
}
