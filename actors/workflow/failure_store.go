package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// failureMarkRow is the result of a failure, by the failure's id. A failure without a mark is open.
type failureMarkRow struct {
	bun.BaseModel `bun:"table:failure_marks"`

	ID     string `bun:"id,pk"`
	UserID string `bun:"user_id"`
	// Status is subjects.FailureReplayed or subjects.FailureDismissed.
	Status     string `bun:"status"`
	ReplayedAs string `bun:"replayed_as"`
	CreatedAt  int64  `bun:"created_at"`
}

// refusedStartRow is a start that a schedule or an event asked for and that was refused.
type refusedStartRow struct {
	bun.BaseModel `bun:"table:refused_starts"`

	// ID is the id of the execution that would have started.
	ID         string `bun:"id,pk"`
	UserID     string `bun:"user_id"`
	WorkflowID string `bun:"workflow_id"`
	Version    int    `bun:"version"`
	Name       string `bun:"name"`
	// Cause is schedule or event.
	Cause string `bun:"cause"`
	// Input is null if it could not be computed or was too large. Bytes is its length.
	Input string `bun:"input"`
	Bytes int64  `bun:"bytes"`
	// Error is a machine.Error as JSON.
	Error     string `bun:"error"`
	ErrorType string `bun:"error_type"`
	CreatedAt int64  `bun:"created_at"`
}

func (r refusedStartRow) resource() subjects.Failure {
	return subjects.Failure{
		ID: r.ID, WorkflowID: r.WorkflowID, Version: r.Version, Name: r.Name, Kind: "start", Trigger: r.Cause,
		Error: engine.Row{Error: r.Error}.Resource().Error, At: machine.Moment(r.CreatedAt), Input: json.RawMessage(r.Input),
	}
}

// failureQuery selects failures of a user.
type failureQuery struct {
	userID string
	subjects.FailureFilter

	status string
	limit  int
	// after and afterID are the time and the id of the previous page's last item.
	after   int64
	afterID string
	// oldestFirst reverses the order, which is newest first.
	oldestFirst bool
}

// apply adds the query's conditions to one over a table f with the columns of executions or refused starts.
func (f failureQuery) apply(q *bun.SelectQuery) *bun.SelectQuery {
	q.Where("f.user_id = ?", f.userID).Limit(int64(f.limit))
	if f.oldestFirst {
		q.OrderExpr("f.created_at, f.id")
	} else {
		q.OrderExpr("f.created_at DESC, f.id DESC")
	}
	if f.afterID != "" {
		q.Where("f.created_at <= ?", f.after).Where("(f.created_at < ? OR f.id < ?)", f.after, f.afterID)
	}
	if f.WorkflowID != "" {
		q.Where("f.workflow_id = ?", f.WorkflowID)
	}
	if f.Since != nil {
		q.Where("f.created_at >= ?", f.Since.UnixMicro())
	}
	if f.Until != nil {
		q.Where("f.created_at < ?", f.Until.UnixMicro())
	}
	if f.ErrorType != "" {
		q.Where("f.error_type = ?", fullErrorType(f.ErrorType))
	}
	if f.status == subjects.FailureOpen {
		q.Where("NOT EXISTS (SELECT 1 FROM failure_marks AS m WHERE m.id = f.id)")
	} else {
		q.Where("EXISTS (SELECT 1 FROM failure_marks AS m WHERE m.id = f.id AND m.status = ?)", f.status)
	}
	return q
}

// fullErrorType returns the URI of an error type in a filter. A name without a scheme is one of the specification's types.
func fullErrorType(name string) string {
	if !strings.Contains(name, ":") {
		return errorTypePrefix + name
	}
	return name
}

// errorTypePrefix is what the URIs of the specification's error types begin with.
var errorTypePrefix = strings.TrimSuffix(machine.TypeTimeout, "timeout")

// failedExecutions reads executions that faulted.
func failedExecutions(ctx context.Context, db bun.IDB, f failureQuery) (rows []engine.Row, err error) {
	q := db.NewSelect().Model(&rows).ModelTableExpr("executions AS f").
		ColumnExpr("f.id, f.user_id, f.workflow_id, f.version, f.name, f.origin_kind, f.error, f.created_at").Where("f.status = 'faulted'")
	if err := f.apply(q).Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing failed executions: %w", err)
	}
	return rows, nil
}

// refusedStarts reads refused starts. Those whose execution exists, because a later attempt succeeded, are not open.
func refusedStarts(ctx context.Context, db bun.IDB, f failureQuery) (rows []refusedStartRow, err error) {
	q := f.apply(db.NewSelect().Model(&rows).ModelTableExpr("refused_starts AS f").ColumnExpr("f.*"))
	if f.status == subjects.FailureOpen {
		q.Where("NOT EXISTS (SELECT 1 FROM executions AS e WHERE e.id = f.id)")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing refused starts: %w", err)
	}
	return rows, nil
}

// findRefusedStart reads a refused start of a user; errNoFailure if there is none.
func findRefusedStart(ctx context.Context, db bun.IDB, userID, id string) (row refusedStartRow, err error) {
	err = db.NewSelect().Model(&row).Where("id = ?", id).Where("user_id = ?", userID).Scan(ctx)
	return row, database.OneRow(err, "reading a refused start", errNoFailure)
}

// putRefusedStart inserts a refused start, or updates its error if it was refused before.
func putRefusedStart(ctx context.Context, tx database.Tx, r refusedStartRow) error {
	r.Bytes = int64(len(r.Input))
	_, err := tx.NewInsert().Model(&r).On("CONFLICT (id) DO UPDATE").
		Set("error = EXCLUDED.error").Set("error_type = EXCLUDED.error_type").Set("created_at = EXCLUDED.created_at").Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("recording a refused start: %w", err)
	}
	return nil
}

// failureMarks reads the marks of failures, by id.
func failureMarks(ctx context.Context, db bun.IDB, ids []string) (map[string]failureMarkRow, error) {
	marks := map[string]failureMarkRow{}
	if len(ids) == 0 {
		return marks, nil
	}
	var rows []failureMarkRow
	if err := db.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading failure marks: %w", err)
	}
	for _, row := range rows {
		marks[row.ID] = row
	}
	return marks, nil
}

// putFailureMark records the result of a failure. A failure that was replayed stays replayed.
func putFailureMark(ctx context.Context, tx database.Tx, row failureMarkRow) error {
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (id) DO UPDATE").Set("status = EXCLUDED.status").
		Set("replayed_as = EXCLUDED.replayed_as").Set("created_at = EXCLUDED.created_at").
		Where("?TableAlias.status <> ?", subjects.FailureReplayed).Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("recording a failure mark: %w", err)
	}
	return nil
}

// markRunStarted changes a schedule's refused run to started, after its start was replayed.
func markRunStarted(ctx context.Context, tx database.Tx, workflowID, executionID string, now time.Time) error {
	_, err := tx.NewUpdate().Model((*runRow)(nil)).Set("status = ?", runStarted).Set("reason = ''").Set("updated_at = ?", now.UnixMicro()).
		Where("schedule_id = ?", scheduleID(workflowID)).Where("execution_id = ?", executionID).
		Where("status = ?", runRefused).Exec(ctx)
	if err != nil {
		return fmt.Errorf("recording the start of a replayed run: %w", err)
	}
	return nil
}
