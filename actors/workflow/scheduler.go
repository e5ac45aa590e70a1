package workflow

import (
	"context"
	"encoding/json"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/schedule"
)

const (
	// schedulePoll is the time between two searches for due schedules, which another process may have changed.
	schedulePoll = 500 * time.Millisecond
	// scheduleWorkers is for how many users passes are made at a time, scheduleGroup how many schedules of a user one of them takes.
	scheduleWorkers = 8
	scheduleGroup   = 32
	// scheduleStarts is for how many schedules of a group runs are started at a time.
	scheduleStarts = 4
	// claimTimeout is how long a pass may take before another process takes the schedule over.
	claimTimeout = 10 * time.Second
	// blockedSchedulePoll is the time between two looks whether the account of a schedule is still blocked.
	blockedSchedulePoll = 2 * time.Second
)

// scheduler starts the runs of schedules. Every process runs one. A pass over a schedule is claimed in the schedule's row,
// and a run's execution id is derived from its nominal time, so that passes that overlap start the same execution.
//
// Users take turns: passes are made for one group of a user's schedules at a time, and a user's next group comes after one of each
// other user whose schedules are due. What a group writes is two transactions, however many schedules it has.
type scheduler struct {
	actors.Deps

	engine      *engine.Engine
	definitions *definitions
	executions  *executions
	failures    *failures
	correlator  *correlator
	metrics     *metrics
	bounds      *bounds
	// edgeOf is triggers.edgeOf.
	edgeOf func(ctx context.Context, userID, workflowID string) (string, error)
	// changed wakes run after a change in this process.
	changed chan struct{}
}

// run makes a pass over each schedule that is due, until ctx ends.
func (s *scheduler) run(ctx context.Context) error {
	turns := newScheduleTurns(scheduleWorkers)
	defer turns.wait()
	for {
		due, next, err := dueUsers(ctx, s.DB.DB, s.Now())
		if err != nil {
			return err
		}
		for _, userID := range turns.order(due) {
			turns.run(userID, func() {
				if err := s.serve(ctx, userID); err != nil && ctx.Err() == nil {
					s.Log.Warn("making scheduler passes", zap.String("user_id", userID), zap.Error(err))
				}
			})
		}
		pause := schedulePoll
		if !next.IsZero() {
			pause = min(pause, max(time.Millisecond, next.Sub(s.Now())))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		case <-s.changed:
		case <-turns.ended:
		}
	}
}

// notify wakes this process's scheduler.
func (s *scheduler) notify() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// apply makes a workflow's schedule what its new version declares. A schedule with the same timing continues; any other starts
// anew.
func (s *scheduler) apply(ctx context.Context, tx database.Tx, workflow workflowRow, def *language.Workflow) error {
	plan, _ := schedule.FromWorkflow(def)
	switch {
	case plan == nil && workflow.Version == 1:
		return nil
	case plan == nil:
		return deleteSchedule(ctx, tx, workflow.ID)
	}
	now := s.Now().UnixMicro()
	declared := scheduleRow{
		ID: scheduleID(workflow.ID), UserID: workflow.UserID, WorkflowID: workflow.ID, Name: def.Document.Name,
		Version: workflow.Version, Kind: string(plan.Kinds[0]), Listens: plan.Has(schedule.On), Timing: timingOf(plan), Anchor: now,
		NominalUntil: now, WakeAt: now, CreatedAt: now,
	}
	if plan.After > 0 {
		declared.AfterFrom = now
	}
	s.DB.AfterCommit(ctx, s.notify)
	row, err := findSchedule(ctx, tx, workflow.UserID, declared.ID)
	if engine.IsNotFound(err) {
		if err := s.bounds.Reserve(ctx, tx, s.bounds.schedules, workflow.UserID, 1); err != nil {
			return err
		}
		return engine.Insert(ctx, tx, &declared)
	}
	if err != nil {
		return err
	}
	if plan.Has(schedule.On) {
		err = deleteStaleCorrelations(ctx, tx, declared.ID, correlationTerms(def))
	} else {
		err = deleteCorrelations(ctx, tx, declared.ID)
	}
	if err != nil {
		return err
	}
	if row.Timing == declared.Timing {
		declared.Anchor, declared.NominalUntil, declared.AfterFrom = row.Anchor, row.NominalUntil, row.AfterFrom
	}
	return overrideSchedule(ctx, tx, declared, "name", "version", "kind", "listens", "timing", "anchor", "nominal_until", "after_from",
		"wake_at")
}

// timingOf returns what determines a plan's nominal times.
func timingOf(p *schedule.Plan) string {
	data, err := json.Marshal([]any{p.Kinds, p.Cron, p.Zone, p.Every.String(), p.After.String()})
	if err != nil {
		return ""
	}
	return string(data)
}
