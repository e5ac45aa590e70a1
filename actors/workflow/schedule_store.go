package workflow

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// The statuses of a schedule's run.
const (
	runDue     = "due"
	runStarted = "started"
	runEnded   = "ended"
	runSkipped = "skipped"
	runMissed  = "missed"
	runRefused = "refused"
)

// scheduleRow is the schedule of a workflow's current version. Times are microseconds since 1970, 0 for none.
type scheduleRow struct {
	bun.BaseModel `bun:"table:schedules"`

	ID         string `bun:"id,pk"`
	UserID     string `bun:"user_id"`
	WorkflowID string `bun:"workflow_id"`
	Name       string `bun:"name"`
	Version    int    `bun:"version"`
	Kind       string `bun:"kind"`
	// Timing is what names the nominal times: while it stays the same, a new version goes on where the old one was.
	Timing   string `bun:"timing"`
	PausedAt int64  `bun:"paused_at"`
	Note     string `bun:"note"`
	// Anchor is what the times of every count from.
	Anchor int64 `bun:"anchor"`
	// NominalUntil: the nominal times up to here have their run. Of an after schedule, when the last run ended.
	NominalUntil int64 `bun:"nominal_until"`
	// WakeAt is when a process is to look at it.
	WakeAt int64 `bun:"wake_at"`
	// Revision counts the changes: who has read an older one changes nothing.
	Revision      int64  `bun:"revision"`
	RefusedAt     int64  `bun:"refused_at"`
	RefusedReason string `bun:"refused_reason"`
	CreatedAt     int64  `bun:"created_at"`
}

// runRow is what became of one nominal time.
type runRow struct {
	bun.BaseModel `bun:"table:schedule_runs"`

	ScheduleID  string `bun:"schedule_id,pk"`
	Nominal     int64  `bun:"nominal,pk"`
	ExecutionID string `bun:"execution_id"`
	Status      string `bun:"status"`
	Overlap     string `bun:"overlap"`
	Backfill    int64  `bun:"backfill"`
	DueAt       int64  `bun:"due_at"`
	Reason      string `bun:"reason"`
	UpdatedAt   int64  `bun:"updated_at"`
}

func (r runRow) resource() subjects.ScheduledRun {
	return subjects.ScheduledRun{
		NominalTime: machine.Moment(r.Nominal), ExecutionID: r.ExecutionID, Status: r.Status, Backfill: r.Backfill != 0, Reason: r.Reason,
	}
}

// derived is the id of what a workflow can have only once under a name. The same name gives the same id, always.
func derived(workflowID, name string) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte("weft/workflow/"+workflowID+"/"+name)).String()
}

// runID is the id of the execution for a nominal time.
func runID(workflowID string, nominal int64) string {
	return derived(workflowID, fmt.Sprintf("nominal/%d", nominal))
}

var errNoSchedule = subjects.Errorf(subjects.CodeNotFound, "there is no such schedule")

// findSchedule reads one schedule of a user.
func findSchedule(ctx context.Context, db bun.IDB, userID, id string) (scheduleRow, error) {
	var s scheduleRow
	err := db.NewSelect().Model(&s).Where("id = ?", id).Where("user_id = ?", userID).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return s, errNoSchedule
	}
	if err != nil {
		return s, fmt.Errorf("reading a schedule: %w", err)
	}
	return s, nil
}

// pageOfSchedules reads a user's schedules by id, after the given one.
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

// listeningSchedules reads a user's schedules that events start and that are not paused.
func listeningSchedules(ctx context.Context, db bun.IDB, userID string) ([]scheduleRow, error) {
	var rows []scheduleRow
	err := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Where("kind = 'on'").Where("paused_at = 0").Order("id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the schedules that listen: %w", err)
	}
	return rows, nil
}

