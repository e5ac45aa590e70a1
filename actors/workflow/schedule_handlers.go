package workflow

import (
	"context"
	"encoding/json"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/actors/workflow/schedule"
	"github.com/weftmesh/weft/subjects"
)

const (
	// shownNextRuns and shownRuns bound the future and the past runs in the view of a schedule.
	shownNextRuns = 5
	shownRuns     = 20
	// maxBackfill bounds the nominal times of one backfill.
	maxBackfill = 1000
)

func (a *Actor) listSchedules(ctx context.Context, r subjects.ListSchedulesRequest) (subjects.Page[subjects.WorkflowSchedule], error) {
	var page subjects.Page[subjects.WorkflowSchedule]
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return page, err
	}
	rows, err := pageOfSchedules(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r, after[0])
	if err != nil {
		return page, err
	}
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	due, err := countDueRuns(ctx, a.DB.DB, ids)
	if err != nil {
		return page, err
	}
	items := make([]subjects.WorkflowSchedule, len(rows))
	for i, row := range rows {
		if items[i], err = a.viewSchedule(ctx, row, due[row.ID]); err != nil {
			return page, err
		}
	}
	return actors.PageOf(items, r.PageLimit(), func(s subjects.WorkflowSchedule) []string { return []string{s.ID} }), nil
}

func (a *Actor) getSchedule(ctx context.Context, r subjects.ScheduleRequest) (subjects.WorkflowSchedule, error) {
	row, err := findSchedule(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.ScheduleID)
	if err != nil {
		return subjects.WorkflowSchedule{}, err
	}
	return a.viewScheduleRuns(ctx, row)
}

// viewScheduleRuns returns a schedule as its owner sees it, with its recent runs.
func (a *Actor) viewScheduleRuns(ctx context.Context, row scheduleRow) (subjects.WorkflowSchedule, error) {
	due, err := countDueRuns(ctx, a.DB.DB, []string{row.ID})
	if err != nil {
		return subjects.WorkflowSchedule{}, err
	}
	s, err := a.viewSchedule(ctx, row, due[row.ID])
	if err != nil {
		return s, err
	}
	runs, err := recentRuns(ctx, a.DB.DB, row.ID, shownRuns)
	if err != nil {
		return s, err
	}
	var started []string
	for _, run := range runs {
		if run.Status == runStarted {
			started = append(started, run.ExecutionID)
		}
	}
	ends, _, err := executionEnds(ctx, a.DB.DB, started)
	if err != nil {
		return s, err
	}
	for _, run := range runs {
		if ends[run.ExecutionID] > 0 { // a scheduler pass records this only when it needs to know
			run.Status = runEnded
		}
		s.RecentRuns = append(s.RecentRuns, run.resource())
	}
	return s, nil
}

// viewSchedule returns a schedule as its owner sees it, without its recent runs.
func (a *Actor) viewSchedule(ctx context.Context, row scheduleRow, due int) (subjects.WorkflowSchedule, error) {
	def, plan, err := a.definitions.plan(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return subjects.WorkflowSchedule{}, err
	}
	s := subjects.WorkflowSchedule{
		ID: row.ID, WorkflowID: row.WorkflowID, Name: row.Name, Version: row.Version, Kind: row.Kind, Cron: plan.Cron,
		Seconds: plan.Every.Seconds(), Jitter: plan.Jitter.Seconds(), Paused: row.PausedAt > 0, Note: row.Note, Waiting: due,
		CreatedAt: machine.Moment(row.CreatedAt), Refused: row.RefusedReason, Events: scheduleEvents(def),
	}
	for _, kind := range plan.Kinds {
		s.Kinds = append(s.Kinds, string(kind))
	}
	if plan.Every == 0 {
		s.Seconds = plan.After.Seconds()
	} else {
		s.AfterSeconds = plan.After.Seconds()
	}
	if plan.Has(schedule.Cron) {
		s.TimeZone = plan.Zone
	}
	if plan.Timed() {
		s.Overlap, s.CatchUp = string(plan.Overlap), plan.CatchUp.Seconds()
	}
	if s.Paused || !plan.Timed() {
		return s, nil
	}
	at := machine.Moment(max(row.NominalUntil, a.Now().UnixMicro()))
	for range shownNextRuns {
		if at = plan.Next(at, machine.Moment(row.Anchor)); at.IsZero() {
			break
		}
		s.NextRuns = append(s.NextRuns, at.UTC())
	}
	return s, nil
}

// scheduleEvents returns schedule.on of a definition; nil if it has none.
func scheduleEvents(def *language.Workflow) json.RawMessage {
	declared, _ := def.Definition["schedule"].(map[string]any)
	if on, ok := declared["on"]; ok {
		return language.Canonical(on)
	}
	return nil
}

