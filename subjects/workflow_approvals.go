package subjects

import (
	"encoding/json"
	"time"
)

// The statuses of an approval.
const (
	ApprovalPending   = "pending"
	ApprovalApproved  = "approved"
	ApprovalRejected  = "rejected"
	ApprovalExpired   = "expired"
	ApprovalWithdrawn = "withdrawn"
)

// Approval is a question that an execution waits for a person to answer.
type Approval struct {
	ID          string          `json:"id"`
	ExecutionID string          `json:"execution_id"`
	WorkflowID  string          `json:"workflow_id"`
	Workflow    string          `json:"workflow" doc:"The workflow's name."`
	Title       string          `json:"title"`
	Body        string          `json:"body,omitempty"`
	Data        json.RawMessage `json:"data,omitempty" doc:"What the workflow gave to decide by."`
	Status      string          `json:"status" enum:"pending,approved,rejected,expired,withdrawn" doc:"withdrawn: the execution does not wait for it any more."`
	Comment     string          `json:"comment,omitempty"`
	CreatedAt   time.Time       `json:"created_at"`
	ExpiresAt   *time.Time      `json:"expires_at,omitempty"`
	DecidedAt   *time.Time      `json:"decided_at,omitempty"`
}

// ListApprovalsRequest narrows the list.
type ListApprovalsRequest struct {
	PageRequest
	Status      string `json:"status,omitempty" in:"query" enum:"pending,approved,rejected,expired,withdrawn"`
	ExecutionID string `json:"execution_id,omitempty" in:"query" format:"uuid"`
}

// ListApprovals lists the caller's approvals.
var ListApprovals = declare(Endpoint[ListApprovalsRequest, Page[Approval]]{
	Subject: "weft.v1.workflow.list_approvals", Route: "GET /v1/approvals", Access: Scope(ScopeWorkflowsRead),
	Summary: "My approvals", Doc: "Lists what executions of the caller's have asked, newest first.",
})

// ApprovalRequest names an approval.
type ApprovalRequest struct {
	ApprovalID string `json:"approval_id" in:"path" format:"uuid"`
}

// GetApproval answers with an approval.
var GetApproval = declare(Endpoint[ApprovalRequest, Approval]{
	Subject: "weft.v1.workflow.get_approval", Route: "GET /v1/approvals/{approval_id}", Access: Scope(ScopeWorkflowsRead),
	Summary: "One approval", Doc: "Answers with one of the caller's approvals.",
})

// DecideApprovalRequest answers an approval.
type DecideApprovalRequest struct {
	ApprovalID string `json:"approval_id" in:"path" format:"uuid"`
	Decision   string `json:"decision" enum:"approve,reject"`
	Comment    string `json:"comment,omitempty" maxLength:"2000"`
}

// DecideApproval answers what an execution asks.
var DecideApproval = declare(Endpoint[DecideApprovalRequest, Approval]{
	Subject: "weft.v1.workflow.decide_approval", Route: "POST /v1/approvals/{approval_id}",
	Access:  User,
	Summary: "Approve or reject",
	Doc: "Answers what an execution asks, and lets it go on with the decision. conflict where it was decided otherwise, has expired, or " +
		"is not waited for any more; the same decision twice is harmless. No API key reaches this: a person decides.",
})
