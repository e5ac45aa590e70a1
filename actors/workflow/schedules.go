package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/actors/workflow/schedule"
	"github.com/weftmesh/weft/subjects"
)

const (
	// schedulePoll is how often schedules are looked at that another process may have changed.
	schedulePoll = 500 * time.Millisecond
	// scheduleBatch bounds how many schedules one look takes on, ticksBatch the nominal times of one, startsBatch the
	// runs that it starts.
	scheduleBatch = 50
	ticksBatch    = 500
	startsBatch   = 50
	// maxWaiting is how many runs of a schedule may be due at a time.
	maxWaiting = 1000
	// claimFor is how long the process that looks at a schedule has for it before another one may.
	claimFor = 10 * time.Second
	// shortestWait and longestWait bound the time between two looks at a run that another one waits for.
	shortestWait = 50 * time.Millisecond
	longestWait  = 5 * time.Second
	// cancelWait is the time between two looks at a run that is being cancelled.
	cancelWait = 200 * time.Millisecond
	// keepRuns is how long it is known what became of a nominal time, mostEvery of how many, where there are many.
	keepRuns  = 90 * 24 * time.Hour
	mostEvery = 10_000
	// appearsWithin is how long a started execution may take to be in the index before its owner is asked for it.
	appearsWithin = time.Minute
)

// runSchedules starts what is due. Any process may: the one that claims a schedule's row looks at it, and a run's id is
// derived from its nominal time, so that two that start it start the same one.
func (a *Actor) runSchedules(ctx context.Context) error {
	for {
		due, next, err := dueSchedules(ctx, a.DB.DB, a.Now(), scheduleBatch)
		if err != nil {
			return err
		}
		for _, row := range due {
			err := a.driveSchedule(ctx, row)
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the process stops: what that cut short is done by the next one
			}
			if err != nil {
				a.Log.Warn("looking at a schedule", zap.String("schedule_id", row.ID), zap.Error(err))
			}
		}
		pause := schedulePoll
		if !next.IsZero() {
			pause = min(pause, max(time.Millisecond, next.Sub(a.Now())))
		}
		if len(due) > 0 {
			pause = time.Millisecond
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		case <-a.flows.schedulesChanged:
		}
	}
}

// pokeSchedules has this process look at the schedules at once.
func (a *Actor) pokeSchedules() {
	select {
	case a.flows.schedulesChanged <- struct{}{}:
	default:
	}
}

// drive is one look at a schedule.
type drive struct {
	a    *Actor
	row  scheduleRow
	def  *language.Workflow
	plan *schedule.Plan
	now  time.Time
	// again is when to look next, where that is before the next nominal time.
	again time.Time
}

func (a *Actor) driveSchedule(ctx context.Context, row scheduleRow) error {
	now := a.Now()
	row.WakeAt = now.Add(claimFor).UnixMicro()
	claimed := false
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		claim := row
		claimed, err = changeSchedule(ctx, tx, &claim, "wake_at")
		return err
	})
	row.Revision++
	if err != nil || !claimed {
		return err
	}
	def, plan, err := a.planOf(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return err
	}
	d := &drive{a: a, row: row, def: def, plan: plan, now: now}
	if plan.Kind == schedule.On {
		if err := d.startGathered(ctx); err != nil {
			return err
		}
	}
	if err := d.tick(ctx); errors.Is(err, errScheduleChanged) {
		return nil // who has changed it has it looked at anew
	} else if err != nil {
		return err
	}
	if err := d.pump(ctx); err != nil {
		return err
	}
	d.row.WakeAt = d.wake()
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		row := d.row
		_, err := changeSchedule(ctx, tx, &row, "wake_at", "nominal_until", "refused_at", "refused_reason")
		return err
	})
}

// planOf is a version's definition and its schedule.
func (a *Actor) planOf(ctx context.Context, workflowID string, version int) (*language.Workflow, *schedule.Plan, error) {
	def, err := a.definition(ctx, workflowID, version)
	if err != nil {
		return nil, nil, err
	}
	plan, faults := schedule.FromWorkflow(def)
	if plan == nil {
		return nil, nil, fmt.Errorf("version %d of workflow %s has no schedule that can be run: %v", version, workflowID, faults)
	}
	return def, plan, nil
}

