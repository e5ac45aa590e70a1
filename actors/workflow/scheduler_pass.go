package workflow

import (
	"context"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/actors/workflow/schedule"
	"github.com/weftmesh/weft/subjects"
)

const (
	// materialiseBatch bounds the nominal times of one pass, startBatch the runs that it starts.
	materialiseBatch = 500
	startBatch       = 50
	// maxDueRuns bounds the runs of a schedule that wait for a running one; more are skipped.
	maxDueRuns = 1000
	// cancelPoll is the time until a cancelled run is checked again.
	cancelPoll = 200 * time.Millisecond
	// runRetention is how long runs are kept, maxKeptRuns how many of a schedule with a short interval.
	runRetention = 90 * 24 * time.Hour
	maxKeptRuns  = 2000
)

// pass is one pass over a schedule.
type pass struct {
	*scheduler

	row  scheduleRow
	def  *language.Workflow
	plan *schedule.Plan
	now  time.Time
	// runs are those that have become due, until they are inserted.
	runs []runRow
	// writes are what the pass has decided, for the transaction that ends it.
	writes []func(ctx context.Context, tx database.Tx) error
	// held: a run could not be started for a reason that passes, and so no other is tried.
	held bool
	// failed is why the pass could not be made.
	failed error
	// again is when the next pass is needed, if that is before the next nominal time.
	again time.Time
}

// startCorrelated starts the complete correlations of an event schedule that could not be started when they became complete.
func (p *pass) startCorrelated(ctx context.Context) error {
	if !p.plan.Has(schedule.On) {
		return nil
	}
	started, err := p.correlator.startComplete(ctx, p.row)
	if err != nil && !subjects.Transient(err) {
		return err
	}
	if err != nil || len(started) == correlationBatch {
		p.passAgain(p.now.Add(time.Second))
	}
	return nil
}

// materialise makes a run for each nominal time that has become due.
func (p *pass) materialise(ctx context.Context) error {
	if p.row.PausedAt > 0 {
		return nil
	}
	if p.plan.After > 0 {
		if err := p.materialiseAfter(ctx); err != nil || !p.plan.Timed() {
			return err
		}
	}
	made := 0
	cursor, anchor := machine.Moment(p.row.NominalUntil), machine.Moment(p.row.Anchor)
	for made < materialiseBatch {
		nominal := p.plan.Next(cursor, anchor)
		due := p.plan.Due(p.row.ID, nominal)
		if nominal.IsZero() || due.After(p.now) {
			break
		}
		run := p.newRun(nominal)
		if late := p.now.Add(-p.plan.CatchUp); due.Before(late) {
			run.Status, run.Reason = runMissed, "no process could start it in time"
			// One missed run represents all that are too late: after a long outage there may be very many.
			if last := late.Add(-p.plan.Jitter).Add(-time.Microsecond); last.After(nominal) {
				run.Reason = "no process could start it, nor those after it, until " + last.UTC().Format(time.RFC3339)
				nominal = last
			}
			p.metrics.scheduledRuns.WithLabelValues(runMissed).Inc()
		}
		p.runs, cursor = append(p.runs, run), nominal
		made++
	}
	p.row.NominalUntil = cursor.UnixMicro()
	return nil
}

// materialiseAfter makes the next run of after, unless a run of the schedule is due or running.
func (p *pass) materialiseAfter(ctx context.Context) error {
	open, err := openRuns(ctx, p.DB.DB, p.row.ID, 1)
	if err != nil || len(open) > 0 {
		return err
	}
	nominal := machine.Moment(p.row.AfterFrom).Add(p.plan.After)
	if nominal.After(p.now) {
		return nil
	}
	p.row.AfterFrom = nominal.UnixMicro()
	p.runs = append(p.runs, p.newRun(nominal))
	return nil
}

// insert inserts the runs that have become due and deletes old ones.
func (p *pass) insert(ctx context.Context, tx database.Tx) error {
	retention := runRetention
	for _, interval := range []time.Duration{p.plan.Every, p.plan.After} {
		if interval > 0 {
			retention = min(retention, maxKeptRuns*interval)
		}
	}
	if err := insertRuns(ctx, tx, p.runs); err != nil {
		return err
	}
	return deleteOldRuns(ctx, tx, p.row.ID, p.now.Add(-retention))
}

// newRun returns the run of a nominal time, which is due.
func (p *pass) newRun(nominal time.Time) runRow {
	return runRow{
		ScheduleID: p.row.ID, Nominal: nominal.UnixMicro(), ExecutionID: runID(p.row.WorkflowID, nominal.UnixMicro()),
		Status: runDue, Overlap: string(p.plan.Overlap), DueAt: p.plan.Due(p.row.ID, nominal).UnixMicro(), UpdatedAt: p.now.UnixMicro(),
	}
}

// dispatch starts the runs that are due, or skips them or lets them wait, as their overlap policies say.
func (p *pass) dispatch(ctx context.Context) error {
	open, err := openRuns(ctx, p.DB.DB, p.row.ID, maxDueRuns+materialiseBatch+startBatch)
	if err != nil {
		return err
	}
	running, err := p.running(ctx, open)
	if err != nil {
		return err
	}
	var due []runRow
	var policies []schedule.Overlap
	for _, run := range open {
		if run.Status == runDue && run.DueAt <= p.now.UnixMicro() {
			due, policies = append(due, run), append(policies, schedule.Overlap(run.Overlap))
		}
	}
	verdicts, cancel := schedule.Decide(policies, len(running))
	if cancel {
		if err := p.cancel(ctx, running); err != nil {
			return err
		}
		p.passAgain(p.now.Add(cancelPoll))
	}
	edge := ""
	if len(due) > 0 {
		if edge, err = p.edgeOf(ctx, p.row.UserID, p.row.WorkflowID); err != nil {
			return err
		}
	}
	waiting, started := 0, 0
	for i, run := range due {
		switch {
		case edge != "":
			p.settle(run, runSkipped, "the edge node "+edge+" runs the workflow")
		case verdicts[i] == schedule.Drop:
			p.settle(run, runSkipped, "a run before it had not ended")
		case verdicts[i] == schedule.Wait && waiting >= maxDueRuns:
			p.settle(run, runSkipped, fmt.Sprintf("%d runs were waiting already", maxDueRuns))
		case verdicts[i] == schedule.Wait:
			waiting++
		case p.held:
			p.hold(run)
		case started >= startBatch:
			p.passAgain(p.now)
		default:
			started++
			err = p.start(ctx, run)
		}
		if err != nil {
			return err
		}
	}
	if waiting > 0 || p.plan.After > 0 && len(running)+started > 0 {
		p.passAgain(p.now.Add(endPoll(running, p.now)))
	}
	return nil
}

// passAgain makes another pass due at a time, or before.
func (p *pass) passAgain(at time.Time) {
	if p.again.IsZero() || at.Before(p.again) {
		p.again = at
	}
}

// wakeAt returns when the next pass is due, in microseconds; 0 if none is until something changes.
func (p *pass) wakeAt() int64 {
	next := p.again
	consider := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if p.row.PausedAt == 0 {
		if nominal := p.plan.Next(machine.Moment(p.row.NominalUntil), machine.Moment(p.row.Anchor)); !nominal.IsZero() {
			consider(p.plan.Due(p.row.ID, nominal))
		}
		if p.plan.After > 0 && p.again.IsZero() {
			consider(machine.Moment(p.row.AfterFrom).Add(p.plan.After))
		}
	}
	if next.IsZero() {
		return 0
	}
	return next.UnixMicro()
}
