package subjects

import (
	"encoding/json"
	"time"
)

// Statuses of an approval request.
const (
	ApprovalPending   = "pending"
	ApprovalApproved  = "approved"
	ApprovalRejected  = "rejected"
	ApprovalExpired   = "expired"
	ApprovalWithdrawn = "withdrawn"
)

// Approval is an approval request: an execution waits for a person to decide it.
type Approval struct {
	ID          string          `json:"id"`
	ExecutionID string          `json:"execution_id"`
	WorkflowID  string          `json:"workflow_id"`
	Workflow    string          `json:"workflow" doc:"The workflow's name."`
	Title       string          `json:"title"`
	Body        string          `json:"body,omitempty"`
	Data        json.RawMessage `json:"data,omitempty" doc:"Data from the workflow to base the decision on."`
	Status      string          `json:"status" enum:"pending,approved,rejected,expired,withdrawn" doc:"withdrawn: the execution no longer waits for it."`
	Comment     string          `json:"comment,omitempty"`
	CreatedAt   time.Time       `json:"created_at"`
	ExpiresAt   *time.Time      `json:"expires_at,omitempty"`
	DecidedAt   *time.Time      `json:"decided_at,omitempty"`
}

// ListApprovalsRequest filters the list.
type ListApprovalsRequest struct {
	PageRequest
	Status      string `json:"status,omitempty" in:"query" enum:"pending,approved,rejected,expired,withdrawn"`
	ExecutionID string `json:"execution_id,omitempty" in:"query" format:"uuid"`
}

// ListApprovals lists the caller's approval requests.
var ListApprovals = declare(Endpoint[ListApprovalsRequest, Page[Approval]]{
	Subject: "weft.v1.workflow.list_approvals", Route: "GET /v1/approvals", Access: Scope(ScopeWorkflowsRead),
	Summary: "My approvals", Doc: "Lists the approval requests of the caller's executions, newest first.",
})

// ApprovalRequest names an approval request.
type ApprovalRequest struct {
	ApprovalID string `json:"approval_id" in:"path" format:"uuid"`
}

// GetApproval returns an approval request.
var GetApproval = declare(Endpoint[ApprovalRequest, Approval]{
	Subject: "weft.v1.workflow.get_approval", Route: "GET /v1/approvals/{approval_id}", Access: Scope(ScopeWorkflowsRead),
	Summary: "One approval", Doc: "Returns one of the caller's approval requests.",
})

// DecideApprovalRequest carries a decision.
type DecideApprovalRequest struct {
	ApprovalID string `json:"approval_id" in:"path" format:"uuid"`
	Decision   string `json:"decision" enum:"approve,reject"`
	Comment    string `json:"comment,omitempty" maxLength:"2000"`
}

// DecideApproval decides an approval request.
var DecideApproval = declare(Endpoint[DecideApprovalRequest, Approval]{
	Subject: "weft.v1.workflow.decide_approval", Route: "POST /v1/approvals/{approval_id}",
	Access:  User,
	Summary: "Approve or reject",
	Doc: "Decides an approval request; the execution continues with the decision. conflict if it was decided otherwise, has expired or " +
		"was withdrawn; repeating the same decision has no effect. API keys are not accepted: a person must decide.",
})
