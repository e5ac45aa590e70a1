package workflow

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// approvalRow is a question of an execution's. Times are microseconds since 1970, 0 for none.
type approvalRow struct {
	bun.BaseModel `bun:"table:approvals"`

	ID          string `bun:"id,pk"`
	UserID      string `bun:"user_id"`
	ExecutionID string `bun:"execution_id"`
	WorkflowID  string `bun:"workflow_id"`
	Name        string `bun:"name"`
	// CallID is the call that waits for the answer.
	CallID string `bun:"call_id"`
	Title  string `bun:"title"`
	Body   string `bun:"body"`
	// Data is JSON, or empty.
	Data string `bun:"data"`
	// OnTimeout is expire or fail.
	OnTimeout string `bun:"on_timeout"`
	Status    string `bun:"status"`
	Comment   string `bun:"comment"`
	CreatedAt int64  `bun:"created_at"`
	ExpiresAt int64  `bun:"expires_at"`
	DecidedAt int64  `bun:"decided_at"`
	// DeliveredAt is when the execution had the answer.
	DeliveredAt int64 `bun:"delivered_at"`
}

func (r approvalRow) resource() subjects.Approval {
	a := subjects.Approval{
		ID: r.ID, ExecutionID: r.ExecutionID, WorkflowID: r.WorkflowID, Workflow: r.Name, Title: r.Title, Body: r.Body,
		Status: r.Status, Comment: r.Comment, CreatedAt: machine.Moment(r.CreatedAt), ExpiresAt: engine.OptionalMoment(r.ExpiresAt),
		DecidedAt: engine.OptionalMoment(r.DecidedAt),
	}
	if r.Data != "" {
		a.Data = json.RawMessage(r.Data)
	}
	return a
}

var errNoApproval = subjects.Errorf(subjects.CodeNotFound, "there is no such approval")

func readApproval(ctx context.Context, db bun.IDB, id string) (approvalRow, error) {
	var row approvalRow
	err := db.NewSelect().Model(&row).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, errNoApproval
	}
	if err != nil {
		return row, fmt.Errorf("reading an approval: %w", err)
	}
	return row, nil
}

// addApproval keeps a question, unless it is known.
func addApproval(ctx context.Context, tx database.Tx, row approvalRow) error {
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (id) DO NOTHING").Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("keeping an approval: %w", err)
	}
	return nil
}

// pageOfApprovals reads a user's approvals, newest first, after the given creation and id.
func pageOfApprovals(
	ctx context.Context, db bun.IDB, userID string, r subjects.ListApprovalsRequest, after int64, afterID string,
) ([]approvalRow, error) {
	var rows []approvalRow
	q := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Order("created_at DESC", "id DESC").Limit(int64(r.PageLimit() + 1))
	if afterID != "" {
		q.Where("(created_at < ? OR (created_at = ? AND id < ?))", after, after, afterID)
	}
	if r.Status != "" {
		q.Where("status = ?", r.Status)
	}
	if r.ExecutionID != "" {
		q.Where("execution_id = ?", r.ExecutionID)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing approvals: %w", err)
	}
	return rows, nil
}

// settleApproval writes what became of a question that was pending; it tells whether it was.
func settleApproval(ctx context.Context, tx database.Tx, row approvalRow) (bool, error) {
	result, err := tx.NewUpdate().Model(&row).Column("status", "comment", "decided_at", "delivered_at").WherePK().
		Where("status = ?", subjects.ApprovalPending).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("settling an approval: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// deliveredApproval notes that the execution has the answer.
func deliveredApproval(ctx context.Context, tx database.Tx, id string, now time.Time) error {
	_, err := tx.NewUpdate().Model((*approvalRow)(nil)).Set("delivered_at = ?", now.UnixMicro()).Where("id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("noting that an approval was delivered: %w", err)
	}
	return nil
}

// withdrawApprovals closes the questions of an execution's calls that are not waited for any more.
func withdrawApprovals(ctx context.Context, tx database.Tx, executionID string, calls []string, now time.Time) error {
	if len(calls) == 0 {
		return nil
	}
	_, err := tx.NewUpdate().Model((*approvalRow)(nil)).Set("status = ?", subjects.ApprovalWithdrawn).
		Set("delivered_at = ?", now.UnixMicro()).Where("execution_id = ?", executionID).Where("call_id IN (?)", bun.List(calls)).
		Where("status = ?", subjects.ApprovalPending).Exec(ctx)
	if err != nil {
		return fmt.Errorf("withdrawing approvals: %w", err)
	}
	return nil
}

// pendingCalls reads which calls of executions have an open approval request, by execution.
func pendingCalls(ctx context.Context, db bun.IDB, executionIDs []string) (map[string][]string, error) {
	var rows []approvalRow
	err := db.NewSelect().Model(&rows).Column("execution_id", "call_id").Where("execution_id IN (?)", bun.List(executionIDs)).
		Where("status = ?", subjects.ApprovalPending).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading open approvals: %w", err)
	}
	calls := map[string][]string{}
	for _, row := range rows {
		calls[row.ExecutionID] = append(calls[row.ExecutionID], row.CallID)
	}
	return calls, nil
}

// hasOrphans tells whether there are open questions of executions that have ended.
func hasOrphans(ctx context.Context, db bun.IDB) (bool, error) {
	found, err := db.NewSelect().Model((*approvalRow)(nil)).Where("status = 'pending'").
		Where("EXISTS (SELECT 1 FROM executions AS e WHERE e.id = ?TableAlias.execution_id AND e.ended_at > 0)").Exists(ctx)
	if err != nil {
		return false, fmt.Errorf("looking for approvals that nobody waits for: %w", err)
	}
	return found, nil
}

// withdrawOrphans closes the questions of executions that have ended.
func withdrawOrphans(ctx context.Context, tx database.Tx, now time.Time) error {
	_, err := tx.NewUpdate().Model((*approvalRow)(nil)).Set("status = ?", subjects.ApprovalWithdrawn).
		Set("delivered_at = ?", now.UnixMicro()).Where("status = 'pending'").
		Where("EXISTS (SELECT 1 FROM executions AS e WHERE e.id = ?TableAlias.execution_id AND e.ended_at > 0)").Exec(ctx)
	if err != nil {
		return fmt.Errorf("withdrawing approvals: %w", err)
	}
	return nil
}

// expiringApprovals reads the questions whose time is over.
func expiringApprovals(ctx context.Context, db bun.IDB, now time.Time, limit int) (rows []approvalRow, err error) {
	err = db.NewSelect().Model(&rows).Where("status = 'pending'").Where("expires_at > 0").Where("expires_at <= ?", now.UnixMicro()).
		Order("expires_at").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading approvals whose time is over: %w", err)
	}
	return rows, nil
}

// undeliveredApprovals reads the answers that an execution has perhaps not got: those given before.
func undeliveredApprovals(ctx context.Context, db bun.IDB, before time.Time, limit int) (rows []approvalRow, err error) {
	err = db.NewSelect().Model(&rows).Where("delivered_at = 0").Where("decided_at > 0").Where("decided_at <= ?", before.UnixMicro()).
		Order("decided_at").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading answers to deliver: %w", err)
	}
	return rows, nil
}
