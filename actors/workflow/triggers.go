package workflow

import (
	"context"
	"errors"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// Where an event comes from.
const (
	eventPublished = "published"
	eventEmitted   = "emitted"
	eventWebhook   = "webhook"
)

// maxDepth bounds how many executions in a row events may start that executions before them have emitted: a circle ends.
const maxDepth = 20

func (a *Actor) publishEvent(ctx context.Context, r subjects.PublishEventRequest) (subjects.PublishedEvent, error) {
	event, err := readEvent(r, a.config.MaxInput, a.Now())
	if err != nil {
		return subjects.PublishedEvent{}, err
	}
	ctx = a.DB.Detached(ctx) // what is gathered is kept before anything starts with it; an event is taken once under any key
	started, delivered, err := a.route(ctx, actors.CallerFrom(ctx).UserID, event, 0, eventPublished)
	if err != nil {
		return subjects.PublishedEvent{}, err
	}
	return subjects.PublishedEvent{ID: event.text("id"), Source: event.text("source"), Started: started, Delivered: delivered}, nil
}

// route hands an event to what it starts, and to the executions that listen for it. After an error that can pass, the whole
// is to be done again: nothing is started or delivered twice.
func (a *Actor) route(ctx context.Context, userID string, event cloudEvent, depth int, origin string) (started []string, delivered int, err error) {
	a.flows.events.WithLabelValues(origin).Inc()
	// Who listens already gets the event first: what it starts may listen too, and began after it.
	if delivered, err = a.engine.Deliver(ctx, userID, event); err != nil {
		return nil, delivered, err
	}
	started, err = a.trigger(ctx, userID, event, depth)
	return started, delivered, err
}

// trigger starts those of a user's workflows whose schedule is on an event, and tells their executions. Their ids are
// derived from the event's source and id: an event that comes again starts nothing again. After an error that can pass,
// the whole is to be done again.
func (a *Actor) trigger(ctx context.Context, userID string, event cloudEvent, depth int) ([]string, error) {
	rows, err := listeningSchedules(ctx, a.DB.DB, userID)
	if err != nil {
		return nil, err
	}
	started := []string{}
	for _, row := range rows {
		def, _, err := a.planOf(ctx, row.WorkflowID, row.Version)
		if err != nil {
			return nil, err
		}
		if machine.CorrelatesEvents(def) {
			whole, err := a.gather(ctx, row, def, event, depth)
			if err != nil {
				return nil, err
			}
			started = append(started, whole...)
			continue
		}
		input, starts := machine.Trigger(def, event, a.Now())
		if !starts {
			continue
		}
		o := order{
			userID: userID, workflowID: row.WorkflowID, version: row.Version, input: string(language.Canonical(input)),
			origin:      engine.Origin{Kind: engine.OriginEvent, ID: row.ID, Depth: depth},
			schedule:    row.ID,
			executionID: derived(row.WorkflowID, "event/"+event.text("source")+"\x00"+event.text("id")),
		}
		refused, err := a.startTriggered(ctx, row, o, nil)
		if errors.Is(err, engine.ErrSchedulePaused) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !refused {
			started = append(started, o.executionID)
		}
	}
	return started, nil
}

// startTriggered starts one execution, or notes that it cannot be started: as with a schedule's, the first refusal since
// one could be started is told to the user. A cause that is given refuses it.
func (a *Actor) startTriggered(ctx context.Context, row scheduleRow, o order, cause error) (refused bool, err error) {
	switch {
	case len(o.input) > a.config.MaxInput:
		if cause == nil {
			cause = tooLargeEvent(len(o.input), a.config.MaxInput)
		}
		o.input = "null" // it is not kept
	case cause == nil:
		cause = a.startExecution(ctx, o)
	}
	if cause != nil && (subjects.Transient(cause) || errors.Is(cause, engine.ErrSchedulePaused)) {
		return false, cause
	}
	if cause == nil && row.RefusedAt == 0 {
		return false, nil
	}
	first := row.RefusedAt == 0
	return cause != nil, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		row := row
		row.RefusedAt, row.RefusedReason = 0, ""
		if cause != nil {
			row.RefusedAt, row.RefusedReason = a.Now().UnixMicro(), engine.FaultOf(cause).Detail
		}
		if err := overrideSchedule(ctx, tx, row, "refused_at", "refused_reason"); err != nil || cause == nil {
			return err
		}
		return a.noteRefused(ctx, tx, refusedRow{
			ID: o.executionID, UserID: o.userID, WorkflowID: o.workflowID, Version: o.version, Name: row.Name,
			Cause: "event", Input: o.input, CreatedAt: a.Now().UnixMicro(),
		}, cause, first)
	})
}
