package subjects

// WorkflowFunction is a function that a workflow can call by name.
type WorkflowFunction struct {
	Name   string         `json:"name" doc:"The name to use in call: <name>."`
	Doc    string         `json:"doc"`
	Input  map[string]any `json:"input" doc:"JSON Schema of with."`
	Output map[string]any `json:"output,omitempty" doc:"JSON Schema of the output, if declared."`
	Safety string         `json:"safety,omitempty" enum:"read,idempotent,write_once" doc:"Whether an action can be repeated safely."`
}

// FunctionList is the reply of ListFunctions. It is not paginated.
type FunctionList struct {
	Items []WorkflowFunction `json:"items"`
}

// ListFunctionsRequest selects the functions.
type ListFunctionsRequest struct {
	Provider string `json:"provider,omitempty" in:"query" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$" doc:"List the actions of this provider instead of weft's own functions."`
}

// ListFunctions lists the functions that a workflow can call by name.
var ListFunctions = declare(Endpoint[ListFunctionsRequest, FunctionList]{
	Subject: "weft.v1.workflow.list_functions", Route: "GET /v1/workflows/functions", Access: Scope(ScopeWorkflowsRead),
	Summary: "Functions for workflows",
	Doc: "Lists weft's own functions, or a provider's actions, with the JSON Schemas of their inputs and outputs. GET /v1/providers " +
		"lists the providers.",
})
