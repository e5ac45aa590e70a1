package workflow

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// executionRow is the index of one execution, and the record of one that has ended.
type executionRow struct {
	bun.BaseModel `bun:"table:executions"`

	ID         string `bun:"id,pk"`
	UserID     string `bun:"user_id"`
	WorkflowID string `bun:"workflow_id"`
	Version    int    `bun:"version"`
	Name       string `bun:"name"`
	ConsentID  string `bun:"consent_id"`
	// Status is final once it is one of those that end; a live execution's is in its log.
	Status string `bun:"status"`
	// JobID is the execution's one job; empty while it waits and has ended.
	JobID string `bun:"job_id"`
	// Wakes counts what came from outside: a worker parks an execution only if nothing came since it looked.
	Wakes     int64  `bun:"wakes"`
	Input     string `bun:"input"`
	Output    string `bun:"output"`
	Error     string `bun:"error"`
	CreatedAt int64  `bun:"created_at"`
	StartedAt int64  `bun:"started_at"`
	EndedAt   int64  `bun:"ended_at"`
	PurgedAt  int64  `bun:"purged_at"`
}

// historyRow is the log of an execution that has ended.
type historyRow struct {
	bun.BaseModel `bun:"table:execution_histories"`

	ExecutionID string `bun:"execution_id,pk"`
	Events      string `bun:"events"`
}

// timerRow is when a parked execution is to be carried on.
type timerRow struct {
	bun.BaseModel `bun:"table:execution_timers"`

	ExecutionID string `bun:"execution_id,pk"`
	DueAt       int64  `bun:"due_at"`
}

// grant is the consent that the execution acts under.
func (e executionRow) grant() mesh.Grant {
	return mesh.Grant{UserID: e.UserID, Scope: subjects.ScopeWorkflowsExecute, ConsentID: e.ConsentID}
}

func (e executionRow) ended() bool { return machine.Status(e.Status).Ended() }

// resource is the execution as its owner sees it in a list.
func (e executionRow) resource() subjects.Execution {
	r := subjects.Execution{
		ID: e.ID, WorkflowID: e.WorkflowID, Version: e.Version, Name: e.Name, Status: e.Status, CreatedAt: moment(e.CreatedAt),
		StartedAt: optionalMoment(e.StartedAt), EndedAt: optionalMoment(e.EndedAt),
	}
	if e.Error != "" {
		r.Error = &subjects.ExecutionProblem{}
		if json.Unmarshal([]byte(e.Error), r.Error) != nil {
			r.Error = nil
		}
	}
	return r
}

func optionalMoment(micro int64) *time.Time {
	if micro == 0 {
		return nil
	}
	at := moment(micro)
	return &at
}

var errNoExecution = subjects.Errorf(subjects.CodeNotFound, "there is no such execution")

// findExecution reads one execution of a user.
func findExecution(ctx context.Context, db bun.IDB, userID, id string) (executionRow, error) {
	e, err := readExecution(ctx, db, id)
	if err == nil && e.UserID != userID {
		return executionRow{}, errNoExecution
	}
	return e, err
}

func readExecution(ctx context.Context, db bun.IDB, id string) (executionRow, error) {
	var e executionRow
	err := db.NewSelect().Model(&e).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return e, errNoExecution
	}
	if err != nil {
		return e, fmt.Errorf("reading an execution: %w", err)
	}
	return e, nil
}

// pageOfExecutions reads a user's executions, newest first, after the given creation and id.
func pageOfExecutions(
	ctx context.Context, db bun.IDB, userID string, r subjects.ListExecutionsRequest, after int64, afterID string,
) ([]executionRow, error) {
	var rows []executionRow
	q := db.NewSelect().Model(&rows).ExcludeColumn("input", "output").Where("user_id = ?", userID).
		Order("created_at DESC", "id DESC").Limit(int64(r.PageLimit() + 1))
	if afterID != "" {
		q.Where("(created_at < ? OR (created_at = ? AND id < ?))", after, after, afterID)
	}
	if r.WorkflowID != "" {
		q.Where("workflow_id = ?", r.WorkflowID)
	}
	if r.Since != nil {
		q.Where("created_at >= ?", r.Since.UnixMicro())
	}
	if r.Until != nil {
		q.Where("created_at < ?", r.Until.UnixMicro())
	}
	switch {
	case r.Status == "":
	case machine.Status(r.Status).Ended():
		// What is not recorded yet has perhaps ended: its log tells.
		q.Where("(status = ? OR ended_at = 0)", r.Status)
	default:
		q.Where("ended_at = 0")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing executions: %w", err)
	}
	return rows, nil
}

