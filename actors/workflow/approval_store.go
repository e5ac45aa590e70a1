package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// approvalRow is a request of an execution for its user's approval.
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
	// DeliveredAt is when the execution received the answer, or the request was closed without one.
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

// findApproval reads an approval request of any user.
func findApproval(ctx context.Context, db bun.IDB, id string) (row approvalRow, err error) {
	err = db.NewSelect().Model(&row).Where("id = ?", id).Scan(ctx)
	return row, database.OneRow(err, "reading an approval", errNoApproval)
}

// insertApproval inserts an approval request, unless there is one with its id, and reports whether it did.
func insertApproval(ctx context.Context, tx database.Tx, row approvalRow) (bool, error) {
	result, err := tx.NewInsert().Model(&row).On("CONFLICT (id) DO NOTHING").Returning("NULL").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("inserting an approval: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// pageOfApprovals reads a user's approval requests, newest first, from after the given time of creation and id. It reads one row
// more than the page holds.
func pageOfApprovals(
	ctx context.Context, db bun.IDB, userID string, r subjects.ListApprovalsRequest, after int64, afterID string,
) ([]approvalRow, error) {
	var rows []approvalRow
	q := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Order("created_at DESC", "id DESC").Limit(int64(r.PageLimit() + 1))
	if afterID != "" {
		q.Where("created_at <= ?", after).Where("(created_at < ? OR id < ?)", after, afterID)
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

// settleApproval writes the result of a pending approval request. It reports whether the request was pending.
func settleApproval(ctx context.Context, tx database.Tx, row approvalRow) (bool, error) {
	result, err := tx.NewUpdate().Model(&row).Column("status", "comment", "decided_at", "delivered_at").WherePK().
		Where("status = ?", subjects.ApprovalPending).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("settling an approval: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// markDelivered records that the execution has received the answer.
func markDelivered(ctx context.Context, tx database.Tx, id string, now time.Time) error {
	_, err := tx.NewUpdate().Model((*approvalRow)(nil)).Set("delivered_at = ?", now.UnixMicro()).Where("id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("recording the delivery of an approval: %w", err)
	}
	return nil
}

// withdrawApprovals closes the pending approval requests of an execution's calls, which it no longer waits for.
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

// pendingCalls returns the ids of calls that have a pending approval request, by execution.
func pendingCalls(ctx context.Context, db bun.IDB, executionIDs []string) (map[string][]string, error) {
	var rows []approvalRow
	err := db.NewSelect().Model(&rows).Column("execution_id", "call_id").Where("execution_id IN (?)", bun.List(executionIDs)).
		Where("status = ?", subjects.ApprovalPending).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading pending approvals: %w", err)
	}
	calls := map[string][]string{}
	for _, row := range rows {
		calls[row.ExecutionID] = append(calls[row.ExecutionID], row.CallID)
	}
	return calls, nil
}

// hasOrphanedApprovals reports whether there are pending approval requests of executions that have ended.
func hasOrphanedApprovals(ctx context.Context, db bun.IDB) (bool, error) {
	found, err := db.NewSelect().Model((*approvalRow)(nil)).Where("status = 'pending'").
		Where("EXISTS (SELECT 1 FROM executions AS e WHERE e.id = ?TableAlias.execution_id AND e.ended_at > 0)").Exists(ctx)
	if err != nil {
		return false, fmt.Errorf("searching for orphaned approvals: %w", err)
	}
	return found, nil
}

// withdrawOrphanedApprovals closes the pending approval requests of executions that have ended.
func withdrawOrphanedApprovals(ctx context.Context, tx database.Tx, now time.Time) error {
	_, err := tx.NewUpdate().Model((*approvalRow)(nil)).Set("status = ?", subjects.ApprovalWithdrawn).
		Set("delivered_at = ?", now.UnixMicro()).Where("status = 'pending'").
		Where("EXISTS (SELECT 1 FROM executions AS e WHERE e.id = ?TableAlias.execution_id AND e.ended_at > 0)").Exec(ctx)
	if err != nil {
		return fmt.Errorf("withdrawing orphaned approvals: %w", err)
	}
	return nil
}

// expiredApprovals reads pending approval requests whose time is over, the oldest first.
func expiredApprovals(ctx context.Context, db bun.IDB, now time.Time, limit int) (rows []approvalRow, err error) {
	err = db.NewSelect().Model(&rows).Where("status = 'pending'").Where("expires_at > 0").Where("expires_at <= ?", now.UnixMicro()).
		Order("expires_at").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading expired approvals: %w", err)
	}
	return rows, nil
}

// undeliveredApprovals reads answers from before a time that their executions may not have received, the oldest first.
func undeliveredApprovals(ctx context.Context, db bun.IDB, before time.Time, limit int) (rows []approvalRow, err error) {
	err = db.NewSelect().Model(&rows).Where("delivered_at = 0").Where("decided_at > 0").Where("decided_at <= ?", before.UnixMicro()).
		Order("decided_at").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading undelivered approvals: %w", err)
	}
	return rows, nil
}
