package subjects

import (
	"encoding/json"
	"time"
)

// Workflow is a workflow of a user's in one version of its definition.
type Workflow struct {
	ID        string          `json:"id"`
	Name      string          `json:"name" doc:"document.name of the definition."`
	Namespace string          `json:"namespace" doc:"document.namespace of the definition."`
	Title     string          `json:"title,omitempty"`
	Summary   string          `json:"summary,omitempty"`
	Version   int             `json:"version" doc:"Counts up from 1 with each update; executions name it."`
	Declared  string          `json:"declared_version" doc:"document.version of the definition, the author's own."`
	Digest    string          `json:"digest" doc:"sha256 of the definition's canonical JSON: the same for YAML and JSON of the same content."`
	Tasks     int             `json:"tasks" doc:"How many tasks the definition has."`
	CreatedAt time.Time       `json:"created_at"`
	UpdatedAt time.Time       `json:"updated_at" doc:"When this version was made."`
	Document  json.RawMessage `json:"definition,omitempty" doc:"The definition as JSON; left out of lists."`
	Source    string          `json:"source,omitempty" doc:"The definition as it was handed in, where that was YAML; left out of lists."`
}

// WorkflowDefinitionRequest hands in a definition.
type WorkflowDefinitionRequest struct {
	Definition json.RawMessage `json:"definition" doc:"An Open Workflow 1.0.3 document: a JSON object, or YAML as a string."`
}

// CreateWorkflow keeps a new workflow.
var CreateWorkflow = declare(Endpoint[WorkflowDefinitionRequest, Workflow]{
	Subject: "weft.v1.workflow.create_workflow", Route: "POST /v1/workflows", Status: 201,
	Access: Scope(ScopeWorkflowsExecute), Body: Body{Kind: BodyJSONOrYAML, Field: "definition"},
	Location: "/v1/workflows/{id}",
	Summary:  "Create a workflow",
	Doc: "Keeps an Open Workflow 1.0.3 document (formerly CNCF Serverless Workflow) as version 1 of a new workflow. " +
		"`invalid` names every fault by line, column and JSON pointer. What the specification defines and this version " +
		"does not run is `unsupported`, named the same way, and never ignored.",
})

// UpdateWorkflowRequest hands in a workflow's next definition.
type UpdateWorkflowRequest struct {
	WorkflowID string          `json:"workflow_id" in:"path" format:"uuid"`
	Definition json.RawMessage `json:"definition" doc:"An Open Workflow 1.0.3 document: a JSON object, or YAML as a string."`
}

// UpdateWorkflow makes a workflow's next version.
var UpdateWorkflow = declare(Endpoint[UpdateWorkflowRequest, Workflow]{
	Subject: "weft.v1.workflow.update_workflow", Route: "PUT /v1/workflows/{workflow_id}",
	Access: Scope(ScopeWorkflowsExecute), Body: Body{Kind: BodyJSONOrYAML, Field: "definition"},
	Summary: "Update a workflow",
	Doc: "Makes the definition the workflow's next version. Versions are immutable: running executions keep theirs. A " +
		"definition with the digest of the current version changes nothing and answers with it.",
})

// WorkflowVersionRequest names a workflow and one of its versions.
type WorkflowVersionRequest struct {
	WorkflowID string `json:"workflow_id" in:"path" format:"uuid"`
	Version    int    `json:"version,omitempty" in:"query" minimum:"1" doc:"The current version unless given."`
}

// GetWorkflow answers with a workflow.
var GetWorkflow = declare(Endpoint[WorkflowVersionRequest, Workflow]{
	Subject: "weft.v1.workflow.get_workflow", Route: "GET /v1/workflows/{workflow_id}",
	Access:  Scope(ScopeWorkflowsRead),
	Summary: "One workflow", Doc: "Answers with one of the caller's workflows and its definition, in one version.",
})

// GetWorkflowDiagram draws a workflow.
var GetWorkflowDiagram = declare(Endpoint[WorkflowVersionRequest, Document]{
	Subject: "weft.v1.workflow.get_workflow_diagram", Route: "GET /v1/workflows/{workflow_id}/diagram",
	Access: Scope(ScopeWorkflowsRead), Produces: "text/plain",
	Summary: "A picture of a workflow", Doc: "Draws one of the caller's workflows, in one version, as the text of a Mermaid flowchart.",
})

// ListWorkflowsRequest narrows the list.
type ListWorkflowsRequest struct {
	PageRequest
	Name string `json:"name,omitempty" in:"query" maxLength:"63" doc:"Only workflows of this document.name."`
}

// ListWorkflows lists the caller's workflows.
var ListWorkflows = declare(Endpoint[ListWorkflowsRequest, Page[Workflow]]{
	Subject: "weft.v1.workflow.list_workflows", Route: "GET /v1/workflows", Access: Scope(ScopeWorkflowsRead),
	Summary: "My workflows", Doc: "Lists the caller's workflows in their current versions, newest first, without definitions.",
})

// WorkflowRequest names a workflow.
type WorkflowRequest struct {
	WorkflowID string `json:"workflow_id" in:"path" format:"uuid"`
}

// DeleteWorkflow deletes a workflow.
var DeleteWorkflow = declare(Endpoint[WorkflowRequest, Empty]{
	Subject: "weft.v1.workflow.delete_workflow", Route: "DELETE /v1/workflows/{workflow_id}",
	Access:  Scope(ScopeWorkflowsExecute),
	Summary: "Delete a workflow",
	Doc:     "Deletes a workflow: it is not found and not started any more. Executions keep their version and go on.",
})

// ListWorkflowVersionsRequest names a workflow and a page.
type ListWorkflowVersionsRequest struct {
	WorkflowRequest
	PageRequest
}

// ListWorkflowVersions lists a workflow's versions.
var ListWorkflowVersions = declare(Endpoint[ListWorkflowVersionsRequest, Page[Workflow]]{
	Subject: "weft.v1.workflow.list_versions", Route: "GET /v1/workflows/{workflow_id}/versions",
	Access:  Scope(ScopeWorkflowsRead),
	Summary: "A workflow's versions", Doc: "Lists the versions of a workflow, newest first, without definitions.",
})

// WorkflowFault is one thing wrong with a definition.
type WorkflowFault struct {
	Line    int    `json:"line" doc:"From 1."`
	Column  int    `json:"column" doc:"From 1."`
	Pointer string `json:"pointer" doc:"JSON pointer of the value at fault (RFC 6901); empty for the whole document."`
	Code    string `json:"code" enum:"syntax,too_large,duplicate,unknown_field,missing,type,value,expression,reference,unsupported"`
	Message string `json:"message"`
}

// WorkflowValidation tells whether a definition would be taken.
type WorkflowValidation struct {
	Valid  bool            `json:"valid"`
	Digest string          `json:"digest,omitempty"`
	Tasks  int             `json:"tasks,omitempty"`
	Faults []WorkflowFault `json:"faults"`
}

// ValidateWorkflow tells what is wrong with a definition.
var ValidateWorkflow = declare(Endpoint[WorkflowDefinitionRequest, WorkflowValidation]{
	Subject: "weft.v1.workflow.validate_workflow", Route: "POST /v1/workflows/validate", ReadOnly: true,
	Access: Scope(ScopeWorkflowsRead), Body: Body{Kind: BodyJSONOrYAML, Field: "definition"},
	Summary: "Check a definition",
	Doc:     "Tells every fault of a definition, with line, column and JSON pointer, in the order of the source. Nothing is kept.",
})
