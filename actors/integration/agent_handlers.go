package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

// agents decides what agents may do, by their users' policies.
type agents struct {
	actors.Deps
	config   Config
	registry *registry
	calls    *callExecutor
}

func (a *agents) searchActions(_ context.Context, r subjects.SearchActionsRequest) (subjects.ActionMatches, error) {
	return searchActions(a.registry.all(), r), nil
}

func (a *agents) getAgentPolicy(ctx context.Context, _ subjects.Empty) (subjects.AgentPolicy, error) {
	return a.agentPolicy(ctx, actors.CallerFrom(ctx).UserID)
}

// agentPolicy returns a user's policy, which has no rules if the user has set none.
func (a *agents) agentPolicy(ctx context.Context, userID string) (subjects.AgentPolicy, error) {
	policy := subjects.AgentPolicy{Rules: []subjects.AgentRule{}}
	row, err := findAgentPolicy(ctx, a.DB.DB, userID)
	if errors.Is(err, errNoAgentPolicy) {
		return policy, nil
	}
	if err != nil {
		return policy, err
	}
	if err := json.Unmarshal([]byte(row.Rules), &policy.Rules); err != nil {
		return policy, fmt.Errorf("decoding an agent policy: %w", err)
	}
	at := time.UnixMicro(row.UpdatedAt).UTC()
	policy.UpdatedAt = &at
	return policy, nil
}

func (a *agents) setAgentPolicy(ctx context.Context, r subjects.SetAgentPolicyRequest) (subjects.AgentPolicy, error) {
	rules, err := subjects.Encode(r.Rules)
	if err != nil {
		return subjects.AgentPolicy{}, fmt.Errorf("encoding an agent policy: %w", err)
	}
	now := a.Now()
	row := agentPolicyRow{UserID: actors.CallerFrom(ctx).UserID, Rules: string(rules), UpdatedAt: now.UnixMicro()}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return putAgentPolicy(ctx, tx, &row) })
	at := time.UnixMicro(row.UpdatedAt).UTC()
	return subjects.AgentPolicy{Rules: r.Rules, UpdatedAt: &at}, err
}

// authorizeAgentAction resolves the action by the connection, so that its safety is never the caller's claim.
func (a *agents) authorizeAgentAction(ctx context.Context, r subjects.AuthorizeAgentActionRequest) (subjects.AgentAuthorization, error) {
	none := subjects.AgentAuthorization{}
	c, err := a.calls.connectionNamed(ctx, r.IntegrationID)
	if err != nil {
		return none, err
	}
	action, err := a.registry.action(c.Provider, r.Action)
	if err != nil {
		return none, err
	}
	if r.ReadOnly && action.Safety != egress.Read {
		return none, subjects.InvalidField("action", "is not a read")
	}
	return a.authorizeAgent(ctx, agentApprovalRow{Operation: c.Provider + "." + action.ID, Target: c.ID, Client: r.Client}, action.Safety, r.Input, r.ApprovalID)
}

func (a *agents) authorizeAgentWorkflow(ctx context.Context, r subjects.AuthorizeAgentWorkflowRequest) (subjects.AgentAuthorization, error) {
	row := agentApprovalRow{Operation: subjects.AgentWorkflowStart, Target: strings.ToLower(r.WorkflowID), Client: r.Client}
	return a.authorizeAgent(ctx, row, egress.WriteOnce, r.Input, r.ApprovalID)
}

// authorizeAgent decides about a call, whose row has operation, target and client.
func (a *agents) authorizeAgent(
	ctx context.Context, row agentApprovalRow, safety egress.Safety, input json.RawMessage, approvalID string,
) (subjects.AgentAuthorization, error) {
	none := subjects.AgentAuthorization{}
	if len(input) > maxAgentInput {
		return none, subjects.InvalidField("input", "must have at most %d bytes", maxAgentInput)
	}
	object, err := decodeObject(input)
	if err != nil {
		return none, subjects.InvalidField("input", "must be a JSON object")
	}
	canonical, err := json.Marshal(object)
	if err != nil {
		return none, fmt.Errorf("encoding an input: %w", err)
	}
	row.ID, row.UserID, row.Status = a.NewID(), actors.CallerFrom(ctx).UserID, subjects.AgentApprovalPending
	row.Digest = agentDigest(row.Operation, row.Target, canonical)
	row.CreatedAt, row.ExpiresAt = a.Now().UnixMicro(), a.Now().Add(agentApprovalTTL).UnixMicro()
	policy, err := a.agentPolicy(ctx, row.UserID)
	if err != nil {
		return none, err
	}
	switch decideForAgent(policy.Rules, row.Operation, safety) {
	case subjects.AgentAllow:
		return subjects.AgentAuthorization{Decision: subjects.AgentAllow}, nil
	case subjects.AgentDeny:
		return none, subjects.Errorf(subjects.CodeForbidden, "your agent policy denies %s", row.Operation)
	}
	var authorization subjects.AgentAuthorization
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		var err error
		if approvalID == "" {
			authorization, err = a.askForAgent(ctx, tx, row, canonical)
		} else {
			authorization, err = a.useAgentApproval(ctx, tx, row, approvalID)
		}
		return err
	})
	return authorization, err
}

