package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/weftmesh/weft/subjects"
)

// tool is one tool.
type tool struct {
	name, title, doc string
	// schema is the JSON Schema of the arguments.
	schema string
	// readOnly: it changes nothing. destructive and idempotent are of one that is not (see sdk.ToolAnnotations); openWorld: it reaches a
	// third party.
	readOnly, destructive, idempotent, openWorld bool
	// uses are the endpoints that it calls. Who may not call one of them does not see the tool.
	uses []*subjects.Descriptor
	run  func(context.Context, call, json.RawMessage) (any, error)
}

// call is one call of a tool.
type call struct {
	Caller
	client string
}

func (t tool) tool() *sdk.Tool {
	return &sdk.Tool{
		Name: t.name, Title: t.title, Description: t.doc, InputSchema: json.RawMessage(t.schema),
		Annotations: &sdk.ToolAnnotations{
			Title: t.title, ReadOnlyHint: t.readOnly, DestructiveHint: &t.destructive, IdempotentHint: t.idempotent, OpenWorldHint: &t.openWorld,
		},
	}
}

const (
	uuidField  = `{"type":"string","format":"uuid"`
	inputField = `"input":{"type":"object","description":"The input, as the schema says; at most 64 KiB."}`
	callSchema = `{"type":"object","additionalProperties":false,"required":["integration_id","action"],"properties":{` +
		`"integration_id":` + uuidField + `,"description":"The connection's id, from list_connections."},` +
		`"action":{"type":"string","description":"The action's id, from search_actions, without the provider."},` + inputField
	approvalField = `,"approval_id":` + uuidField + `,"description":"From the answer approval_required, once the user has approved."}`
)

// tools are the tools of every caller, by name.
var tools = []tool{
	{
		name: "describe_action", title: "Describe an action", readOnly: true,
		doc: "Returns an action with the JSON Schemas of its input and output, an example, and whether it only reads (safety: read).",
		schema: `{"type":"object","additionalProperties":false,"required":["provider","action"],"properties":{` +
			`"provider":{"type":"string"},"action":{"type":"string"}}}`,
		uses: []*subjects.Descriptor{subjects.GetProvider.Describe()}, run: describeAction,
	},
	{
		name: "get_execution", title: "Get a workflow execution", readOnly: true,
		doc:    "Returns an execution of a workflow: its status, and its output or error once it has ended.",
		schema: `{"type":"object","additionalProperties":false,"required":["execution_id"],"properties":{"execution_id":` + uuidField + `}}}`,
		uses:   []*subjects.Descriptor{subjects.GetExecutionStatus.Describe()}, run: forward(subjects.GetExecutionStatus),
	},
	{
		name: "list_connections", title: "List connections", readOnly: true,
		doc: "Lists the accounts that the user has connected. An action is called with the id of a connection to its provider.",
		schema: `{"type":"object","additionalProperties":false,"properties":{"provider":{"type":"string"},` +
			`"limit":{"type":"integer","minimum":1,"maximum":100},"cursor":{"type":"string","description":"next_cursor of the previous page."}}}`,
		uses: []*subjects.Descriptor{subjects.GetUserIntegrations.Describe()}, run: forward(subjects.GetUserIntegrations),
	},
	{
		name: "list_workflows", title: "List workflows", readOnly: true,
		doc: "Lists the user's workflows, newest first.",
		schema: `{"type":"object","additionalProperties":false,"properties":{` +
			`"limit":{"type":"integer","minimum":1,"maximum":100},"cursor":{"type":"string","description":"next_cursor of the previous page."}}}`,
		uses: []*subjects.Descriptor{subjects.ListWorkflows.Describe()}, run: forward(subjects.ListWorkflows),
	},
	{
		name: "read_action", title: "Call a reading action", readOnly: true, openWorld: true,
		doc:    "Calls an action that only reads (safety: read) in a connected account, and returns its output.",
		schema: callSchema + approvalField + `}}`,
		uses:   []*subjects.Descriptor{subjects.AuthorizeAgentAction.Describe(), subjects.ExecuteAction.Describe()}, run: callAction(true),
	},
	{
		name: "run_action", title: "Call an action", destructive: true, openWorld: true,
		doc: "Calls any action in a connected account. By the user's policy it may need approval: the answer's status is then " +
			"approval_required, nothing was executed, and the same call with approval_id executes once the user has approved.",
		schema: callSchema + approvalField + `}}`,
		uses:   []*subjects.Descriptor{subjects.AuthorizeAgentAction.Describe(), subjects.ExecuteAction.Describe()}, run: callAction(false),
	},
	{
		name: "search_actions", title: "Search actions", readOnly: true,
		doc: "Searches the actions of all providers by words, such as \"create issue\".",
		schema: `{"type":"object","additionalProperties":false,"properties":{"q":{"type":"string","maxLength":200},` +
			`"provider":{"type":"string"},"limit":{"type":"integer","minimum":1,"maximum":50}}}`,
		uses: []*subjects.Descriptor{subjects.SearchActions.Describe()}, run: forward(subjects.SearchActions),
	},
	{
		name: "start_workflow", title: "Start a workflow", destructive: true, openWorld: true,
		doc: "Starts a workflow and returns the execution, which get_execution follows. By the user's policy it may need approval, as in run_action.",
		schema: `{"type":"object","additionalProperties":false,"required":["workflow_id"],"properties":{"workflow_id":` + uuidField + `},` +
			inputField + approvalField + `}}`,
		uses: []*subjects.Descriptor{subjects.AuthorizeAgentWorkflow.Describe(), subjects.StartExecution.Describe()}, run: startWorkflow,
	},
}

