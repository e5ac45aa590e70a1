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
	// shownNext and shownRuns bound what an answer tells of a schedule.
	shownNext = 5
	shownRuns = 20
	// maxBackfill is how many nominal times one backfill may name.
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
	waiting, err := waitingRuns(ctx, a.DB.DB, ids)
	if err != nil {
		return page, err
	}
	items := make([]subjects.WorkflowSchedule, len(rows))
	for i, row := range rows {
		if items[i], err = a.viewSchedule(ctx, row, waiting[row.ID]); err != nil {
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
	return a.describeSchedule(ctx, row)
}

// describeSchedule is a schedule with its runs.
func (a *Actor) describeSchedule(ctx context.Context, row scheduleRow) (subjects.WorkflowSchedule, error) {
	waiting, err := waitingRuns(ctx, a.DB.DB, []string{row.ID})
	if err != nil {
		return subjects.WorkflowSchedule{}, err
	}
	s, err := a.viewSchedule(ctx, row, waiting[row.ID])
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
	ends, _, err := endsOf(ctx, a.DB.DB, started)
	if err != nil {
		return s, err
	}
	for _, run := range runs {
		if ends[run.ExecutionID] > 0 { // the schedule itself looks when it has a reason to
			run.Status = runEnded
		}
		s.RecentRuns = append(s.RecentRuns, run.resource())
	}
	return s, nil
}

func (a *Actor) viewSchedule(ctx context.Context, row scheduleRow, waiting int) (subjects.WorkflowSchedule, error) {
	def, plan, err := a.planOf(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return subjects.WorkflowSchedule{}, err
	}
	s := subjects.WorkflowSchedule{
		ID: row.ID, WorkflowID: row.WorkflowID, Name: row.Name, Version: row.Version, Kind: row.Kind, Cron: plan.Cron,
		Seconds: plan.Every.Seconds(), Jitter: plan.Jitter.Seconds(), Paused: row.PausedAt > 0, Note: row.Note, Waiting: waiting,
		CreatedAt: machine.Moment(row.CreatedAt), Refused: row.RefusedReason, Events: eventsOfSchedule(def),
	}
	if plan.Kind == schedule.Cron {
		s.TimeZone = plan.Zone
	}
	if plan.Timed() {
		s.Overlap, s.CatchUp = string(plan.Overlap), plan.CatchUp.Seconds()
	}
	if s.Paused || !plan.Timed() {
		return s, nil
	}
	at := machine.Moment(max(row.NominalUntil, a.Now().UnixMicro()))
	for range shownNext {
		if at = plan.Next(at, machine.Moment(row.Anchor)); at.IsZero() {
			break
		}
		s.NextRuns = append(s.NextRuns, at.UTC())
	}
	return s, nil
}

// eventsOfSchedule is schedule.on as the definition has it; nothing where it has none.
func eventsOfSchedule(def *language.Workflow) json.RawMessage {
	of, _ := def.Definition["schedule"].(map[string]any)
	if on, ok := of["on"]; ok {
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
		return struct{}{}, leaveDue(ctx, tx, row.ID, now)
	})
	if err == nil {
		err = a.engine.DrainStarts(ctx) // what was on its way starts before the answer, or never
	}
	if err != nil {
		return subjects.WorkflowSchedule{}, err
	}
	return a.describeSchedule(ctx, row)
}

func (a *Actor) resumeSchedule(ctx context.Context, r subjects.ScheduleRequest) (subjects.WorkflowSchedule, error) {
	row, err := findSchedule(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.ScheduleID)
	if err != nil {
		return subjects.WorkflowSchedule{}, err
	}
	if row.PausedAt == 0 {
		return a.describeSchedule(ctx, row)
	}
	now := a.Now().UnixMicro()
	row.PausedAt, row.Note, row.NominalUntil, row.WakeAt = 0, "", now, now
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		a.DB.AfterCommit(ctx, a.pokeSchedules)
		return overrideSchedule(ctx, tx, row, "paused_at", "note", "nominal_until", "wake_at")
	})
	if err != nil {
		return subjects.WorkflowSchedule{}, err
	}
	return a.describeSchedule(ctx, row)
}

func (a *Actor) backfillSchedule(ctx context.Context, r subjects.BackfillScheduleRequest) (subjects.BackfilledSchedule, error) {
	var done subjects.BackfilledSchedule
	row, err := findSchedule(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.ScheduleID)
	if err != nil {
		return done, err
	}
	_, plan, err := a.planOf(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return done, err
	}
	now := a.Now()
	switch {
	case !plan.Timed():
		return done, subjects.Errorf(subjects.CodeConflict, "a schedule of %q names no times that could be made up for", plan.Kind)
	case !r.Since.Before(r.Until):
		return done, subjects.InvalidField("until", "must be after since")
	case r.Until.After(now):
		return done, subjects.InvalidField("until", "must not be in the future")
	}
	if _, err := a.Guard.Check(ctx, row.UserID, subjects.ScopeWorkflowsExecute); err != nil {
		return done, err
	}
	// The times of every count from the schedule's beginning, in both directions.
	anchor := machine.Moment(row.Anchor)
	if plan.Kind == schedule.Every && r.Since.Before(anchor) {
		back := anchor.Sub(r.Since)
		anchor = anchor.Add(back%plan.Every - back - 2*plan.Every)
	}
	times, more := plan.Between(r.Since, r.Until, anchor, maxBackfill)
	if more {
		return done, subjects.InvalidField("until", "names more than %d runs: take a shorter stretch", maxBackfill)
	}
	overlap := schedule.BufferAll
	if r.Overlap != "" {
		overlap = schedule.Overlap(r.Overlap)
	}
	runs := make([]runRow, len(times))
	for i, at := range times {
		runs[i] = backfillOf(row, at, overlap, now)
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		if done.Planned, err = reviveRuns(ctx, tx, runs); err != nil {
			return err
		}
		a.DB.AfterCommit(ctx, a.pokeSchedules)
		row.WakeAt = now.UnixMicro()
		return overrideSchedule(ctx, tx, row, "wake_at")
	})
	done.Known = len(times) - done.Planned
	return done, err
}

func backfillOf(row scheduleRow, nominal time.Time, overlap schedule.Overlap, now time.Time) runRow {
	return runRow{
		ScheduleID: row.ID, Nominal: nominal.UnixMicro(), ExecutionID: runID(row.WorkflowID, nominal.UnixMicro()), Status: runDue,
		Overlap: string(overlap), Backfill: 1, DueAt: now.UnixMicro(), UpdatedAt: now.UnixMicro(),
	}
}