func (a *Actor) pauseSchedule(ctx context.Context, r subjects.PauseScheduleRequest) (subjects.WorkflowSchedule, error) {
	row, err := findSchedule(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.ScheduleID)
	if err != nil {
		return subjects.WorkflowSchedule{}, err
	}
	now := a.Now()
	row.PausedAt, row.Note, row.WakeAt = now.UnixMicro(), machine.Storable(r.Note), now.UnixMicro()
	_, err = idempotency.Step(ctx, a.DB, "pause", func(ctx context.Context, tx database.Tx) (struct{}, error) {
		if err := overrideSchedule(ctx, tx, row, "paused_at", "note", "wake_at"); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, skipDueRuns(ctx, tx, row.ID, now)
	})
	if err == nil {
		err = a.engine.DrainStarts(ctx) // what was starting has started before the answer, or never will
	}
	if err != nil {
		return subjects.WorkflowSchedule{}, err
	}
	return a.viewScheduleRuns(ctx, row)
}

func (a *Actor) resumeSchedule(ctx context.Context, r subjects.ScheduleRequest) (subjects.WorkflowSchedule, error) {
	row, err := findSchedule(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.ScheduleID)
	if err != nil {
		return subjects.WorkflowSchedule{}, err
	}
	if row.PausedAt == 0 {
		return a.viewScheduleRuns(ctx, row)
	}
	now := a.Now().UnixMicro()
	row.PausedAt, row.Note, row.NominalUntil, row.WakeAt = 0, "", now, now
	if row.AfterFrom > 0 {
		row.AfterFrom = now
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		a.DB.AfterCommit(ctx, a.scheduler.notify)
		return overrideSchedule(ctx, tx, row, "paused_at", "note", "nominal_until", "after_from", "wake_at")
	})
	if err != nil {
		return subjects.WorkflowSchedule{}, err
	}
	return a.viewScheduleRuns(ctx, row)
}

func (a *Actor) backfillSchedule(ctx context.Context, r subjects.BackfillScheduleRequest) (subjects.BackfilledSchedule, error) {
	var done subjects.BackfilledSchedule
	row, err := findSchedule(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.ScheduleID)
	if err != nil {
		return done, err
	}
	_, plan, err := a.definitions.plan(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return done, err
	}
	now := a.Now()
	switch {
	case !plan.Timed():
		return done, subjects.Errorf(subjects.CodeConflict, "a schedule of kind %q has no nominal times to backfill", plan.Kinds[0])
	case !r.Since.Before(r.Until):
		return done, subjects.InvalidField("until", "must be after since")
	case r.Until.After(now):
		return done, subjects.InvalidField("until", "must not be in the future")
	}
	if _, err := a.Guard.Check(ctx, row.UserID, subjects.ScopeWorkflowsExecute); err != nil {
		return done, err
	}
	// The intervals of every continue before the anchor, for times before the schedule's creation.
	anchor := machine.Moment(row.Anchor)
	if plan.Every > 0 && r.Since.Before(anchor) {
		back := anchor.Sub(r.Since)
		anchor = anchor.Add(back%plan.Every - back - 2*plan.Every)
	}
	times, more := plan.Between(r.Since, r.Until, anchor, maxBackfill)
	if more {
		return done, subjects.InvalidField("until", "selects more than %d runs: choose a shorter range", maxBackfill)
	}
	overlap := schedule.BufferAll
	if r.Overlap != "" {
		overlap = schedule.Overlap(r.Overlap)
	}
	runs := make([]runRow, len(times))
	for i, at := range times {
		runs[i] = backfillRun(row, at, overlap, now)
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		if done.Planned, err = backfillRuns(ctx, tx, runs); err != nil {
			return err
		}
		a.DB.AfterCommit(ctx, a.scheduler.notify)
		row.WakeAt = now.UnixMicro()
		return overrideSchedule(ctx, tx, row, "wake_at")
	})
	done.Known = len(times) - done.Planned
	return done, err
}

// backfillRun returns a run that a backfill asks for, which is due now.
func backfillRun(row scheduleRow, nominal time.Time, overlap schedule.Overlap, now time.Time) runRow {
	return runRow{
		ScheduleID: row.ID, Nominal: nominal.UnixMicro(), ExecutionID: runID(row.WorkflowID, nominal.UnixMicro()), Status: runDue,
		Overlap: string(overlap), Backfill: 1, DueAt: now.UnixMicro(), UpdatedAt: now.UnixMicro(),
	}
}
