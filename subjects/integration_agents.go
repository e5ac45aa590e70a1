package subjects

import (
	"encoding/json"
	"time"
)

// ActionMatch is an action that a search found.
type ActionMatch struct {
	Provider    string `json:"provider"`
	Action      string `json:"action"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty" doc:"At most its first 300 bytes."`
	Safety      string `json:"safety,omitempty" enum:"read,idempotent,write_once" doc:"Absent if it depends on the input."`
}

// ActionMatches is the result of a search.
type ActionMatches struct {
	Items []ActionMatch `json:"items"`
	Total int           `json:"total" doc:"How many actions match; items has the best of them."`
}

// SearchActionsRequest is a search for actions.
type SearchActionsRequest struct {
	Query    string `json:"q,omitempty" in:"query" maxLength:"200" doc:"Words; an action matches if each is contained in its id, title or description or those of its provider, ignoring case."`
	Provider string `json:"provider,omitempty" in:"query" maxLength:"64" doc:"Only actions of this provider."`
	Limit    int    `json:"limit,omitempty" in:"query" minimum:"1" maximum:"50" doc:"Default 20."`
}

// SearchActions searches the actions of all providers.
var SearchActions = declare(Endpoint[SearchActionsRequest, ActionMatches]{
	Subject: "weft.v1.integration.search_actions", Route: "GET /v1/actions", Access: Scope(ScopeIntegrationsRead),
	Summary: "Search actions",
	Doc:     "Returns the actions that contain all words of a query: those that have more of them in id and title first, then by provider and id.",
})

// Decisions of an agent policy.
const (
	AgentAllow = "allow"
	AgentAsk   = "ask"
	AgentDeny  = "deny"
)

// AgentWorkflowStart is the operation that starting a workflow is to an agent policy. An action is <provider>.<action>.
const AgentWorkflowStart = "workflow.start"

// AgentRule decides about the operations that match a pattern.
type AgentRule struct {
	Pattern  string `json:"pattern" maxLength:"130" pattern:"^[a-z0-9_*]+\\.[a-z0-9_*]+$" doc:"<provider>.<action> or workflow.start; * stands for any characters." example:"github.create_*"`
	Decision string `json:"decision" enum:"allow,ask,deny"`
}

// AgentPolicy says what agents may do for a user. The first rule that matches decides. Without one, reads are allowed, and the
// rest asks.
type AgentPolicy struct {
	Rules     []AgentRule `json:"rules" maxItems:"100"`
	UpdatedAt *time.Time  `json:"updated_at,omitempty" doc:"Absent if the user has set none."`
}

// SetAgentPolicyRequest replaces the policy.
type SetAgentPolicyRequest struct {
	Rules []AgentRule `json:"rules" maxItems:"100"`
}

// GetAgentPolicy returns the caller's policy.
var GetAgentPolicy = declare(Endpoint[Empty, AgentPolicy]{
	Subject: "weft.v1.integration.get_agent_policy", Route: "GET /v1/agents/policy", Access: User,
	Summary: "My agent policy", Doc: "Returns the rules of what agents (clients of /mcp) may do for the caller.",
})

// SetAgentPolicy replaces the caller's policy.
var SetAgentPolicy = declare(Endpoint[SetAgentPolicyRequest, AgentPolicy]{
	Subject: "weft.v1.integration.set_agent_policy", Route: "PUT /v1/agents/policy", Access: User,
	Summary: "Set my agent policy",
	Doc: "Replaces the rules of what agents may do. The first rule that matches an operation decides: allow, ask (a person approves " +
		"each call) or deny. Without a matching rule reads are allowed and the rest asks. API keys are not accepted: a person must decide.",
})

// Statuses of an agent's approval request. It expires at its expires_at whatever its status.
const (
	AgentApprovalPending  = "pending"
	AgentApprovalApproved = "approved"
	AgentApprovalRejected = "rejected"
	AgentApprovalUsed     = "used"
)

// AgentApproval is an agent's request for approval of one call with exactly these arguments.
type AgentApproval struct {
	ID         string          `json:"id"`
	Operation  string          `json:"operation" doc:"<provider>.<action> or workflow.start."`
	Target     string          `json:"target" doc:"The id of the connection or workflow."`
	Input      json.RawMessage `json:"input" doc:"The input of the call."`
	Client     string          `json:"client" doc:"The agent's program as it names itself; not verified."`
	Status     string          `json:"status" enum:"pending,approved,rejected,used"`
	CreatedAt  time.Time       `json:"created_at"`
	ExpiresAt  time.Time       `json:"expires_at" doc:"From then on it can be neither decided nor used."`
	DecidedAt  *time.Time      `json:"decided_at,omitempty"`
	ApproveURL string          `json:"approve_url,omitempty" doc:"Where the decision is posted."`
}

