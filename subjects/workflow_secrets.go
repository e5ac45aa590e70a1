package subjects

import (
	"encoding/json"
	"time"
)

// WorkflowSecret is a secret for workflows. Its value is write-only.
type WorkflowSecret struct {
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// PutWorkflowSecretRequest carries a secret.
type PutWorkflowSecretRequest struct {
	Name  string          `json:"name" in:"path" pattern:"^[A-Za-z][A-Za-z0-9_-]{0,62}$" doc:"The name that definitions use in use.secrets."`
	Value json.RawMessage `json:"value" doc:"A string or an object, such as {\"username\": …, \"password\": …} for an authentication that uses it."`
}

// PutWorkflowSecret stores a secret for the caller's workflows.
var PutWorkflowSecret = declare(Endpoint[PutWorkflowSecretRequest, WorkflowSecret]{
	Subject: "weft.v1.workflow.put_secret", Route: "PUT /v1/secrets/{name}", Access: Scope(ScopeWorkflowsExecute),
	MaxMessage: 128 << 10,
	Summary:    "Set a workflow secret",
	Doc: "Stores a string or an object of at most 16 KiB, sealed, for those of the caller's workflows that name it in use.secrets, and " +
		"replaces any previous value. Calls use the value at their start. No endpoint returns it. rate_limited beyond workflow.max_secrets_per_user secrets.",
})

// ListWorkflowSecrets lists the names of the caller's secrets.
var ListWorkflowSecrets = declare(Endpoint[PageRequest, Page[WorkflowSecret]]{
	Subject: "weft.v1.workflow.list_secrets", Route: "GET /v1/secrets", Access: Scope(ScopeWorkflowsRead),
	Summary: "My secrets", Doc: "Lists the names of the caller's secrets, without their values.",
})

// WorkflowSecretRequest names a secret.
type WorkflowSecretRequest struct {
	Name string `json:"name" in:"path" pattern:"^[A-Za-z][A-Za-z0-9_-]{0,62}$"`
}

// DeleteWorkflowSecret deletes a secret.
var DeleteWorkflowSecret = declare(Endpoint[WorkflowSecretRequest, Empty]{
	Subject: "weft.v1.workflow.delete_secret", Route: "DELETE /v1/secrets/{name}", Access: Scope(ScopeWorkflowsExecute),
	Summary: "Delete a secret",
	Doc:     "Deletes a secret. Calls that use it then fail with a configuration error.",
})
