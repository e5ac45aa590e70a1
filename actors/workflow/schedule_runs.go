package workflow

import (
	"cmp"
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/actors/workflow/schedule"
	"github.com/weftmesh/weft/subjects"
)

// patience is the time until the next look at what runs: short while it is young, longer as it goes on.
func patience(running []runRow, now time.Time) time.Duration {
	youngest := time.Duration(0)
	for i, run := range running {
		if age := now.Sub(machine.Moment(run.UpdatedAt)); i == 0 || age < youngest {
			youngest = age
		}
	}
	return min(max(youngest/20, shortestWait), longestWait)
}

// running are the schedule's runs that go on; those that have ended are noted.
func (d *drive) running(ctx context.Context, open []runRow) ([]runRow, error) {
	var ids []string
	for _, run := range open {
		if run.Status == runStarted {
			ids = append(ids, run.ExecutionID)
		}
	}
	ends, known, err := endsOf(ctx, d.a.DB.DB, ids)
	if err != nil {
		return nil, err
	}
	var running []runRow
	for _, run := range open {
		if run.Status != runStarted {
			continue
		}
		end, ended := ends[run.ExecutionID]
		gone := false
		if !known[run.ExecutionID] && d.now.Sub(machine.Moment(run.UpdatedAt)) > appearsWithin {
			// The index is behind the log; or it was there, and has been forgotten.
			if _, err := d.a.engine.Current(ctx, run.ExecutionID); engine.IsNotFound(err) {
				gone = true
			} else if err != nil {
				return nil, err
			}
		}
		if !ended && !gone {
			running = append(running, run)
			continue
		}
		if err := d.end(ctx, run, cmp.Or(end, d.now.UnixMicro())); err != nil {
			return nil, err
		}
	}
	return running, nil
}

// end notes the end of a run. What the next run of an after schedule counts from is noted with it.
func (d *drive) end(ctx context.Context, run runRow, at int64) error {
	run.Status, run.Reason, run.UpdatedAt = runEnded, "", d.now.UnixMicro()
	if d.plan.Kind == schedule.After {
		d.row.NominalUntil = max(d.row.NominalUntil, at)
	}
	return d.a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if _, err := settleRun(ctx, tx, run, runStarted); err != nil || d.plan.Kind != schedule.After {
			return err
		}
		return countFrom(ctx, tx, run.ScheduleID, at)
	})
}

// cancel ends what runs.
func (d *drive) cancel(ctx context.Context, running []runRow) error {
	ctx = actors.WithCaller(ctx, actors.Caller{UserID: d.row.UserID})
	for _, run := range running {
		_, err := d.a.cancel(ctx, subjects.ExecutionControlRequest{
			ExecutionID: run.ExecutionID, Reason: "the next run of its schedule is due",
		})
		if code := subjects.CodeOf(err); err != nil && code != subjects.CodeConflict && code != subjects.CodeNotFound {
			return err
		}
	}
	return nil
}

// settle notes what becomes of a run that is due.
func (d *drive) settle(ctx context.Context, run runRow, status, reason string) error {
	from := []string{runDue}
	if status == runStarted {
		from = append(from, runSkipped) // the schedule was paused while it was being started
	}
	run.Status, run.Reason, run.UpdatedAt = status, reason, d.now.UnixMicro()
	settled := false
	err := d.a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		settled, err = settleRun(ctx, tx, run, from...)
		return err
	})
	if settled {
		d.a.flows.scheduled.WithLabelValues(status).Inc()
	}
	return err
}

// start starts the execution for a nominal time, or notes why it cannot be started.
func (d *drive) start(ctx context.Context, run runRow) error {
	nominal := machine.Moment(run.Nominal)
	input, err := d.plan.Input(d.def, nominal, nominal, run.Backfill != 0)
	if err != nil {
		return d.refuse(ctx, run, "null", subjects.Errorf(subjects.CodeInvalid, "the input of the run cannot be made: %v", err))
	}
	text := string(language.Canonical(input))
	err = d.a.startExecution(ctx, order{
		userID: d.row.UserID, workflowID: d.row.WorkflowID, executionID: run.ExecutionID, input: text, version: d.row.Version,
		origin: engine.Origin{Kind: engine.OriginSchedule, ID: d.row.ID}, schedule: d.row.ID,
	})
	switch {
	case err == nil:
		d.row.RefusedAt, d.row.RefusedReason = 0, ""
		return d.settle(ctx, run, runStarted, "")
	case errors.Is(err, engine.ErrSchedulePaused): // who paused it has noted what becomes of its runs
		return nil
	case subjects.Transient(err):
		// It stays due, until it is too late for it.
		late := machine.Moment(run.DueAt).Add(d.plan.CatchUp)
		if run.Backfill == 0 && d.now.After(late) {
			return d.settle(ctx, run, runMissed, "it could not be started in time")
		}
		d.look(d.now.Add(time.Second))
		d.a.Log.Warn("starting a scheduled run", zap.String("schedule_id", d.row.ID), zap.Error(err))
		return nil
	}
	return d.refuse(ctx, run, text, err)
}

// refuse notes a run that could not be started; the first one since one could tells the user.
func (d *drive) refuse(ctx context.Context, run runRow, input string, cause error) error {
	reason := engine.FaultOf(cause).Detail
	first := d.row.RefusedAt == 0
	if first {
		d.row.RefusedAt = d.now.UnixMicro()
	}
	d.row.RefusedReason = reason
	run.Status, run.Reason, run.UpdatedAt = runRefused, reason, d.now.UnixMicro()
	return d.a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		settled, err := settleRun(ctx, tx, run, runDue)
		if err != nil || !settled {
			return err
		}
		d.a.DB.AfterCommit(ctx, func() { d.a.flows.scheduled.WithLabelValues(runRefused).Inc() })
		row := refusedRow{
			ID: run.ExecutionID, UserID: d.row.UserID, WorkflowID: d.row.WorkflowID, Version: d.row.Version, Name: d.row.Name,
			Cause: "schedule", Input: input, CreatedAt: d.now.UnixMicro(),
		}
		return d.a.noteRefused(ctx, tx, row, cause, first)
	})
}
