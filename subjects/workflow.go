package subjects

import (
	"encoding/json"
	"time"
)

// Workflow is a user's workflow in one version of its definition.
type Workflow struct {
	ID        string          `json:"id"`
	Name      string          `json:"name" doc:"document.name of the definition."`
	Namespace string          `json:"namespace" doc:"document.namespace of the definition."`
	Title     string          `json:"title,omitempty"`
	Summary   string          `json:"summary,omitempty"`
	Version   int             `json:"version" doc:"Number of the version, counted from 1; executions refer to it."`
	Declared  string          `json:"declared_version" doc:"document.version of the definition, chosen by its author."`
	Digest    string          `json:"digest" doc:"SHA-256 of the definition's canonical JSON, equal for YAML and JSON of the same content."`
	Tasks     int             `json:"tasks" doc:"Number of tasks in the definition."`
	CreatedAt time.Time       `json:"created_at"`
	UpdatedAt time.Time       `json:"updated_at" doc:"When this version was created."`
	Document  json.RawMessage `json:"definition,omitempty" doc:"The definition as JSON; omitted from lists."`
	Source    string          `json:"source,omitempty" doc:"The definition as submitted, if it was YAML; omitted from lists."`
}

// maxDefinition bounds a request with a definition, in bytes.
const maxDefinition = 512 << 10

// WorkflowDefinitionRequest carries a definition.
type WorkflowDefinitionRequest struct {
	Definition json.RawMessage `json:"definition" doc:"An Open Workflow 1.0.3 document: a JSON object, or YAML as a string."`
}

// CreateWorkflow creates a workflow.
var CreateWorkflow = declare(Endpoint[WorkflowDefinitionRequest, Workflow]{
	Subject: "weft.v1.workflow.create_workflow", Route: "POST /v1/workflows", Status: 201,
	MaxMessage: maxDefinition,
	Access:     Scope(ScopeWorkflowsExecute), Body: Body{Kind: BodyJSONOrYAML, Field: "definition"},
	Location: "/v1/workflows/{id}", Tag: "version",
	Summary: "Create a workflow",
	Doc: "Stores an Open Workflow 1.0.3 document (formerly CNCF Serverless Workflow) as version 1 of a new workflow. `invalid` lists " +
		"every error with line, column and JSON pointer. Features of the specification that this version does not implement are " +
		"`unsupported`, listed the same way, and never ignored.",
})

// UpdateWorkflowRequest carries a workflow's next definition.
type UpdateWorkflowRequest struct {
	WorkflowID string          `json:"workflow_id" in:"path" format:"uuid"`
	Definition json.RawMessage `json:"definition" doc:"An Open Workflow 1.0.3 document: a JSON object, or YAML as a string."`
	Precondition
}

// UpdateWorkflow creates a workflow's next version.
var UpdateWorkflow = declare(Endpoint[UpdateWorkflowRequest, Workflow]{
	Subject: "weft.v1.workflow.update_workflow", Route: "PUT /v1/workflows/{workflow_id}",
	MaxMessage: maxDefinition,
	Access:     Scope(ScopeWorkflowsExecute), Body: Body{Kind: BodyJSONOrYAML, Field: "definition"}, Tag: "version",
	Summary: "Update a workflow",
	Doc: "Stores the definition as the workflow's next version. Versions are immutable: running executions keep theirs. A " +
		"definition whose digest equals that of the current version changes nothing; the current version is returned. " +
		"`precondition_failed`: the current version is not one that If-Match names; of concurrent updates with the same If-Match one succeeds.",
})

// WorkflowVersionRequest names a workflow and one of its versions.
type WorkflowVersionRequest struct {
	WorkflowID string `json:"workflow_id" in:"path" format:"uuid"`
	Version    int    `json:"version,omitempty" in:"query" minimum:"1" doc:"Default: the current version."`
}

// GetWorkflow returns a workflow.
var GetWorkflow = declare(Endpoint[WorkflowVersionRequest, Workflow]{
	Subject: "weft.v1.workflow.get_workflow", Route: "GET /v1/workflows/{workflow_id}",
	Access: Scope(ScopeWorkflowsRead), Tag: "version",
	Summary: "One workflow", Doc: "Returns one version of one of the caller's workflows, with its definition.",
})

// GetWorkflowDiagram returns a workflow as a diagram.
var GetWorkflowDiagram = declare(Endpoint[WorkflowVersionRequest, Document]{
	Subject: "weft.v1.workflow.get_workflow_diagram", Route: "GET /v1/workflows/{workflow_id}/diagram",
	Access: Scope(ScopeWorkflowsRead), Produces: "text/plain",
	Summary: "A workflow's diagram", Doc: "Returns one version of one of the caller's workflows as the text of a Mermaid flowchart.",
})

// ListWorkflowsRequest filters the list.
type ListWorkflowsRequest struct {
	PageRequest
	Name string `json:"name,omitempty" in:"query" maxLength:"63" doc:"Only workflows with this document.name."`
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

// DeleteWorkflowRequest names a workflow and, if the deletion is conditional, its version.
type DeleteWorkflowRequest struct {
	WorkflowID string `json:"workflow_id" in:"path" format:"uuid"`
	Precondition
}

// DeleteWorkflow deletes a workflow.
var DeleteWorkflow = declare(Endpoint[DeleteWorkflowRequest, Empty]{
	Subject: "weft.v1.workflow.delete_workflow", Route: "DELETE /v1/workflows/{workflow_id}",
	Access:  Scope(ScopeWorkflowsExecute),
	Summary: "Delete a workflow",
	Doc: "Deletes a workflow, so that it can no longer be found or started. Running executions keep their version and continue. " +
		"`precondition_failed`: the current version is not one that If-Match names.",
})

// ListWorkflowVersionsRequest names a workflow and selects a page.
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

// WorkflowFault is an error in a definition.
type WorkflowFault struct {
	Line    int    `json:"line" doc:"From 1."`
	Column  int    `json:"column" doc:"From 1."`
	Pointer string `json:"pointer" doc:"JSON pointer of the invalid value (RFC 6901); empty for the whole document."`
	Code    string `json:"code" enum:"syntax,too_large,duplicate,unknown_field,missing,type,value,expression,reference,unsupported,warning"`
	Message string `json:"message"`
}

// WorkflowValidation is the result of ValidateWorkflow.
type WorkflowValidation struct {
	Valid  bool            `json:"valid"`
	Digest string          `json:"digest,omitempty"`
	Tasks  int             `json:"tasks,omitempty"`
	Faults []WorkflowFault `json:"faults"`
	// Warnings do not keep the definition from being created.
	Warnings []WorkflowFault `json:"warnings" doc:"What is allowed and most probably not meant as it is written."`
}

// ValidateWorkflow validates a definition without storing it.
var ValidateWorkflow = declare(Endpoint[WorkflowDefinitionRequest, WorkflowValidation]{
	Subject: "weft.v1.workflow.validate_workflow", Route: "POST /v1/workflows/validate", ReadOnly: true,
	MaxMessage: maxDefinition,
	Access:     Scope(ScopeWorkflowsRead), Body: Body{Kind: BodyJSONOrYAML, Field: "definition"},
	Summary: "Validate a definition",
	Doc:     "Returns every error of a definition with line, column and JSON pointer, in source order. Nothing is stored.",
})