// readHistory reads the log of an execution that has ended.
func readHistory(ctx context.Context, db bun.IDB, id string) ([]byte, error) {
	var h historyRow
	if err := db.NewSelect().Model(&h).Where("execution_id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading an execution's history: %w", err)
	}
	return []byte(h.Events), nil
}

// wake counts one thing that came from outside, and gives a parked execution the job; it tells whether it did.
func wake(ctx context.Context, tx actors.Tx, id, jobID string) (bool, error) {
	_, err := tx.NewUpdate().Model((*executionRow)(nil)).Set("wakes = wakes + 1").
		Where("id = ?", id).Where("ended_at = 0").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("waking an execution: %w", err)
	}
	return takeJob(ctx, tx, id, jobID)
}

// takeJob gives a parked execution a job; it tells whether the execution had none.
func takeJob(ctx context.Context, tx actors.Tx, id, jobID string) (bool, error) {
	result, err := tx.NewUpdate().Model((*executionRow)(nil)).Set("job_id = ?", jobID).
		Where("id = ?", id).Where("ended_at = 0").Where("job_id = ''").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("giving an execution a job: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil || n == 0 {
		return false, err
	}
	if _, err := tx.NewDelete().Model((*timerRow)(nil)).Where("execution_id = ?", id).Exec(ctx); err != nil {
		return false, fmt.Errorf("dropping a timer: %w", err)
	}
	return true, nil
}

// park takes an execution's job away and sets its timer, if nothing came from outside since wakes was read. It
// tells whether that was so. A zero due sets no timer.
func park(ctx context.Context, tx actors.Tx, e executionRow, status machine.Status, due time.Time) (bool, error) {
	result, err := tx.NewUpdate().Model((*executionRow)(nil)).Set("job_id = ''").Set("status = ?", string(status)).
		Set("started_at = ?", e.StartedAt).
		Where("id = ?", e.ID).Where("job_id = ?", e.JobID).Where("wakes = ?", e.Wakes).Where("ended_at = 0").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("parking an execution: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil || n == 0 || due.IsZero() {
		return n == 1, err
	}
	_, err = tx.NewInsert().Model(&timerRow{ExecutionID: e.ID, DueAt: due.UnixMicro()}).
		On("CONFLICT (execution_id) DO UPDATE").Set("due_at = EXCLUDED.due_at").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("setting a timer: %w", err)
	}
	return true, nil
}

// dueTimers reads the executions to be carried on by now, and when the next one is.
func dueTimers(ctx context.Context, db bun.IDB, now time.Time, limit int) (due []timerRow, next time.Time, err error) {
	var rows []timerRow
	if err := db.NewSelect().Model(&rows).Order("due_at").Limit(int64(limit)).Scan(ctx); err != nil {
		return nil, next, fmt.Errorf("reading timers: %w", err)
	}
	for i, row := range rows {
		if row.DueAt > now.UnixMicro() {
			return rows[:i], moment(row.DueAt), nil
		}
	}
	return rows, next, nil
}

// end records what became of an execution; it tells whether that was not recorded yet.
func end(ctx context.Context, tx actors.Tx, e executionRow, events []byte) (bool, error) {
	result, err := tx.NewUpdate().Model(&e).Column("status", "output", "error", "started_at", "ended_at", "job_id").
		WherePK().Where("ended_at = 0").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("ending an execution: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil || n == 0 {
		return false, err
	}
	if _, err := tx.NewDelete().Model((*timerRow)(nil)).Where("execution_id = ?", e.ID).Exec(ctx); err != nil {
		return false, fmt.Errorf("dropping a timer: %w", err)
	}
	return true, insert(ctx, tx, &historyRow{ExecutionID: e.ID, Events: string(events)})
}

// endedBefore reads executions whose logs are in SQL and still in the stream too.
func endedBefore(ctx context.Context, db bun.IDB, before time.Time, limit int) (ids []string, err error) {
	err = db.NewSelect().Model((*executionRow)(nil)).Column("id").Where("purged_at = 0").Where("ended_at > 0").
		Where("ended_at <= ?", before.UnixMicro()).Order("ended_at").Limit(int64(limit)).Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("reading ended executions: %w", err)
	}
	return ids, nil
}

// purged notes that logs are no longer in the stream.
func purged(ctx context.Context, tx actors.Tx, ids []string, now time.Time) error {
	_, err := tx.NewUpdate().Model((*executionRow)(nil)).Set("purged_at = ?", now.UnixMicro()).
		Where("id IN (?)", bun.List(ids)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("noting what was purged: %w", err)
	}
	return nil
}
