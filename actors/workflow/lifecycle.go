package workflow

import (
	"context"
	"errors"
	"slices"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// publishLifecycle makes the lifecycle events of what an execution's history has got, and routes those that one of its user's
// workflows receives. They are the same each time, so that a repetition starts and delivers nothing again.
func (a *Actor) publishLifecycle(ctx context.Context, e subjects.Envelope[subjects.ExecutionProgress]) error {
	row, err := a.engine.Stored(ctx, e.Data.ExecutionID)
	if engine.IsNotFound(err) || err == nil && row.UserID != e.UserID {
		return nil // erased since
	}
	if err != nil {
		return err
	}
	def, err := a.definitions.version(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return database.Classify(err)
	}
	wanted, err := lifecycleTypesOf(ctx, a.DB.DB, row.UserID)
	if err != nil || len(wanted) == 0 {
		return database.Classify(err)
	}
	events, err := a.historyOf(ctx, row.ID, e.Data.First-1, e.Data.Last)
	if err != nil {
		return err
	}
	var failed error
	lifecycle := machine.Lifecycle{Def: def, Execution: row.ID, Open: func(sequence uint64) []machine.TaskRun {
		before, err := a.historyOf(ctx, row.ID, 0, int64(sequence)-1)
		failed = errors.Join(failed, err)
		return slices.DeleteFunc(machine.Tasks(before), func(run machine.TaskRun) bool { return run.Status != machine.TaskStatusRunning || run.Extension != "" })
	}}
	made := lifecycle.Of(events)
	if failed != nil {
		return failed
	}
	// What lifecycle events start is not a descendant: it reports also the end of a tree that was cancelled.
	cause := engine.Origin{Depth: row.Origin.Depth + engine.LifecycleDepth}
	for _, event := range made {
		if kind, _ := event["type"].(string); !slices.Contains(wanted, kind) {
			continue
		}
		if _, _, err := a.triggers.route(ctx, row.UserID, event, cause, eventLifecycle); err != nil {
			return err
		}
	}
	return nil
}

// historyOf returns the events of an execution after one sequence and up to another.
func (a *Actor) historyOf(ctx context.Context, id string, after, until int64) ([]machine.Event, error) {
	raw, err := engine.ReadHistory(ctx, a.DB.DB, id, after, int(until-after), 0)
	if err != nil {
		return nil, database.Classify(err)
	}
	return engine.DecodeEvents(raw[:min(int64(len(raw)), max(until-after, 0))])
}
