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

// Origins of events, as the metric workflow_events_total has them.
const (
	eventPublished = "published"
	eventEmitted   = "emitted"
	eventWebhook   = "webhook"
	eventLifecycle = "lifecycle"
	eventExtension = "extension"
)

// triggers routes events to the executions that listen for them and to the schedules that they start.
type triggers struct {
	actors.Deps

	config      Config
	engine      *engine.Engine
	definitions *definitions
	correlator  *correlator
	starts      *eventStarter
	metrics     *metrics
	// edgeOf returns the edge node that runs a workflow of a user, in place of this process; empty if none does.
	edgeOf func(ctx context.Context, userID, workflowID string) (string, error)
}

// route delivers an event to the user's executions that listen for it, and starts the workflows whose schedules match it. It
// returns the ids of the executions started and the number of executions that took the event. cause is the origin of what it starts,
// without kind and id. After a transient error the
// caller must route the event again: nothing is started or delivered twice.
func (t *triggers) route(
	ctx context.Context, userID string, event cloudEvent, cause engine.Origin, origin string,
) (started []string, delivered int, err error) {
	t.metrics.events.WithLabelValues(origin).Inc()
	// Deliver first: an execution that the event starts may listen for it as well, and did not when it came.
	if delivered, err = t.engine.Deliver(ctx, userID, event); err != nil {
		return nil, delivered, err
	}
	started, err = t.start(ctx, userID, event, cause)
	return started, delivered, err
}

// startOnly is route without the delivery to executions, for an event that is too large for one.
func (t *triggers) startOnly(ctx context.Context, userID string, event cloudEvent, origin string) error {
	t.metrics.events.WithLabelValues(origin).Inc()
	_, err := t.start(ctx, userID, event, engine.Origin{})
	return err
}

// start starts the user's workflows whose schedules match an event. The executions' ids are derived from the event's source
// and id, so that a repeated event starts nothing again.
func (t *triggers) start(ctx context.Context, userID string, event cloudEvent, cause engine.Origin) ([]string, error) {
	rows, err := eventSchedules(ctx, t.DB.DB, userID)
	if err != nil {
		return nil, err
	}
	started := []string{}
	for _, row := range rows {
		if edge, err := t.edgeOf(ctx, userID, row.WorkflowID); err != nil || edge != "" {
			if err != nil {
				return nil, err
			}
			continue
		}
		def, _, err := t.definitions.plan(ctx, row.WorkflowID, row.Version)
		if err != nil {
			return nil, err
		}
		if machine.CorrelatesEvents(def) {
			ids, err := t.correlator.correlate(ctx, row, def, event, cause)
			if err != nil {
				return nil, err
			}
			started = append(started, ids...)
			continue
		}
		input, matches, failed := machine.Trigger(def, event, t.Now())
		if !matches && failed == nil {
			continue
		}
		var refusal error
		if failed != nil {
			refusal = subjects.Errorf(subjects.CodeInvalid, "%s", failed.Error())
		}
		id := derivedID(row.WorkflowID, "event/"+event.text("source")+"\x00"+event.text("id"))
		refused, err := t.starts.start(ctx, row, id, string(language.Canonical(input)), cause, refusal)
		if errors.Is(err, engine.ErrSchedulePaused) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !refused {
			started = append(started, id)
		}
	}
	return started, nil
}

// eventStarter starts executions of event schedules, and records the starts that are refused.
type eventStarter struct {
	actors.Deps

	config     Config
	executions *executions
	failures   *failures
}

// start starts one execution of a schedule. If that fails for a reason that does not pass, or a refusal is given, it records a
// refused start and notifies the user if it is the first since one succeeded. It returns an error if the start may succeed
// later: the schedule is paused, or the error is transient. What a cancelled execution has led to is not started, without a record.
func (s *eventStarter) start(ctx context.Context, row scheduleRow, id, input string, cause engine.Origin, refusal error) (refused bool, err error) {
	switch {
	case len(input) > s.config.MaxInput:
		if refusal == nil {
			refusal = errEventTooLarge(len(input), s.config.MaxInput)
		}
		input = "null" // too large to store
	case refusal == nil:
		refusal = s.executions.startOnce(ctx, startRequest{
			userID: row.UserID, workflowID: row.WorkflowID, version: row.Version, executionID: id, input: input,
			origin: cause.As(engine.OriginEvent, row.ID), scheduleID: row.ID, authored: true,
		})
	}
	if errors.Is(refusal, errTreeCancelled) {
		return true, nil
	}
	if refusal != nil && (subjects.Transient(refusal) || errors.Is(refusal, engine.ErrSchedulePaused)) {
		return false, refusal
	}
	if refusal == nil && row.RefusedAt == 0 {
		return false, nil
	}
	first := row.RefusedAt == 0
	return refusal != nil, s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		row := row
		row.RefusedAt, row.RefusedReason = 0, ""
		if refusal != nil {
			row.RefusedAt, row.RefusedReason = s.Now().UnixMicro(), engine.FaultOf(refusal).Detail
		}
		if err := overrideSchedule(ctx, tx, row, "refused_at", "refused_reason"); err != nil || refusal == nil {
			return err
		}
		return s.failures.recordRefusedStart(ctx, tx, refusedStartRow{
			ID: id, UserID: row.UserID, WorkflowID: row.WorkflowID, Version: row.Version, Name: row.Name,
			Cause: "event", Input: input, CreatedAt: s.Now().UnixMicro(),
		}, refusal, first)
	})
}
