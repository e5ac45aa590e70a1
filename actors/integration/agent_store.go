package integration

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// agentPolicyRow is a user's agent policy. Rules is JSON; UpdatedAt is in microseconds since the epoch.
type agentPolicyRow struct {
	bun.BaseModel `bun:"table:agent_policies"`

	UserID    string `bun:"user_id,pk"`
	Rules     string `bun:"rules"`
	UpdatedAt int64  `bun:"updated_at"`
}

// agentApprovalRow is an agent's request for approval. Times are microseconds since the epoch, 0 for none.
type agentApprovalRow struct {
	bun.BaseModel `bun:"table:agent_approvals"`

	ID        string `bun:"id,pk"`
	UserID    string `bun:"user_id"`
	Operation string `bun:"operation"`
	Target    string `bun:"target"`
	// Input is canonical JSON, members sorted and without spaces, sealed. Digest is of operation, target and input.
	Input     []byte `bun:"input"`
	Digest    string `bun:"digest"`
	Client    string `bun:"client"`
	Status    string `bun:"status"`
	CreatedAt int64  `bun:"created_at"`
	ExpiresAt int64  `bun:"expires_at"`
	DecidedAt int64  `bun:"decided_at"`
}

// resource is the request as its user sees it, with its input in clear.
func (r agentApprovalRow) resource(input []byte) subjects.AgentApproval {
	a := subjects.AgentApproval{
		ID: r.ID, Operation: r.Operation, Target: r.Target, Input: input, Client: r.Client, Status: r.Status,
		CreatedAt: time.UnixMicro(r.CreatedAt).UTC(), ExpiresAt: time.UnixMicro(r.ExpiresAt).UTC(),
	}
	if r.DecidedAt != 0 {
		at := time.UnixMicro(r.DecidedAt).UTC()
		a.DecidedAt = &at
	}
	return a
}

var (
	errNoAgentPolicy   = subjects.Errorf(subjects.CodeNotFound, "there is no agent policy")
	errNoAgentApproval = subjects.Errorf(subjects.CodeNotFound, "there is no such approval request")
)

// findAgentPolicy reads a user's policy; errNoAgentPolicy if the user has set none.
func findAgentPolicy(ctx context.Context, db bun.IDB, userID string) (row agentPolicyRow, err error) {
	err = db.NewSelect().Model(&row).Where("user_id = ?", userID).Scan(ctx)
	return row, database.OneRow(err, "reading an agent policy", errNoAgentPolicy)
}

func putAgentPolicy(ctx context.Context, tx bun.Tx, row *agentPolicyRow) error {
	_, err := tx.NewInsert().Model(row).On("CONFLICT (user_id) DO UPDATE").Set("rules = EXCLUDED.rules").Set("updated_at = EXCLUDED.updated_at").Exec(ctx)
	if err != nil {
		return fmt.Errorf("storing an agent policy: %w", err)
	}
	return nil
}

func findAgentApproval(ctx context.Context, db bun.IDB, userID, id string) (row agentApprovalRow, err error) {
	err = db.NewSelect().Model(&row).Where("id = ?", strings.ToLower(id)).Where("user_id = ?", userID).Scan(ctx)
	return row, database.OneRow(err, "reading an approval request", errNoAgentApproval)
}

// findOpenAgentApproval reads a user's pending request for the same call that has not expired.
func findOpenAgentApproval(ctx context.Context, db bun.IDB, of agentApprovalRow) (row agentApprovalRow, err error) {
	err = db.NewSelect().Model(&row).Where("user_id = ?", of.UserID).Where("digest = ?", of.Digest).
		Where("status = ?", subjects.AgentApprovalPending).Where("expires_at > ?", of.CreatedAt).Limit(1).Scan(ctx)
	return row, database.OneRow(err, "reading an approval request", errNoAgentApproval)
}

// countOpenAgentApprovals counts a user's requests that have not expired, up to limit.
func countOpenAgentApprovals(ctx context.Context, db bun.IDB, userID string, now, limit int64) (int64, error) {
	open := db.NewSelect().Model((*agentApprovalRow)(nil)).Column("id").Where("user_id = ?", userID).Where("expires_at > ?", now).Limit(limit)
	n, err := db.NewSelect().TableExpr("(?) AS pending", open).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting approval requests: %w", err)
	}
	return n, nil
}

func insertAgentApproval(ctx context.Context, tx bun.Tx, row *agentApprovalRow) error {
	if _, err := tx.NewInsert().Model(row).Exec(ctx); err != nil {
		return fmt.Errorf("storing an approval request: %w", err)
	}
	return nil
}

// changeAgentApproval sets the status of a request that has another one and has not expired. It reports whether it did, so that of two
// concurrent changes one succeeds.
func changeAgentApproval(ctx context.Context, tx bun.Tx, row agentApprovalRow, status string, now int64) (bool, error) {
	q := tx.NewUpdate().Model((*agentApprovalRow)(nil)).Set("status = ?", status).Where("id = ?", row.ID).Where("status = ?", row.Status).
		Where("expires_at > ?", now)
	if status != subjects.AgentApprovalUsed {
		q.Set("decided_at = ?", now)
	}
	result, err := q.Exec(ctx)
	n, err := affected(result, err, "changing an approval request")
	return n == 1, err
}

// pageOfAgentApprovals reads a user's requests in the order and number of newestFirst.
func pageOfAgentApprovals(
	ctx context.Context, db bun.IDB, userID string, r subjects.ListAgentApprovalsRequest, after string,
) (rows []agentApprovalRow, err error) {
	q := newestFirst(db.NewSelect().Model(&rows), r.PageRequest, after).Where("user_id = ?", userID)
	if r.Status != "" {
		q.Where("status = ?", r.Status)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing approval requests: %w", err)
	}
	return rows, nil
}

// deleteAgentApprovalsBefore deletes up to limit requests that expired before a time, and returns how many it deleted.
func deleteAgentApprovalsBefore(ctx context.Context, tx bun.Tx, before, limit int64) (int64, error) {
	old := tx.NewSelect().Model((*agentApprovalRow)(nil)).Column("id").Where("expires_at < ?", before).Order("expires_at").Limit(limit)
	result, err := tx.NewDelete().Model((*agentApprovalRow)(nil)).Where("id IN (?)", old).Exec(ctx)
	return affected(result, err, "deleting old approval requests")
}
