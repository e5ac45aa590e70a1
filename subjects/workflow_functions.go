package subjects

// WorkflowFunction is something that a workflow can call by name.
type WorkflowFunction struct {
	Name   string         `json:"name" doc:"As in call: <name>."`
	Doc    string         `json:"doc"`
	Input  map[string]any `json:"input" doc:"JSON Schema of with."`
	Output map[string]any `json:"output,omitempty" doc:"JSON Schema of what it gives, where that is promised."`
	Safety string         `json:"safety,omitempty" enum:"read,idempotent,write_once" doc:"What repeating an action may do."`
}

// FunctionList is a list without pages.
type FunctionList struct {
	Items []WorkflowFunction `json:"items"`
}

// ListFunctionsRequest narrows the list.
type ListFunctionsRequest struct {
	Provider string `json:"provider,omitempty" in:"query" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$" doc:"The actions of this provider, in the place of weft's own functions."`
}

// ListFunctions lists what a workflow can call by name.
var ListFunctions = declare(Endpoint[ListFunctionsRequest, FunctionList]{
	Subject: "weft.v1.workflow.list_functions", Route: "GET /v1/workflows/functions", Access: Scope(ScopeWorkflowsRead),
	Summary: "What a workflow can call",
	Doc: "Lists weft's own functions, or a provider's actions, with the JSON Schemas of what they take and give. GET /v1/providers " +
		"lists the providers.",
})
