package workflow

import (
	"context"
	"encoding/json"
	"errors"
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
	// scheduleBatch bounds the schedules of one search.
	scheduleBatch = 50
	// claimTimeout is how long a pass may take before another process takes the schedule over.
	claimTimeout = 10 * time.Second
	// blockedSchedulePoll is the time between two looks whether the account of a schedule is still blocked.
	blockedSchedulePoll = 2 * time.Second
)

// scheduler starts the runs of schedules. Every process runs one. A pass over a schedule is claimed in the schedule's row,
// and a run's execution id is derived from its nominal time, so that passes that overlap start the same execution.
type scheduler struct {
	actors.Deps

	engine      *engine.Engine
	definitions *definitions
	executions  *executions
	failures    *failures
	correlator  *correlator
	metrics     *metrics
	bounds      *bounds
	// changed wakes run after a change in this process.
	changed chan struct{}
}

// run makes a pass over each schedule that is due, until ctx ends.
func (s *scheduler) run(ctx context.Context) error {
	for {
		due, next, err := dueSchedules(ctx, s.DB.DB, s.Now(), scheduleBatch)
		if err != nil {
			return err
		}
		for _, row := range due {
			err := s.pass(ctx, row)
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the process stops; the next one continues
			}
			if err != nil {
				s.Log.Warn("making a scheduler pass", zap.String("schedule_id", row.ID), zap.Error(err))
			}
		}
		pause := schedulePoll
		if !next.IsZero() {
			pause = min(pause, max(time.Millisecond, next.Sub(s.Now())))
		}
		if len(due) > 0 {
			pause = time.Millisecond
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		case <-s.changed:
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

// pass makes one pass over a schedule: it materialises the runs that have become due and dispatches them. It does nothing if
// another process has claimed the schedule.
func (s *scheduler) pass(ctx context.Context, row scheduleRow) error {
	now := s.Now()
	if s.Guard.Blocked(row.UserID) {
		return s.postpone(ctx, row, now.Add(blockedSchedulePoll))
	}
	row.WakeAt = now.Add(claimTimeout).UnixMicro()
	claimed := false
	err := s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		claim := row
		claimed, err = updateSchedule(ctx, tx, &claim, "wake_at")
		return err
	})
	row.Revision++
	if err != nil || !claimed {
		return err
	}
	def, plan, err := s.definitions.plan(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return err
	}
	p := &pass{scheduler: s, row: row, def: def, plan: plan, now: now}
	if err := p.startCorrelated(ctx); err != nil {
		return err
	}
	if err := p.materialise(ctx); errors.Is(err, errScheduleChanged) {
		return nil // the change has made another pass due
	} else if err != nil {
		return err
	}
	if err := p.dispatch(ctx); err != nil {
		return err
	}
	p.row.WakeAt = p.wakeAt()
	return s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		row := p.row
		_, err := updateSchedule(ctx, tx, &row, "wake_at", "nominal_until", "after_from", "refused_at", "refused_reason")
		return err
	})
}

// postpone lets the next pass wait while the user's account is blocked. Once it is not, the runs that became due meanwhile are
// treated as after an outage.
func (s *scheduler) postpone(ctx context.Context, row scheduleRow, until time.Time) error {
	row.WakeAt = until.UnixMicro()
	return s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		_, err := updateSchedule(ctx, tx, &row, "wake_at")
		return err
	})
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
