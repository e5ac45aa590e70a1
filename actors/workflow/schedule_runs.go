package workflow

import (
	"cmp"
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

const (
	// minEndPoll and maxEndPoll bound the time between two checks of a running execution that another run waits for.
	minEndPoll = 50 * time.Millisecond
	maxEndPoll = 5 * time.Second
	// projectionGrace is how long a started execution may be missing in SQL before its owner is asked for it.
	projectionGrace = time.Minute
)

// endPoll returns the time until running runs are checked again: a twentieth of the youngest one's age, within bounds.
func endPoll(running []runRow, now time.Time) time.Duration {
	youngest := time.Duration(0)
	for i, run := range running {
		if age := now.Sub(machine.Moment(run.UpdatedAt)); i == 0 || age < youngest {
			youngest = age
		}
	}
	return min(max(youngest/20, minEndPoll), maxEndPoll)
}

// running returns the runs whose executions have not ended. It records the end of the others.
func (p *pass) running(ctx context.Context, open []runRow) ([]runRow, error) {
	var ids []string
	for _, run := range open {
		if run.Status == runStarted {
			ids = append(ids, run.ExecutionID)
		}
	}
	ends, known, err := executionEnds(ctx, p.DB.DB, ids)
	if err != nil {
		return nil, err
	}
	var running []runRow
	for _, run := range open {
		if run.Status != runStarted {
			continue
		}
		end, ended := ends[run.ExecutionID]
		erased := false
		if !known[run.ExecutionID] && p.now.Sub(machine.Moment(run.UpdatedAt)) > projectionGrace {
			// Either the projection is behind, or the execution was erased.
			if _, err := p.engine.Current(ctx, run.ExecutionID); engine.IsNotFound(err) {
				erased = true
			} else if err != nil {
				return nil, err
			}
		}
		if !ended && !erased {
			running = append(running, run)
			continue
		}
		p.end(run, cmp.Or(end, p.now.UnixMicro()))
	}
	return running, nil
}

// end records the end of a run and, for an after schedule, that the next run counts from it: both in the transaction that ends the pass.
func (p *pass) end(run runRow, at int64) {
	run.Status, run.Reason, run.UpdatedAt = runEnded, "", p.now.UnixMicro()
	if p.plan.After > 0 {
		p.row.AfterFrom = max(p.row.AfterFrom, at)
	}
	p.writes = append(p.writes, func(ctx context.Context, tx database.Tx) error {
		if _, err := settleRun(ctx, tx, run, runStarted); err != nil || p.plan.After == 0 {
			return err
		}
		return advanceAfter(ctx, tx, run.ScheduleID, at)
	})
}

// cancel cancels the executions of running runs.
func (p *pass) cancel(ctx context.Context, running []runRow) error {
	for _, run := range running {
		err := p.executions.cancel(ctx, p.row.UserID, run.ExecutionID, "the next run of its schedule is due")
		if code := subjects.CodeOf(err); err != nil && code != subjects.CodeConflict && code != subjects.CodeNotFound {
			return err
		}
	}
	return nil
}

// settle records the status of a run that was due, in the transaction that ends the pass.
func (p *pass) settle(run runRow, status, reason string) {
	from := []string{runDue}
	if status == runStarted {
		from = append(from, runSkipped) // the schedule was paused while the run started
	}
	run.Status, run.Reason, run.UpdatedAt = status, reason, p.now.UnixMicro()
	p.writes = append(p.writes, func(ctx context.Context, tx database.Tx) error {
		settled, err := settleRun(ctx, tx, run, from...)
		if settled {
			p.DB.AfterCommit(ctx, func() { p.metrics.scheduledRuns.WithLabelValues(status).Inc() })
		}
		return err
	})
}

// start starts the execution of a run, or records why it cannot be started. After a transient error the run stays due until it is
// too late for it.
func (p *pass) start(ctx context.Context, run runRow) error {
	nominal := machine.Moment(run.Nominal)
	value, err := p.plan.Input(p.def, nominal, nominal, run.Backfill != 0)
	if err != nil {
		p.refuse(run, "null", subjects.Errorf(subjects.CodeInvalid, "the input of the run cannot be computed: %v", err))
		return nil
	}
	input := string(language.Canonical(value))
	err = p.executions.startOnce(ctx, startRequest{
		userID: p.row.UserID, workflowID: p.row.WorkflowID, executionID: run.ExecutionID, input: input, version: p.row.Version,
		origin: engine.Origin{Kind: engine.OriginSchedule, ID: p.row.ID}, scheduleID: p.row.ID, authored: true,
	})
	switch {
	case err == nil:
		p.row.RefusedAt, p.row.RefusedReason = 0, ""
		p.settle(run, runStarted, "")
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, engine.ErrSchedulePaused): // the pause has settled the run
		return nil
	case subjects.Transient(err):
		p.held = true
		p.hold(run)
		if subjects.CodeOf(err) != subjects.CodeRateLimited { // the user's own doing, as often as the user likes
			p.Log.Warn("starting a scheduled run", zap.String("schedule_id", p.row.ID), zap.Error(err))
		}
		return nil
	}
	p.refuse(run, input, err)
	return nil
}

// hold leaves a run due that cannot be started now, until it is too late for it.
func (p *pass) hold(run runRow) {
	if late := machine.Moment(run.DueAt).Add(p.plan.CatchUp); run.Backfill == 0 && p.now.After(late) {
		p.settle(run, runMissed, "it could not be started in time")
		return
	}
	p.passAgain(p.now.Add(time.Second))
}

// refuse records a run that cannot be started. The user is notified of the first one since a run could be.
func (p *pass) refuse(run runRow, input string, cause error) {
	reason := engine.FaultOf(cause).Detail
	first := p.row.RefusedAt == 0
	if first {
		p.row.RefusedAt = p.now.UnixMicro()
	}
	p.row.RefusedReason = reason
	run.Status, run.Reason, run.UpdatedAt = runRefused, reason, p.now.UnixMicro()
	p.writes = append(p.writes, func(ctx context.Context, tx database.Tx) error {
		settled, err := settleRun(ctx, tx, run, runDue)
		if err != nil || !settled {
			return err
		}
		p.DB.AfterCommit(ctx, func() { p.metrics.scheduledRuns.WithLabelValues(runRefused).Inc() })
		return p.failures.recordRefusedStart(ctx, tx, refusedStartRow{
			ID: run.ExecutionID, UserID: p.row.UserID, WorkflowID: p.row.WorkflowID, Version: p.row.Version, Name: p.row.Name,
			Cause: "schedule", Input: input, CreatedAt: p.now.UnixMicro(),
		}, cause, first)
	})
}