// ListAgentApprovalsRequest filters the list.
type ListAgentApprovalsRequest struct {
	PageRequest
	Status string `json:"status,omitempty" in:"query" enum:"pending,approved,rejected,used"`
}

// ListAgentApprovals lists the caller's approval requests of agents.
var ListAgentApprovals = declare(Endpoint[ListAgentApprovalsRequest, Page[AgentApproval]]{
	Subject: "weft.v1.integration.list_agent_approvals", Route: "GET /v1/agents/approvals", Access: Scope(ScopeIntegrationsRead),
	Summary: "Approval requests of my agents",
	Doc:     "Lists the calls for which agents asked for approval, newest first, including expired ones as long as calls are logged.",
})

// DecideAgentApprovalRequest carries a decision.
type DecideAgentApprovalRequest struct {
	ApprovalID string `json:"approval_id" in:"path" format:"uuid"`
	Decision   string `json:"decision" enum:"approve,reject"`
}

// DecideAgentApproval decides an approval request of an agent.
var DecideAgentApproval = declare(Endpoint[DecideAgentApprovalRequest, AgentApproval]{
	Subject: "weft.v1.integration.decide_agent_approval", Route: "POST /v1/agents/approvals/{approval_id}", Access: User,
	Summary: "Approve or reject an agent's call",
	Doc: "Decides an approval request of an agent. An approved call may be made once, with exactly its arguments, until it expires; " +
		"nothing is executed by the decision. conflict if it was decided otherwise, used or has expired; repeating the same decision has " +
		"no effect. API keys are not accepted: a person must decide.",
})

// AuthorizeAgentActionRequest asks whether an agent may call an action.
type AuthorizeAgentActionRequest struct {
	IntegrationID string          `json:"integration_id" format:"uuid"`
	Action        string          `json:"action" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
	Input         json.RawMessage `json:"input,omitempty" doc:"A JSON object of at most 64 KiB; default {}."`
	ApprovalID    string          `json:"approval_id,omitempty" format:"uuid" doc:"An approved request for the same arguments; it is used up."`
	Client        string          `json:"client,omitempty" maxLength:"100" doc:"The agent's program."`
	ReadOnly      bool            `json:"read_only,omitempty" doc:"Refuse an action that is not a read."`
}

// AuthorizeAgentWorkflowRequest asks whether an agent may start a workflow.
type AuthorizeAgentWorkflowRequest struct {
	WorkflowID string          `json:"workflow_id" format:"uuid"`
	Input      json.RawMessage `json:"input,omitempty" doc:"A JSON object of at most 64 KiB; default {}."`
	ApprovalID string          `json:"approval_id,omitempty" format:"uuid" doc:"An approved request for the same arguments; it is used up."`
	Client     string          `json:"client,omitempty" maxLength:"100" doc:"The agent's program."`
}

// AgentAuthorization is whether an agent's call may be made now.
type AgentAuthorization struct {
	Decision string         `json:"decision" enum:"allow,ask" doc:"ask: not before the approval is approved."`
	Approval *AgentApproval `json:"approval,omitempty" doc:"With ask: the request for approval."`
}

const agentDoc = "Decides by the caller's agent policy. allow: the call may be made once, now. ask: it waits for the approval " +
	"that is returned; the same arguments return the same one while it is pending. forbidden if the policy denies the operation or the " +
	"approval was rejected; invalid, approval_id, if the approval is of other arguments, used or expired."

// AuthorizeAgentAction decides whether an agent may call an action.
var AuthorizeAgentAction = declare(Endpoint[AuthorizeAgentActionRequest, AgentAuthorization]{
	Subject: "weft.v1.integration.authorize_agent_action", Access: Scope(ScopeIntegrationsExecute),
	Summary: "May an agent call an action?", Doc: agentDoc,
})

// AuthorizeAgentWorkflow decides whether an agent may start a workflow.
var AuthorizeAgentWorkflow = declare(Endpoint[AuthorizeAgentWorkflowRequest, AgentAuthorization]{
	Subject: "weft.v1.integration.authorize_agent_workflow", Access: Scope(ScopeWorkflowsExecute),
	Summary: "May an agent start a workflow?", Doc: agentDoc,
})
