package subjects

// WorkflowFunction is a function that a workflow can call by name.
type WorkflowFunction struct {
	Name   string         `json:"name" doc:"The name to use in call: <name>."`
	Doc    string         `json:"doc"`
	Input  map[string]any `json:"input" doc:"JSON Schema of with."`
	Output map[string]any `json:"output,omitempty" doc:"JSON Schema of the output, if declared."`
	Safety string         `json:"safety,omitempty" enum:"read,idempotent,write_once" doc:"Whether an action or a function of an extension can be repeated safely."`
	// The following are of functions of extensions.
	Extension string `json:"extension,omitempty" doc:"The extension that serves the function."`
	Version   string `json:"version,omitempty" doc:"Digest of the extension's function; a workflow is bound to the version that it was checked with."`
	Scope     string `json:"scope,omitempty" doc:"What the user must consent to, for the extension's function to be called."`
	Fault     string `json:"fault,omitempty" doc:"Why the extension's function cannot be called."`
}

// FunctionList is the reply of ListFunctions. It is not paginated.
type FunctionList struct {
	Items []WorkflowFunction `json:"items"`
}

// ListFunctionsRequest selects the functions.
type ListFunctionsRequest struct {
	Provider  string `json:"provider,omitempty" in:"query" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$" doc:"List the actions of this provider instead of weft's own functions."`
	Extension string `json:"extension,omitempty" in:"query" maxLength:"32" pattern:"^[a-z][a-z0-9-]*$" doc:"List the functions of this extension instead of weft's own functions."`
}

// ListFunctions lists the functions that a workflow can call by name.
var ListFunctions = declare(Endpoint[ListFunctionsRequest, FunctionList]{
	Subject: "weft.v1.workflow.list_functions", Route: "GET /v1/workflows/functions", Access: Scope(ScopeWorkflowsRead),
	Summary: "Functions for workflows",
	Doc: "Lists weft's own functions and those of extensions, or a provider's actions, with the JSON Schemas of their inputs and outputs. " +
		"GET /v1/providers lists the providers. Schemas of extensions' functions are left out ({} for the input) once all are larger than 400 KiB: " +
		"name the extension then.",
})