// allowsStart tells whether a schedule still starts an execution: its run is due, or events start it and it is not paused.
func allowsStart(ctx context.Context, db bun.IDB, scheduleID, executionID string) (bool, error) {
	allowed, err := db.NewSelect().Model((*runRow)(nil)).Where("schedule_id = ?", scheduleID).Where("execution_id = ?", executionID).
		Where("status = 'due'").Exists(ctx)
	if err == nil && !allowed {
		allowed, err = db.NewSelect().Model((*scheduleRow)(nil)).Where("id = ?", scheduleID).Where("kind = 'on'").Where("paused_at = 0").Exists(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("looking whether a schedule starts an execution: %w", err)
	}
	return allowed, nil
}

// dueSchedules reads the schedules that are to be looked at, and when the next one is.
func dueSchedules(ctx context.Context, db bun.IDB, now time.Time, limit int) (due []scheduleRow, next time.Time, err error) {
	var rows []scheduleRow
	if err := db.NewSelect().Model(&rows).Where("wake_at > 0").Order("wake_at").Limit(int64(limit)).Scan(ctx); err != nil {
		return nil, next, fmt.Errorf("reading due schedules: %w", err)
	}
	for i, row := range rows {
		if row.WakeAt > now.UnixMicro() {
			return rows[:i], machine.Moment(row.WakeAt), nil
		}
	}
	return rows, next, nil
}

// changeSchedule writes columns of a schedule if nobody has changed it since it was read, and counts its revision up;
// it tells whether that was so.
func changeSchedule(ctx context.Context, tx database.Tx, s *scheduleRow, columns ...string) (bool, error) {
	read := s.Revision
	s.Revision++
	result, err := tx.NewUpdate().Model(s).Column(append(columns, "revision")...).WherePK().Where("revision = ?", read).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("changing a schedule: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// holdRevision keeps others from changing a schedule until the transaction ends, and tells whether nobody has since it was read.
func holdRevision(ctx context.Context, tx database.Tx, s scheduleRow) (bool, error) {
	result, err := tx.NewUpdate().Model((*scheduleRow)(nil)).Set("revision = revision").Where("id = ?", s.ID).
		Where("revision = ?", s.Revision).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("holding a schedule: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// countFrom has the next run of an after schedule count from a time, unless it does from a later one.
func countFrom(ctx context.Context, tx database.Tx, scheduleID string, at int64) error {
	_, err := tx.NewUpdate().Model((*scheduleRow)(nil)).Set("nominal_until = ?", at).Where("id = ?", scheduleID).
		Where("kind = 'after'").Where("nominal_until < ?", at).Exec(ctx)
	if err != nil {
		return fmt.Errorf("noting when a run has ended: %w", err)
	}
	return nil
}

// overrideSchedule writes columns of a schedule whoever has changed it meanwhile: what they write after is refused.
func overrideSchedule(ctx context.Context, tx database.Tx, s scheduleRow, columns ...string) error {
	_, err := tx.NewUpdate().Model(&s).Column(columns...).Set("revision = revision + 1").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("overriding a schedule: %w", err)
	}
	return nil
}

// dropSchedule forgets a workflow's schedule and its runs.
func dropSchedule(ctx context.Context, tx database.Tx, workflowID string) error {
	id := derived(workflowID, "schedule")
	if _, err := tx.NewDelete().Model((*runRow)(nil)).Where("schedule_id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("dropping a schedule's runs: %w", err)
	}
	if err := dropGatherings(ctx, tx, id); err != nil {
		return err
	}
	if _, err := tx.NewDelete().Model((*scheduleRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("dropping a schedule: %w", err)
	}
	return nil
}

// addRuns notes runs of nominal times that have none yet.
func addRuns(ctx context.Context, tx database.Tx, rows []runRow) error {
	if len(rows) == 0 {
		return nil
	}
	if _, err := tx.NewInsert().Model(&rows).On("CONFLICT (schedule_id, nominal) DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("noting a schedule's runs: %w", err)
	}
	return nil
}

// reviveRuns makes runs due that have not been; those of nominal times that are not known are added.
func reviveRuns(ctx context.Context, tx database.Tx, rows []runRow) (planned int, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	result, err := tx.NewInsert().Model(&rows).On("CONFLICT (schedule_id, nominal) DO UPDATE").
		Set("status = EXCLUDED.status").Set("overlap = EXCLUDED.overlap").Set("backfill = EXCLUDED.backfill").
		Set("due_at = EXCLUDED.due_at").Set("reason = EXCLUDED.reason").Set("updated_at = EXCLUDED.updated_at").
		Where("?TableAlias.status IN (?)", bun.List([]string{runSkipped, runMissed, runRefused})).Returning("NULL").Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("reviving a schedule's runs: %w", err)
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// openRuns reads the runs that are due or go on, by nominal time.
func openRuns(ctx context.Context, db bun.IDB, scheduleID string, limit int) ([]runRow, error) {
	var rows []runRow
	err := db.NewSelect().Model(&rows).Where("schedule_id = ?", scheduleID).Where("status IN ('due', 'started')").
		Order("nominal").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading a schedule's open runs: %w", err)
	}
	return rows, nil
}

// waitingRuns counts the runs that are due, by schedule.
func waitingRuns(ctx context.Context, db bun.IDB, ids []string) (map[string]int, error) {
	var rows []struct {
		ScheduleID string
		Count      int
	}
	if len(ids) == 0 {
		return nil, nil
	}
	err := db.NewSelect().Model((*runRow)(nil)).Column("schedule_id").ColumnExpr("count(*) AS count").
		Where("schedule_id IN (?)", bun.List(ids)).Where("status = 'due'").Group("schedule_id").Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("counting waiting runs: %w", err)
	}
	counts := map[string]int{}
	for _, row := range rows {
		counts[row.ScheduleID] = row.Count
	}
	return counts, nil
}

// recentRuns reads the newest runs by nominal time.
func recentRuns(ctx context.Context, db bun.IDB, scheduleID string, limit int) ([]runRow, error) {
	var rows []runRow
	err := db.NewSelect().Model(&rows).Where("schedule_id = ?", scheduleID).Order("nominal DESC").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading a schedule's runs: %w", err)
	}
	return rows, nil
}

// settleRun writes what became of a run that was in one of the statuses from; it tells whether it was.
func settleRun(ctx context.Context, tx database.Tx, r runRow, from ...string) (bool, error) {
	result, err := tx.NewUpdate().Model(&r).Column("status", "reason", "updated_at").WherePK().
		Where("status IN (?)", bun.List(from)).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("settling a schedule's run: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// leaveDue skips what a paused schedule had due, but for backfills.
func leaveDue(ctx context.Context, tx database.Tx, scheduleID string, now time.Time) error {
	_, err := tx.NewUpdate().Model((*runRow)(nil)).Set("status = ?", runSkipped).Set("reason = ?", "the schedule was paused").
		Set("updated_at = ?", now.UnixMicro()).
		Where("schedule_id = ?", scheduleID).Where("status = 'due'").Where("backfill = 0").Exec(ctx)
	if err != nil {
		return fmt.Errorf("skipping a paused schedule's runs: %w", err)
	}
	return nil
}

// forgetRuns drops what is known of nominal times before a given one, but for runs that are open.
func forgetRuns(ctx context.Context, tx database.Tx, scheduleID string, before time.Time) error {
	_, err := tx.NewDelete().Model((*runRow)(nil)).Where("schedule_id = ?", scheduleID).Where("nominal < ?", before.UnixMicro()).
		Where("status NOT IN ('due', 'started')").Exec(ctx)
	if err != nil {
		return fmt.Errorf("forgetting a schedule's runs: %w", err)
	}
	return nil
}

// endsOf reads when those of the executions ended that have; known are those that there are at all.
func endsOf(ctx context.Context, db bun.IDB, ids []string) (ends map[string]int64, known map[string]bool, err error) {
	var rows []struct {
		ID      string
		EndedAt int64
	}
	ends, known = map[string]int64{}, map[string]bool{}
	if len(ids) == 0 {
		return ends, known, nil
	}
	err = db.NewSelect().Model((*engine.Row)(nil)).Column("id", "ended_at").Where("id IN (?)", bun.List(ids)).Scan(ctx, &rows)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the ends of executions: %w", err)
	}
	for _, row := range rows {
		known[row.ID] = true
		if row.EndedAt > 0 {
			ends[row.ID] = row.EndedAt
		}
	}
	return ends, known, nil
}

// refusedRow is a start that did not come about.
type refusedRow struct {
	bun.BaseModel `bun:"table:refused_starts"`

	// ID is the execution's that would have been.
	ID         string `bun:"id,pk"`
	UserID     string `bun:"user_id"`
	WorkflowID string `bun:"workflow_id"`
	Version    int    `bun:"version"`
	Name       string `bun:"name"`
	// Cause is schedule or event.
	Cause     string `bun:"cause"`
	Input     string `bun:"input"`
	Error     string `bun:"error"`
	ErrorType string `bun:"error_type"`
	CreatedAt int64  `bun:"created_at"`
}

// noteRefusal keeps a start that did not come about; one that is tried again and refused again is kept anew.
func noteRefusal(ctx context.Context, tx database.Tx, r refusedRow) error {
	_, err := tx.NewInsert().Model(&r).On("CONFLICT (id) DO UPDATE").
		Set("error = EXCLUDED.error").Set("error_type = EXCLUDED.error_type").Set("created_at = EXCLUDED.created_at").Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("noting a refused start: %w", err)
	}
	return nil
}