// startGathered starts what events have made whole and nobody could start then.
func (d *drive) startGathered(ctx context.Context) error {
	started, err := d.a.startGathered(ctx, d.row)
	if err != nil && !subjects.Transient(err) {
		return err
	}
	if err != nil || len(started) == gatheredBatch {
		d.look(d.now.Add(time.Second))
	}
	return nil
}

// tick notes a run for each nominal time that has come.
func (d *drive) tick(ctx context.Context) error {
	if d.row.PausedAt > 0 {
		return nil
	}
	if d.plan.Kind == schedule.After {
		return d.tickAfter(ctx)
	}
	var rows []runRow
	cursor, anchor := machine.Moment(d.row.NominalUntil), machine.Moment(d.row.Anchor)
	for len(rows) < ticksBatch {
		nominal := d.plan.Next(cursor, anchor)
		due := d.plan.Due(d.row.ID, nominal)
		if nominal.IsZero() || due.After(d.now) {
			break
		}
		run := d.runOf(nominal, runDue, "")
		if late := d.now.Add(-d.plan.CatchUp); due.Before(late) {
			run.Status, run.Reason = runMissed, "no process could start it in time"
			// What else is too late is not noted one by one: after a long time there may be very many.
			if skip := late.Add(-d.plan.Jitter).Add(-time.Microsecond); skip.After(nominal) {
				run.Reason = "no process could start it, nor those after it, until " + skip.UTC().Format(time.RFC3339)
				nominal = skip
			}
			d.a.flows.scheduled.WithLabelValues(runMissed).Inc()
		}
		rows, cursor = append(rows, run), nominal
	}
	if len(rows) == 0 {
		return nil
	}
	d.row.NominalUntil = cursor.UnixMicro()
	return d.note(ctx, rows)
}

// errScheduleChanged: the schedule is not what it was when the look at it began.
var errScheduleChanged = errors.New("the schedule was changed")

// note keeps runs, and forgets those that are of no use any more. Once a schedule was paused, or has another version, it
// notes none for what was.
func (d *drive) note(ctx context.Context, rows []runRow) error {
	keep := keepRuns
	if d.plan.Every > 0 {
		keep = min(keep, mostEvery*d.plan.Every)
	}
	return d.a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		same, err := holdRevision(ctx, tx, d.row)
		if err != nil {
			return err
		}
		if !same {
			return errScheduleChanged
		}
		if err := addRuns(ctx, tx, rows); err != nil {
			return err
		}
		return forgetRuns(ctx, tx, d.row.ID, d.now.Add(-keep))
	})
}

// tickAfter notes the next run of an after schedule, unless there is one that is due or goes on.
func (d *drive) tickAfter(ctx context.Context) error {
	open, err := openRuns(ctx, d.a.DB.DB, d.row.ID, 1)
	if err != nil || len(open) > 0 {
		return err
	}
	nominal := machine.Moment(d.row.NominalUntil).Add(d.plan.Every)
	if nominal.After(d.now) {
		return nil
	}
	d.row.NominalUntil = nominal.UnixMicro()
	return d.note(ctx, []runRow{d.runOf(nominal, runDue, "")})
}

func (d *drive) runOf(nominal time.Time, status, reason string) runRow {
	return runRow{
		ScheduleID: d.row.ID, Nominal: nominal.UnixMicro(), ExecutionID: runID(d.row.WorkflowID, nominal.UnixMicro()),
		Status: status, Overlap: string(d.plan.Overlap), DueAt: d.plan.Due(d.row.ID, nominal).UnixMicro(), Reason: reason,
		UpdatedAt: d.now.UnixMicro(),
	}
}

