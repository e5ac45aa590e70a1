package workflow

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/actors/workflow/schedule"
)

// newPass returns a pass over a schedule that was created an hour ago and whose previous pass was two minutes ago.
func newPass(t *testing.T, kind actortest.Database, plan *schedule.Plan) *pass {
	t.Helper()
	now := time.Now().Truncate(time.Microsecond) // as exact as the database
	s := &scheduler{
		Deps:    actors.Deps{DB: kind.Open(t, "workflow", Migrations), Now: func() time.Time { return now }},
		metrics: newMetrics(prometheus.NewRegistry()),
	}
	row := scheduleRow{
		ID: uuid.NewString(), UserID: uuid.NewString(), WorkflowID: uuid.NewString(), Kind: string(plan.Kinds[0]), Version: 1, Revision: 1,
		Anchor: now.Add(-time.Hour).UnixMicro(), NominalUntil: now.Add(-2 * time.Minute).UnixMicro(), Listens: plan.Has(schedule.On), CreatedAt: now.UnixMicro(),
	}
	if plan.After > 0 {
		row.AfterFrom = row.NominalUntil
	}
	p := &pass{scheduler: s, row: row, plan: plan, now: now}
	p.commit(t, func(ctx context.Context, tx database.Tx) error { return engine.Insert(ctx, tx, &row) })
	return p
}

func (p *pass) commit(t *testing.T, do func(ctx context.Context, tx database.Tx) error) {
	t.Helper()
	if err := p.DB.RunInTx(t.Context(), do); err != nil {
		t.Fatal(err)
	}
}

// claimRuns materialises the runs that are due and inserts them, as the pass's first transaction does. It reports whether it did.
func (p *pass) claimRuns(t *testing.T) (claimed bool) {
	t.Helper()
	if err := p.materialise(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.commit(t, func(ctx context.Context, tx database.Tx) (err error) {
		claimed, err = p.claim(ctx, tx)
		return err
	})
	if claimed {
		p.row.Revision++
	}
	p.runs = nil
	return claimed
}

// writeAll writes what the pass has decided.
func (p *pass) writeAll(t *testing.T) {
	t.Helper()
	for _, write := range p.writes {
		p.commit(t, write)
	}
	p.writes = nil
}

// allRuns returns the schedule's runs, the oldest first.
func (p *pass) allRuns(t *testing.T) []runRow {
	t.Helper()
	runs, err := recentRuns(t.Context(), p.DB.DB, p.row.ID, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(runs)
	return runs
}

// wantStatuses checks the statuses of the schedule's runs, the oldest first.
func (p *pass) wantStatuses(t *testing.T, want ...string) []runRow {
	t.Helper()
	runs := p.allRuns(t)
	var got []string
	for _, run := range runs {
		got = append(got, run.Status)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the runs are %v, want %v", got, want)
	}
	return runs
}

// TestEndOfRunIsAtomic: the end of an after schedule's run and the time from which the next run counts are recorded together, so
// that a crash cannot separate them; and an earlier end does not replace a later one.
func TestEndOfRunIsAtomic(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		p := newPass(t, kind, &schedule.Plan{Kinds: []schedule.Kind{schedule.After}, After: time.Minute})
		p.claimRuns(t)
		run := p.wantStatuses(t, runDue)[0]
		p.settle(run, runStarted, "")
		p.writeAll(t)
		ended := p.now.Add(-time.Second).UnixMicro()
		for _, at := range []int64{ended, ended - 5} {
			p.end(run, at)
			p.writeAll(t)
		}
		row, err := findSchedule(t.Context(), p.DB.DB, p.row.UserID, p.row.ID)
		if err != nil || row.AfterFrom != ended {
			t.Errorf("the next run counts from %d, want %d (%v)", row.AfterFrom, ended, err)
		}
		next := &pass{scheduler: p.scheduler, row: row, plan: p.plan, now: p.now}
		next.claimRuns(t)
		p.wantStatuses(t, runEnded) // the next one is due a minute after the end
		if want := machine.Moment(ended).Add(time.Minute).UnixMicro(); next.wakeAt() != want {
			t.Errorf("the next pass is due at %d, want %d", next.wakeAt(), want)
		}
	})
}

// TestPauseDuringPass: a pass that began before its schedule was paused materialises no run after the pause.
func TestPauseDuringPass(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		p := newPass(t, kind, &schedule.Plan{Kinds: []schedule.Kind{schedule.Every}, Every: time.Minute, CatchUp: time.Hour})
		paused := p.row
		paused.PausedAt = p.now.UnixMicro()
		p.commit(t, func(ctx context.Context, tx database.Tx) error { return overrideSchedule(ctx, tx, paused, "paused_at") })
		if p.claimRuns(t) {
			t.Error("the pass claimed a schedule that has changed")
		}
		p.wantStatuses(t)
		p.row = paused
		p.row.Revision++
		if !p.claimRuns(t) || p.wakeAt() != 0 {
			t.Errorf("after a pass over a paused schedule the next one is due at %d", p.wakeAt())
		}
		p.wantStatuses(t)
	})
}

