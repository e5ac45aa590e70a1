package workflow

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// scheduleRow is the schedule of a workflow, as its current version declares it.
type scheduleRow struct {
	bun.BaseModel `bun:"table:schedules"`

	ID         string `bun:"id,pk"`
	UserID     string `bun:"user_id"`
	WorkflowID string `bun:"workflow_id"`
	Name       string `bun:"name"`
	Version    int    `bun:"version"`
	// Kind is the first of the plan's kinds. Listens: events start runs too.
	Kind    string `bun:"kind"`
	Listens bool   `bun:"listens"`
	// Timing is what determines the nominal times, see timingOf. A new version with the same timing continues where the old one
	// was.
	Timing   string `bun:"timing"`
	PausedAt int64  `bun:"paused_at"`
	Note     string `bun:"note"`
	// Anchor is the time from which the intervals of every count.
	Anchor int64 `bun:"anchor"`
	// NominalUntil is the time up to which nominal times are materialised.
	NominalUntil int64 `bun:"nominal_until"`
	// AfterFrom is the end of the last run, from which after counts; 0 if the schedule has no after.
	AfterFrom int64 `bun:"after_from"`
	// WakeAt is when the next scheduler pass is due.
	WakeAt int64 `bun:"wake_at"`
	// Revision counts the changes, for optimistic locking.
	Revision int64 `bun:"revision"`
	// RefusedAt is when the first of the latest starts was refused; 0 if the last start succeeded.
	RefusedAt     int64  `bun:"refused_at"`
	RefusedReason string `bun:"refused_reason"`
	CreatedAt     int64  `bun:"created_at"`
}

// derivedID returns the id of something that a workflow has at most once under a name: the same names give the same id.
func derivedID(workflowID, name string) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte("weft/workflow/"+workflowID+"/"+name)).String()
}

// scheduleID returns the id of a workflow's schedule.
func scheduleID(workflowID string) string { return derivedID(workflowID, "schedule") }

var errNoSchedule = subjects.Errorf(subjects.CodeNotFound, "there is no such schedule")

// findSchedule reads one of a user's schedules.
func findSchedule(ctx context.Context, db bun.IDB, userID, id string) (s scheduleRow, err error) {
	err = db.NewSelect().Model(&s).Where("id = ?", id).Where("user_id = ?", userID).Scan(ctx)
	return s, database.OneRow(err, "reading a schedule", errNoSchedule)
}

// pageOfSchedules reads a user's schedules by id, from after the given one. It reads one row more than the page holds.
func pageOfSchedules(ctx context.Context, db bun.IDB, userID string, r subjects.ListSchedulesRequest, after string) ([]scheduleRow, error) {
	var rows []scheduleRow
	q := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Order("id").Limit(int64(r.PageLimit() + 1))
	if after != "" {
		q.Where("id > ?", after)
	}
	if r.WorkflowID != "" {
		q.Where("workflow_id = ?", r.WorkflowID)
	}
	switch {
	case r.Paused == nil:
	case *r.Paused:
		q.Where("paused_at > 0")
	default:
		q.Where("paused_at = 0")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing schedules: %w", err)
	}
	return rows, nil
}

// eventSchedules reads a user's schedules that start on events and are not paused.
func eventSchedules(ctx context.Context, db bun.IDB, userID string) ([]scheduleRow, error) {
	var rows []scheduleRow
	err := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Where("listens").Where("paused_at = 0").Order("id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading event schedules: %w", err)
	}
	return rows, nil
}

// dueUsers returns the users with schedules for which a scheduler pass is due, and when the next pass of any other schedule is; zero
// if that is unknown.
func dueUsers(ctx context.Context, db bun.IDB, now time.Time) (users []string, next time.Time, err error) {
	err = db.NewSelect().Model((*scheduleRow)(nil)).Column("user_id").Where("wake_at > 0").Where("wake_at <= ?", now.UnixMicro()).
		Group("user_id").OrderExpr("min(wake_at)").Scan(ctx, &users)
	if err != nil {
		return nil, next, fmt.Errorf("reading due schedules: %w", err)
	}
	var wake int64
	err = db.NewSelect().Model((*scheduleRow)(nil)).ColumnExpr("coalesce(min(wake_at), 0)").Where("wake_at > ?", now.UnixMicro()).Scan(ctx, &wake)
	if err != nil {
		return nil, next, fmt.Errorf("reading the next due schedule: %w", err)
	}
	if wake == 0 {
		return users, next, nil
	}
	return users, machine.Moment(wake), nil
}

// dueSchedules reads up to limit schedules of a user for which a scheduler pass is due, the longest due first.
func dueSchedules(ctx context.Context, db bun.IDB, userID string, now time.Time, limit int) ([]scheduleRow, error) {
	var rows []scheduleRow
	err := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Where("wake_at > 0").Where("wake_at <= ?", now.UnixMicro()).
		Order("wake_at", "id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the due schedules of a user: %w", err)
	}
	return rows, nil
}

// updateSchedule writes columns of a schedule unless its row has changed since it was read. It increments the revision and reports
// whether it wrote.
func updateSchedule(ctx context.Context, tx database.Tx, s *scheduleRow, columns ...string) (bool, error) {
	read := s.Revision
	s.Revision++
	result, err := tx.NewUpdate().Model(s).Column(append(columns, "revision")...).WherePK().Where("revision = ?", read).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("updating a schedule: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// advanceAfter sets the time from which the next run of an after schedule counts, unless a later one is set.
func advanceAfter(ctx context.Context, tx database.Tx, scheduleID string, at int64) error {
	_, err := tx.NewUpdate().Model((*scheduleRow)(nil)).Set("after_from = ?", at).Where("id = ?", scheduleID).
		Where("after_from > 0").Where("after_from < ?", at).Exec(ctx)
	if err != nil {
		return fmt.Errorf("recording the end of a run: %w", err)
	}
	return nil
}

// overrideSchedule writes columns of a schedule whatever its revision, and increments that: concurrent updates fail.
func overrideSchedule(ctx context.Context, tx database.Tx, s scheduleRow, columns ...string) error {
	_, err := tx.NewUpdate().Model(&s).Column(columns...).Set("revision = revision + 1").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("overriding a schedule: %w", err)
	}
	return nil
}

// deleteSchedule deletes a workflow's schedule with its runs and correlations.
func deleteSchedule(ctx context.Context, tx database.Tx, workflowID string) error {
	id := scheduleID(workflowID)
	if _, err := tx.NewDelete().Model((*runRow)(nil)).Where("schedule_id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("deleting a schedule's runs: %w", err)
	}
	if err := deleteCorrelations(ctx, tx, id); err != nil {
		return err
	}
	if _, err := tx.NewDelete().Model((*scheduleRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("deleting a schedule: %w", err)
	}
	return nil
}
