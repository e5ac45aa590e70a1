package workflow

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// markRow is what became of a failure; one without is open.
type markRow struct {
	bun.BaseModel `bun:"table:failure_marks"`

	ID         string `bun:"id,pk"`
	UserID     string `bun:"user_id"`
	Status     string `bun:"status"`
	ReplayedAs string `bun:"replayed_as"`
	CreatedAt  int64  `bun:"created_at"`
}

// failureQuery selects failures of a user's.
type failureQuery struct {
	userID string
	subjects.FailureFilter
	status string
	limit  int
	// after and afterID are where the page before ended. oldest lists in the order of time.
	after   int64
	afterID string
	oldest  bool
}

// narrow applies the query to a table that has executions, or what would have been some.
func (f failureQuery) narrow(q *bun.SelectQuery) *bun.SelectQuery {
	q.Where("f.user_id = ?", f.userID).Limit(int64(f.limit))
	if f.oldest {
		q.OrderExpr("f.created_at, f.id")
	} else {
		q.OrderExpr("f.created_at DESC, f.id DESC")
	}
	if f.afterID != "" {
		q.Where("(f.created_at < ? OR (f.created_at = ? AND f.id < ?))", f.after, f.after, f.afterID)
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
		q.Where("f.error_type = ?", errorType(f.ErrorType))
	}
	if f.status == subjects.FailureOpen {
		q.Where("NOT EXISTS (SELECT 1 FROM failure_marks AS m WHERE m.id = f.id)")
	} else {
		q.Where("EXISTS (SELECT 1 FROM failure_marks AS m WHERE m.id = f.id AND m.status = ?)", f.status)
	}
	return q
}

// errorType is the full type of an error that a filter names; a name without a scheme is one of the specification's own types.
func errorType(name string) string {
	if !strings.Contains(name, ":") {
		return typePrefix + name
	}
	return name
}

// typePrefix is what the types of the specification's own errors begin with.
var typePrefix = strings.TrimSuffix(machine.TypeTimeout, "timeout")

// failedExecutions reads executions that ended with an error.
func failedExecutions(ctx context.Context, db bun.IDB, f failureQuery) (rows []engine.Row, err error) {
	q := db.NewSelect().Model(&rows).ModelTableExpr("executions AS f").
		ColumnExpr("f.id, f.user_id, f.workflow_id, f.version, f.name, f.origin_kind, f.error, f.created_at").Where("f.status = 'faulted'")
	if err := f.narrow(q).Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing failed executions: %w", err)
	}
	return rows, nil
}

// refusedStarts reads starts that did not come about; one that has since is none of the open ones.
func refusedStarts(ctx context.Context, db bun.IDB, f failureQuery) (rows []refusedRow, err error) {
	q := f.narrow(db.NewSelect().Model(&rows).ModelTableExpr("refused_starts AS f").ColumnExpr("f.*"))
	if f.status == subjects.FailureOpen {
		q.Where("NOT EXISTS (SELECT 1 FROM executions AS e WHERE e.id = f.id)")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing refused starts: %w", err)
	}
	return rows, nil
}

// marksOf reads what became of failures.
func marksOf(ctx context.Context, db bun.IDB, ids []string) (map[string]markRow, error) {
	marks := map[string]markRow{}
	if len(ids) == 0 {
		return marks, nil
	}
	var rows []markRow
	if err := db.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading what became of failures: %w", err)
	}
	for _, row := range rows {
		marks[row.ID] = row
	}
	return marks, nil
}

// mark notes what became of a failure. What was replayed stays that.
func mark(ctx context.Context, tx database.Tx, row markRow) error {
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (id) DO UPDATE").Set("status = EXCLUDED.status").
		Set("replayed_as = EXCLUDED.replayed_as").Set("created_at = EXCLUDED.created_at").
		Where("?TableAlias.status <> ?", subjects.FailureReplayed).Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("noting what became of a failure: %w", err)
	}
	return nil
}

// readRefused reads starts of a user's that did not come about, by their ids.
func readRefused(ctx context.Context, db bun.IDB, userID, id string) (rows []refusedRow, err error) {
	if err := db.NewSelect().Model(&rows).Where("id = ?", id).Where("user_id = ?", userID).Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading a refused start: %w", err)
	}
	return rows, nil
}

// startedLate notes that a schedule's run that was refused was started after all.
func startedLate(ctx context.Context, tx database.Tx, workflowID, executionID string, now time.Time) error {
	_, err := tx.NewUpdate().Model((*runRow)(nil)).Set("status = ?", runStarted).Set("reason = ''").Set("updated_at = ?", now.UnixMicro()).
		Where("schedule_id = ?", derived(workflowID, "schedule")).Where("execution_id = ?", executionID).
		Where("status = ?", runRefused).Exec(ctx)
	if err != nil {
		return fmt.Errorf("noting a run that was replayed: %w", err)
	}
	return nil
}