// TestPauseDuringStart: a run whose execution started while its schedule was paused is recorded as started, not as skipped.
func TestPauseDuringStart(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		p := newPass(t, kind, &schedule.Plan{Kinds: []schedule.Kind{schedule.Every}, Every: time.Minute, CatchUp: time.Hour})
		p.claimRuns(t)
		runs := p.allRuns(t)
		if len(runs) == 0 {
			t.Fatal("no run is due")
		}
		p.commit(t, func(ctx context.Context, tx database.Tx) error { return skipDueRuns(ctx, tx, p.row.ID, p.now) })
		p.settle(runs[0], runStarted, "")
		p.writeAll(t)
		if got := p.allRuns(t)[0]; got.Status != runStarted || got.Reason != "" {
			t.Errorf("the run is %+v, want it started", got)
		}
	})
}

// TestMaterialiseSummarisesMissedRuns: nominal times that are too late become one missed run, whose reason says until when.
func TestMaterialiseSummarisesMissedRuns(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		p := newPass(t, kind, &schedule.Plan{Kinds: []schedule.Kind{schedule.Every}, Every: time.Second, CatchUp: 5 * time.Second})
		p.claimRuns(t)
		runs := p.allRuns(t)
		missed := 0
		for _, run := range runs {
			if run.Status == runMissed {
				missed++
			}
		}
		if missed != 1 || runs[0].Status != runMissed || len(runs) < 5 || len(runs) > 7 {
			t.Errorf("the runs are %+v, want a missed one and those of the last five seconds", runs)
		}
		if p.row.NominalUntil != runs[len(runs)-1].Nominal {
			t.Errorf("materialised until %d, want %d", p.row.NominalUntil, runs[len(runs)-1].Nominal)
		}
	})
}

// TestMaterialiseIsBounded: a pass inserts a bounded number of runs, and the next one is due at once.
func TestMaterialiseIsBounded(t *testing.T) {
	t.Parallel()
	p := newPass(t, actortest.Databases(t)[0], &schedule.Plan{Kinds: []schedule.Kind{schedule.Every}, Every: time.Second, CatchUp: time.Hour})
	p.row.NominalUntil = p.now.Add(-20 * time.Minute).UnixMicro()
	p.claimRuns(t)
	if n := len(p.allRuns(t)); n != materialiseBatch {
		t.Errorf("%d runs were inserted, want %d", n, materialiseBatch)
	}
	if at := p.wakeAt(); at == 0 || at > p.now.UnixMicro() {
		t.Errorf("the next pass is due at %d, want before %d", at, p.now.UnixMicro())
	}
}

// TestBackfillKeepsFinishedRuns: a backfill makes runs due that were skipped, missed or refused, and leaves the others as they are.
func TestBackfillKeepsFinishedRuns(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		p := newPass(t, kind, &schedule.Plan{Kinds: []schedule.Kind{schedule.Every}, Every: time.Minute, CatchUp: time.Hour, Overlap: schedule.Skip})
		statuses := []string{runDue, runStarted, runEnded, runSkipped, runMissed, runRefused}
		var runs, backfills []runRow
		for i, status := range statuses {
			run := p.newRun(p.now.Add(time.Duration(i-20) * time.Minute))
			run.Status, run.Reason = status, "before"
			runs = append(runs, run)
			backfills = append(backfills, backfillRun(p.row, machine.Moment(run.Nominal), schedule.Allow, p.now))
		}
		backfills = append(backfills, backfillRun(p.row, p.now.Add(-time.Minute), schedule.Allow, p.now))
		planned := 0
		p.commit(t, func(ctx context.Context, tx database.Tx) (err error) {
			if err = insertRuns(ctx, tx, runs); err == nil {
				planned, err = backfillRuns(ctx, tx, backfills)
			}
			return err
		})
		if planned != 4 {
			t.Errorf("%d runs became due, want 4", planned)
		}
		for i, run := range p.wantStatuses(t, runDue, runStarted, runEnded, runDue, runDue, runDue, runDue) {
			if changed := i >= 3; changed != (run.Backfill == 1) || changed != (run.Reason == "") {
				t.Errorf("run %d is %+v", i, run)
			}
		}
	})
}

// TestEndPoll: a run is checked the less often the older the youngest running one is, within bounds.
func TestEndPoll(t *testing.T) {
	t.Parallel()
	now := time.Now()
	aged := func(ages ...time.Duration) (runs []runRow) {
		for _, age := range ages {
			runs = append(runs, runRow{UpdatedAt: now.Add(-age).UnixMicro()})
		}
		return runs
	}
	for _, test := range []struct {
		ages []time.Duration
		want time.Duration
	}{
		{nil, minEndPoll}, {[]time.Duration{0}, minEndPoll}, {[]time.Duration{20 * time.Second}, time.Second},
		{[]time.Duration{time.Hour, 20 * time.Second}, time.Second}, {[]time.Duration{time.Hour}, maxEndPoll},
	} {
		if got := endPoll(aged(test.ages...), now).Round(time.Millisecond); got != test.want {
			t.Errorf("of ages %v the next check is after %s, want %s", test.ages, got, test.want)
		}
	}
}