// send validates a request, sends it and decodes the reply.
func send[Req, Res any](ctx context.Context, c call, e subjects.Endpoint[Req, Res], request Req) (reply Res, err error) {
	data, err := subjects.Encode(request)
	if err != nil {
		return reply, fmt.Errorf("encoding a request: %w", err)
	}
	answer, err := sendEncoded(ctx, c, e.Describe(), data)
	if err != nil {
		return reply, err
	}
	decoder := json.NewDecoder(bytes.NewReader(answer))
	decoder.UseNumber()
	if err := decoder.Decode(&reply); err != nil {
		return reply, fmt.Errorf("decoding a reply: %w", err)
	}
	return reply, nil
}

func sendEncoded(ctx context.Context, c call, d *subjects.Descriptor, data []byte) ([]byte, error) {
	if err := d.Validate(data); err != nil {
		return nil, err //nolint:wrapcheck // a coded error
	}
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	return c.Call(ctx, d, data)
}

// forward returns the run of a tool whose arguments and result are those of an endpoint.
func forward[Req, Res any](e subjects.Endpoint[Req, Res]) func(context.Context, call, json.RawMessage) (any, error) {
	return func(ctx context.Context, c call, arguments json.RawMessage) (any, error) {
		if len(arguments) == 0 || string(arguments) == "null" {
			arguments = json.RawMessage("{}")
		}
		reply, err := sendEncoded(ctx, c, e.Describe(), arguments)
		return json.RawMessage(reply), err
	}
}

// decode decodes a tool's arguments. The error is CodeInvalid.
func decode(arguments json.RawMessage, into any) error {
	if len(arguments) == 0 || string(arguments) == "null" {
		arguments = json.RawMessage("{}")
	}
	decoder := json.NewDecoder(bytes.NewReader(arguments))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		_, err = decoder.Token()
	}
	if !errors.Is(err, io.EOF) {
		return subjects.Errorf(subjects.CodeInvalid, "the arguments are not as the tool's schema says: %v", err)
	}
	return nil
}

func describeAction(ctx context.Context, c call, arguments json.RawMessage) (any, error) {
	var r struct {
		Provider string `json:"provider"`
		Action   string `json:"action"`
	}
	if err := decode(arguments, &r); err != nil {
		return nil, err
	}
	detail, err := send(ctx, c, subjects.GetProvider, subjects.ProviderRequest{Provider: r.Provider})
	if err != nil {
		return nil, err
	}
	for _, action := range detail.Actions {
		if action.ID == r.Action {
			return action, nil
		}
	}
	return nil, subjects.Errorf(subjects.CodeNotFound, "%s has no such action", r.Provider)
}

// approvalRequired is the result of a call that waits for approval. Nothing was executed.
type approvalRequired struct {
	Status     string `json:"status"`
	ApprovalID string `json:"approval_id"`
	Operation  string `json:"operation"`
	ApproveURL string `json:"approve_url"`
	ExpiresAt  string `json:"expires_at"`
	Next       string `json:"next"`
}

func waits(a subjects.AgentAuthorization) approvalRequired {
	return approvalRequired{
		Status: "approval_required", ApprovalID: a.Approval.ID, Operation: a.Approval.Operation, ApproveURL: a.Approval.ApproveURL,
		ExpiresAt: a.Approval.ExpiresAt.Format("2006-01-02T15:04:05Z07:00"),
		Next: "Nothing was executed. The user approves with POST approve_url {\"decision\":\"approve\"} in a session of their own (an API key cannot). " +
			"Then call again with the same arguments and approval_id, before expires_at.",
	}
}

// callAction returns the run of read_action and run_action. The call is made only after the integration actor has allowed it.
func callAction(readOnly bool) func(context.Context, call, json.RawMessage) (any, error) {
	return func(ctx context.Context, c call, arguments json.RawMessage) (any, error) {
		var r struct {
			IntegrationID string          `json:"integration_id"`
			Action        string          `json:"action"`
			Input         json.RawMessage `json:"input"`
			ApprovalID    string          `json:"approval_id"`
		}
		if err := decode(arguments, &r); err != nil {
			return nil, err
		}
		authorization, err := send(ctx, c, subjects.AuthorizeAgentAction, subjects.AuthorizeAgentActionRequest{
			IntegrationID: r.IntegrationID, Action: r.Action, Input: r.Input, ApprovalID: r.ApprovalID, Client: c.client, ReadOnly: readOnly,
		})
		if err != nil {
			return nil, err
		}
		if authorization.Decision != subjects.AgentAllow {
			return waits(authorization), nil
		}
		return send(ctx, c, subjects.ExecuteAction, subjects.ExecuteActionRequest{
			IntegrationID: r.IntegrationID, Action: r.Action, Input: r.Input, CallKey: r.ApprovalID, Client: c.client,
		})
	}
}

func startWorkflow(ctx context.Context, c call, arguments json.RawMessage) (any, error) {
	var r struct {
		WorkflowID string          `json:"workflow_id"`
		Input      json.RawMessage `json:"input"`
		ApprovalID string          `json:"approval_id"`
	}
	if err := decode(arguments, &r); err != nil {
		return nil, err
	}
	authorization, err := send(ctx, c, subjects.AuthorizeAgentWorkflow, subjects.AuthorizeAgentWorkflowRequest{
		WorkflowID: r.WorkflowID, Input: r.Input, ApprovalID: r.ApprovalID, Client: c.client,
	})
	if err != nil {
		return nil, err
	}
	if authorization.Decision != subjects.AgentAllow {
		return waits(authorization), nil
	}
	return send(ctx, c, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: r.WorkflowID, Input: r.Input})
}
