package workflow

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// The statuses of a run.
const (
	runDue     = "due"
	runStarted = "started"
	runEnded   = "ended"
	runSkipped = "skipped"
	runMissed  = "missed"
	runRefused = "refused"
)

// runRow is the run of a schedule for one nominal time.
type runRow struct {
	bun.BaseModel `bun:"table:schedule_runs"`

	ScheduleID string `bun:"schedule_id,pk"`
	Nominal    int64  `bun:"nominal,pk"`
	// ExecutionID is derived from the nominal time, see runID.
	ExecutionID string `bun:"execution_id"`
	Status      string `bun:"status"`
	Overlap     string `bun:"overlap"`
	// Backfill is 1 for a run that a backfill asked for, else 0.
	Backfill int64 `bun:"backfill"`
	// DueAt is the nominal time with jitter, or when the backfill was requested.
	DueAt int64 `bun:"due_at"`
	// Reason is why the run was skipped, missed or refused.
	Reason    string `bun:"reason"`
	UpdatedAt int64  `bun:"updated_at"`
}

func (r runRow) resource() subjects.ScheduledRun {
	return subjects.ScheduledRun{
		NominalTime: machine.Moment(r.Nominal), ExecutionID: r.ExecutionID, Status: r.Status, Backfill: r.Backfill != 0, Reason: r.Reason,
	}
}

// runID returns the id of the execution for a nominal time.
func runID(workflowID string, nominal int64) string {
	return derivedID(workflowID, fmt.Sprintf("nominal/%d", nominal))
}

// scheduleAllows reports whether a schedule may start an execution: its run is due, or it is an event schedule that is not paused.
func scheduleAllows(ctx context.Context, db bun.IDB, scheduleID, executionID string) (bool, error) {
	allowed, err := db.NewSelect().Model((*runRow)(nil)).Where("schedule_id = ?", scheduleID).Where("execution_id = ?", executionID).
		Where("status = 'due'").Exists(ctx)
	if err == nil && !allowed {
		allowed, err = db.NewSelect().Model((*scheduleRow)(nil)).Where("id = ?", scheduleID).Where("listens").Where("paused_at = 0").Exists(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("checking whether a schedule may start an execution: %w", err)
	}
	return allowed, nil
}

// insertRuns inserts runs, except for nominal times that have one.
func insertRuns(ctx context.Context, tx database.Tx, rows []runRow) error {
	if len(rows) == 0 {
		return nil
	}
	if _, err := tx.NewInsert().Model(&rows).On("CONFLICT (schedule_id, nominal) DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("inserting runs: %w", err)
	}
	return nil
}

// backfillRuns inserts runs that are due. Existing runs that were skipped, missed or refused become due again; others stay. It returns
// how many became due.
func backfillRuns(ctx context.Context, tx database.Tx, rows []runRow) (planned int, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	result, err := tx.NewInsert().Model(&rows).On("CONFLICT (schedule_id, nominal) DO UPDATE").
		Set("status = EXCLUDED.status").Set("overlap = EXCLUDED.overlap").Set("backfill = EXCLUDED.backfill").
		Set("due_at = EXCLUDED.due_at").Set("reason = EXCLUDED.reason").Set("updated_at = EXCLUDED.updated_at").
		Where("?TableAlias.status IN (?)", bun.List([]string{runSkipped, runMissed, runRefused})).Returning("NULL").Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("backfilling runs: %w", err)
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// openRuns reads up to limit runs that are due or running, by nominal time.
func openRuns(ctx context.Context, db bun.IDB, scheduleID string, limit int) ([]runRow, error) {
	var rows []runRow
	err := db.NewSelect().Model(&rows).Where("schedule_id = ?", scheduleID).Where("status IN ('due', 'started')").
		Order("nominal").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading open runs: %w", err)
	}
	return rows, nil
}

// countDueRuns counts the runs that are due, by schedule.
func countDueRuns(ctx context.Context, db bun.IDB, ids []string) (map[string]int, error) {
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
		return nil, fmt.Errorf("counting due runs: %w", err)
	}
	counts := map[string]int{}
	for _, row := range rows {
		counts[row.ScheduleID] = row.Count
	}
	return counts, nil
}

// recentRuns reads up to limit runs of a schedule, newest first by nominal time.
func recentRuns(ctx context.Context, db bun.IDB, scheduleID string, limit int) ([]runRow, error) {
	var rows []runRow
	err := db.NewSelect().Model(&rows).Where("schedule_id = ?", scheduleID).Order("nominal DESC").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading runs: %w", err)
	}
	return rows, nil
}

// settleRun writes the status and reason of a run that is in one of the statuses from. It reports whether the run was.
func settleRun(ctx context.Context, tx database.Tx, r runRow, from ...string) (bool, error) {
	result, err := tx.NewUpdate().Model(&r).Column("status", "reason", "updated_at").WherePK().
		Where("status IN (?)", bun.List(from)).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("settling a run: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// skipDueRuns skips the due runs of a schedule that is paused, except backfills.
func skipDueRuns(ctx context.Context, tx database.Tx, scheduleID string, now time.Time) error {
	_, err := tx.NewUpdate().Model((*runRow)(nil)).Set("status = ?", runSkipped).Set("reason = ?", "the schedule was paused").
		Set("updated_at = ?", now.UnixMicro()).
		Where("schedule_id = ?", scheduleID).Where("status = 'due'").Where("backfill = 0").Exec(ctx)
	if err != nil {
		return fmt.Errorf("skipping due runs: %w", err)
	}
	return nil
}

// deleteOldRuns deletes the runs of nominal times before a given one, except open ones.
func deleteOldRuns(ctx context.Context, tx database.Tx, scheduleID string, before time.Time) error {
	_, err := tx.NewDelete().Model((*runRow)(nil)).Where("schedule_id = ?", scheduleID).Where("nominal < ?", before.UnixMicro()).
		Where("status NOT IN ('due', 'started')").Exec(ctx)
	if err != nil {
		return fmt.Errorf("deleting old runs: %w", err)
	}
	return nil
}

// executionEnds returns when those executions that have ended did. known has those that SQL knows at all.
func executionEnds(ctx context.Context, db bun.IDB, ids []string) (ends map[string]int64, known map[string]bool, err error) {
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
