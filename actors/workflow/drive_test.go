package workflow

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/schedule"
)

// newDrive is a look at a schedule of a kind, which was looked at before a moment ago.
func newDrive(t *testing.T, kind actortest.Database, plan *schedule.Plan) *drive {
	t.Helper()
	now := time.Now()
	a := &Actor{Deps: actors.Deps{DB: kind.Open(t, "workflow", Migrations), Now: func() time.Time { return now }}}
	a.flows = newFlows(prometheus.NewRegistry())
	row := scheduleRow{
		ID: uuid.NewString(), UserID: uuid.NewString(), WorkflowID: uuid.NewString(), Kind: string(plan.Kind), Version: 1, Revision: 1,
		Anchor: now.Add(-time.Hour).UnixMicro(), NominalUntil: now.Add(-2 * time.Minute).UnixMicro(), CreatedAt: now.UnixMicro(),
	}
	d := &drive{a: a, row: row, plan: plan, now: now}
	d.commit(t, func(ctx context.Context, tx database.Tx) error { return engine.Insert(ctx, tx, &row) })
	return d
}

func (d *drive) commit(t *testing.T, do func(ctx context.Context, tx database.Tx) error) {
	t.Helper()
	if err := d.a.DB.RunInTx(t.Context(), do); err != nil {
		t.Fatal(err)
	}
}

func (d *drive) open(t *testing.T) []runRow {
	t.Helper()
	runs, err := openRuns(t.Context(), d.a.DB.DB, d.row.ID, 10)
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

// TestEndOfARunAndACrash: a process that dies once it has noted the end of an after schedule's run has noted too what the next
// one counts from, and no process that knows less takes that back.
func TestEndOfARunAndACrash(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		d := newDrive(t, kind, &schedule.Plan{Kind: schedule.After, Every: time.Minute})
		if err := d.tick(t.Context()); err != nil {
			t.Fatal(err)
		}
		runs := d.open(t)
		if len(runs) != 1 {
			t.Fatalf("%d runs are due", len(runs))
		}
		d.commit(t, func(ctx context.Context, tx database.Tx) error {
			run := runs[0]
			run.Status = runStarted
			_, err := settleRun(ctx, tx, run, runDue)
			return err
		})
		ended := d.now.Add(-time.Second).UnixMicro()
		if err := d.end(t.Context(), runs[0], ended); err != nil {
			t.Fatal(err)
		}
		if err := d.end(t.Context(), runs[0], ended-5); err != nil {
			t.Fatal(err)
		}
		row, err := findSchedule(t.Context(), d.a.DB.DB, d.row.UserID, d.row.ID)
		if err != nil || row.NominalUntil != ended {
			t.Errorf("the next run counts from %d, want %d (%v)", row.NominalUntil, ended, err)
		}
		next := &drive{a: d.a, row: row, plan: d.plan, now: d.now}
		if err := next.tick(t.Context()); err != nil || len(d.open(t)) != 0 {
			t.Errorf("%d runs are due before a minute has passed (%v)", len(d.open(t)), err)
		}
	})
}

// TestPausedWhileLookedAt: who has begun to look at a schedule before it was paused notes no run after.
func TestPausedWhileLookedAt(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		d := newDrive(t, kind, &schedule.Plan{Kind: schedule.Every, Every: time.Minute, CatchUp: time.Hour})
		paused := d.row
		paused.PausedAt = d.now.UnixMicro()
		d.commit(t, func(ctx context.Context, tx database.Tx) error { return overrideSchedule(ctx, tx, paused, "paused_at") })
		if err := d.tick(t.Context()); !errors.Is(err, errScheduleChanged) || len(d.open(t)) != 0 {
			t.Errorf("%d runs are due (%v)", len(d.open(t)), err)
		}
	})
}

// TestPausedWhileStarted: a run that was being started when its schedule was paused is one that was started.
func TestPausedWhileStarted(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		d := newDrive(t, kind, &schedule.Plan{Kind: schedule.Every, Every: time.Minute, CatchUp: time.Hour})
		if err := d.tick(t.Context()); err != nil {
			t.Fatal(err)
		}
		runs := d.open(t)
		if len(runs) == 0 {
			t.Fatal("no run is due")
		}
		d.commit(t, func(ctx context.Context, tx database.Tx) error { return leaveDue(ctx, tx, d.row.ID, d.now) })
		if err := d.settle(t.Context(), runs[0], runStarted, ""); err != nil {
			t.Fatal(err)
		}
		if open := d.open(t); len(open) != 1 || open[0].Status != runStarted {
			t.Errorf("the open runs are %+v", open)
		}
	})
}