// askForAgent returns the pending request for the call, or creates one.
func (a *agents) askForAgent(ctx context.Context, tx database.Tx, row agentApprovalRow, input []byte) (subjects.AgentAuthorization, error) {
	none := subjects.AgentAuthorization{}
	pending, err := findOpenAgentApproval(ctx, tx, row)
	if err == nil {
		return a.asks(pending)
	}
	if !errors.Is(err, errNoAgentApproval) {
		return none, err
	}
	n, err := countOpenAgentApprovals(ctx, tx, row.UserID, row.CreatedAt, maxAgentApprovals)
	if err != nil {
		return none, err
	}
	if n >= maxAgentApprovals {
		return none, &subjects.Error{
			Code: subjects.CodeRateLimited, Reason: subjects.ReasonLimitReached, RetryAfter: agentApprovalTTL / maxAgentApprovals,
			Detail: fmt.Sprintf("at most %d approval requests within %s", maxAgentApprovals, agentApprovalTTL),
		}
	}
	if row.Input, err = a.Sealer.Seal(input, agentApprovalContext(&row)); err != nil {
		return none, fmt.Errorf("sealing the input of an approval request: %w", err)
	}
	if err := insertAgentApproval(ctx, tx, &row); err != nil {
		return none, err
	}
	return a.asks(row)
}

// useAgentApproval uses up an approved request for exactly the call of row. The transaction commits before the call is made, so that it
// is made at most once.
func (a *agents) useAgentApproval(ctx context.Context, tx database.Tx, row agentApprovalRow, id string) (subjects.AgentAuthorization, error) {
	none := subjects.AgentAuthorization{}
	found, err := findAgentApproval(ctx, tx, row.UserID, id)
	switch {
	case errors.Is(err, errNoAgentApproval):
		return none, subjects.InvalidField("approval_id", "is unknown")
	case err != nil:
		return none, err
	case found.Digest != row.Digest:
		return none, subjects.InvalidField("approval_id", "is for other arguments")
	case found.ExpiresAt <= row.CreatedAt:
		return none, subjects.InvalidField("approval_id", "has expired; call without it to ask again")
	}
	switch found.Status {
	case subjects.AgentApprovalPending:
		return a.asks(found)
	case subjects.AgentApprovalRejected:
		return none, subjects.Errorf(subjects.CodeForbidden, "the user rejected this call")
	case subjects.AgentApprovalApproved:
		changed, err := changeAgentApproval(ctx, tx, found, subjects.AgentApprovalUsed, row.CreatedAt)
		if err != nil {
			return none, err
		}
		if changed {
			return subjects.AgentAuthorization{Decision: subjects.AgentAllow}, nil
		}
	}
	return none, subjects.InvalidField("approval_id", "was used already; call without it to ask again")
}

// asks is the answer that a call waits for an approval.
func (a *agents) asks(row agentApprovalRow) (subjects.AgentAuthorization, error) {
	approval, err := a.agentApproval(row)
	return subjects.AgentAuthorization{Decision: subjects.AgentAsk, Approval: &approval}, err
}

// agentApproval is a request as its user sees it, with the URL of its decision.
func (a *agents) agentApproval(row agentApprovalRow) (subjects.AgentApproval, error) {
	input, err := a.Sealer.Open(row.Input, agentApprovalContext(&row))
	if err != nil {
		return subjects.AgentApproval{}, fmt.Errorf("opening the input of the approval request %s: %w", row.ID, err)
	}
	r := row.resource(input)
	r.ApproveURL = strings.TrimSuffix(a.config.PublicURL, "/") + "/v1/agents/approvals/" + r.ID
	return r, nil
}

// agentApprovalContext is the associated data of a request's sealed input.
func agentApprovalContext(r *agentApprovalRow) []byte {
	return []byte("integration|" + r.UserID + "|" + r.ID + "|agent_input")
}

func (a *agents) listAgentApprovals(ctx context.Context, r subjects.ListAgentApprovalsRequest) (subjects.Page[subjects.AgentApproval], error) {
	none := subjects.Page[subjects.AgentApproval]{}
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return none, err
	}
	rows, err := pageOfAgentApprovals(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r, after[0])
	if err != nil {
		return none, err
	}
	items := make([]subjects.AgentApproval, len(rows))
	for i, row := range rows {
		if items[i], err = a.agentApproval(row); err != nil {
			return none, err
		}
	}
	return actors.PageOf(items, r.PageLimit(), func(r subjects.AgentApproval) []string { return []string{r.ID} }), nil
}

func (a *agents) decideAgentApproval(ctx context.Context, r subjects.DecideAgentApprovalRequest) (subjects.AgentApproval, error) {
	status := subjects.AgentApprovalApproved
	if r.Decision == "reject" {
		status = subjects.AgentApprovalRejected
	}
	var row agentApprovalRow
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		row, err = findAgentApproval(ctx, tx, actors.CallerFrom(ctx).UserID, r.ApprovalID)
		if err != nil || row.Status == status {
			return err
		}
		now := a.Now().UnixMicro()
		changed := false
		if row.Status == subjects.AgentApprovalPending {
			if changed, err = changeAgentApproval(ctx, tx, row, status, now); err != nil {
				return err
			}
		}
		if !changed {
			return subjects.Errorf(subjects.CodeConflict, "the approval request was decided already or has expired")
		}
		row.Status, row.DecidedAt = status, now
		return nil
	})
	if err != nil {
		return subjects.AgentApproval{}, err
	}
	return a.agentApproval(row)
}

// sweepAgentApprovals deletes requests at the age at which calls are deleted from the log, until ctx ends.
func (a *agents) sweepAgentApprovals(ctx context.Context) error {
	return wait.Repeat(ctx, a.config.Calls.SweepEvery, func(ctx context.Context) error {
		before := a.Now().Add(-a.config.Calls.KeepFor).UnixMicro()
		return a.DB.InBatches(ctx, sweepBatch, func(ctx context.Context, tx database.Tx) (int64, error) {
			return deleteAgentApprovalsBefore(ctx, tx, before, sweepBatch)
		})
	})
}