// pump starts what is due, as far as what runs lets it.
func (d *drive) pump(ctx context.Context) error {
	open, err := openRuns(ctx, d.a.DB.DB, d.row.ID, maxWaiting+ticksBatch+startsBatch)
	if err != nil {
		return err
	}
	running, err := d.running(ctx, open)
	if err != nil {
		return err
	}
	var due []runRow
	var policies []schedule.Overlap
	for _, run := range open {
		if run.Status == runDue && run.DueAt <= d.now.UnixMicro() {
			due, policies = append(due, run), append(policies, schedule.Overlap(run.Overlap))
		}
	}
	verdicts, cancel := schedule.Decide(policies, len(running))
	if cancel {
		if err := d.cancel(ctx, running); err != nil {
			return err
		}
		d.look(d.now.Add(cancelWait))
	}
	waiting, started := 0, 0
	for i, run := range due {
		switch {
		case verdicts[i] == schedule.Drop:
			err = d.settle(ctx, run, runSkipped, "a run before it had not ended")
		case verdicts[i] == schedule.Wait && waiting >= maxWaiting:
			err = d.settle(ctx, run, runSkipped, fmt.Sprintf("%d runs were waiting already", maxWaiting))
		case verdicts[i] == schedule.Wait:
			waiting++
		case started >= startsBatch:
			d.look(d.now)
		default:
			started++
			err = d.start(ctx, run)
		}
		if err != nil {
			return err
		}
	}
	if waiting > 0 || d.plan.Kind == schedule.After && len(running)+started > 0 {
		d.look(d.now.Add(patience(running, d.now)))
	}
	return nil
}

// look has the schedule looked at again at a time, or before.
func (d *drive) look(at time.Time) {
	if d.again.IsZero() || at.Before(d.again) {
		d.again = at
	}
}

// wake is when the schedule is to be looked at again.
func (d *drive) wake() int64 {
	next := d.again
	consider := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	switch {
	case d.row.PausedAt > 0:
	case d.plan.Timed():
		if nominal := d.plan.Next(machine.Moment(d.row.NominalUntil), machine.Moment(d.row.Anchor)); !nominal.IsZero() {
			consider(d.plan.Due(d.row.ID, nominal))
		}
	case d.plan.Kind == schedule.After && d.again.IsZero():
		consider(machine.Moment(d.row.NominalUntil).Add(d.plan.Every))
	}
	if next.IsZero() {
		return 0
	}
	return next.UnixMicro()
}

// scheduleFor makes a workflow's schedule what its new version says.
func (a *Actor) scheduleFor(ctx context.Context, tx database.Tx, workflow workflowRow, def *language.Workflow) error {
	plan, _ := schedule.FromWorkflow(def)
	switch {
	case plan == nil && workflow.Version == 1:
		return nil
	case plan == nil:
		return dropSchedule(ctx, tx, workflow.ID)
	}
	now := a.Now().UnixMicro()
	fresh := scheduleRow{
		ID: derived(workflow.ID, "schedule"), UserID: workflow.UserID, WorkflowID: workflow.ID, Name: def.Document.Name,
		Version: workflow.Version, Kind: string(plan.Kind), Timing: timingOf(plan), Anchor: now, NominalUntil: now,
		WakeAt: now, CreatedAt: now,
	}
	a.DB.AfterCommit(ctx, a.pokeSchedules)
	row, err := findSchedule(ctx, tx, workflow.UserID, fresh.ID)
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		return engine.Insert(ctx, tx, &fresh)
	}
	if err != nil {
		return err
	}
	if plan.Kind == schedule.On {
		err = dropStale(ctx, tx, fresh.ID, gatheringTerms(def))
	} else {
		err = dropGatherings(ctx, tx, fresh.ID)
	}
	if err != nil {
		return err
	}
	if row.Timing == fresh.Timing {
		fresh.Anchor, fresh.NominalUntil = row.Anchor, row.NominalUntil
	}
	return overrideSchedule(ctx, tx, fresh, "name", "version", "kind", "timing", "anchor", "nominal_until", "wake_at")
}

// timingOf is what names a plan's nominal times.
func timingOf(p *schedule.Plan) string {
	data, err := json.Marshal([]string{string(p.Kind), p.Cron, p.Zone, p.Every.String()})
	if err != nil {
		return ""
	}
	return string(data)
}
