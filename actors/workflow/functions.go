package workflow

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// own are the functions of weft's own, as list_functions shows them.
func own() []subjects.WorkflowFunction {
	return []subjects.WorkflowFunction{
		{
			Name: machine.FunctionApproval,
			Doc: "Asks you to approve or reject, and waits for it however long: it holds nothing meanwhile. You are notified, and answer " +
				"by POST /v1/approvals/{approval_id}. When the time is over, the decision is expired; with onTimeout: fail that is a timeout error.",
			Input: schemaOf(`{"type": "object", "required": ["title"], "additionalProperties": false, "properties": {
				"title": {"type": "string", "minLength": 1, "maxLength": 200}, "body": {"type": "string", "maxLength": 20000},
				"data": {"description": "What to decide by."},
				"timeout": {"description": "An ISO 8601 duration, or an object of units.", "type": ["string", "object"]},
				"onTimeout": {"enum": ["expire", "fail"], "default": "expire"},
				"channels": {"type": "array", "items": {"enum": ["in_app", "email", "sms", "push", "webhook"]}}}}`),
			Output: schemaOf(`{"type": "object", "required": ["decision", "approval_id", "decided_at"], "properties": {
				"decision": {"enum": ["approved", "rejected", "expired"]}, "approval_id": {"type": "string", "format": "uuid"},
				"comment": {"type": "string"}, "decided_at": {"type": "string", "format": "date-time"}}}`),
		},
		{
			Name: machine.FunctionConsent, Doc: "Faults with an authorization error unless you consent to the scope now.",
			Input:  schemaOf(`{"type": "object", "required": ["scope"], "properties": {"scope": {"type": "string"}}}`),
			Output: schemaOf(`{"type": "object", "properties": {"scope": {"type": "string"}, "consent_id": {"type": "string"}}}`),
		},
		{
			Name: machine.FunctionEcho, Doc: "Gives back what it got: for trying things out, and for measuring.",
			Input: schemaOf(`{"type": "object"}`), Output: schemaOf(`{"type": "object"}`),
		},
		{
			Name: machine.FunctionNotify, Doc: "Tells you. However often a step is tried, you are told once.",
			Input: schemaOf(`{"type": "object", "additionalProperties": false, "properties": {
				"channels": {"type": "array", "items": {"enum": ["in_app", "email", "sms", "push", "webhook"]}},
				"category": {"type": "string", "default": "workflow"}, "template": {"type": "string"},
				"subject": {"type": "string", "maxLength": 200}, "body": {"type": "string", "maxLength": 20000},
				"data": {"type": "object"}, "send_at": {"type": "string", "format": "date-time"}}}`),
			Output: schemaOf(`{"type": "object", "properties": {"notification_id": {"type": "string"}, "status": {"enum": ["accepted", "duplicate"]}}}`),
		},
		{
			Name: machine.FunctionStart,
			Doc: "Starts one of your workflows and does not wait for it: by its id, or by its name and namespace. However often the step is " +
				"tried, it is started once.",
			Input: schemaOf(`{"type": "object", "additionalProperties": false, "properties": {
				"workflow_id": {"type": "string", "format": "uuid"},
				"version": {"description": "Of the workflow, where workflow_id is given; the author's own with a name.", "type": ["integer", "string"]},
				"namespace": {"type": "string"}, "name": {"type": "string"}, "input": {"default": {}}}}`),
			Output: schemaOf(`{"type": "object", "required": ["execution_id"], "properties": {"execution_id": {"type": "string", "format": "uuid"}}}`),
		},
	}
}

// schemaOf reads a schema that stands in this file.
func schemaOf(text string) map[string]any {
	var schema map[string]any
	if err := json.Unmarshal([]byte(text), &schema); err != nil {
		panic("workflow: a function's schema: " + err.Error())
	}
	return schema
}

// listFunctions lists what call knows: weft's own, and a provider's actions where one is named.
func (a *Actor) listFunctions(ctx context.Context, r subjects.ListFunctionsRequest) (subjects.FunctionList, error) {
	list := subjects.FunctionList{Items: []subjects.WorkflowFunction{}}
	if r.Provider == "" {
		list.Items = own()
		return list, nil
	}
	provider, err := mesh.Call(ctx, a.Conn, subjects.GetProvider, subjects.ProviderRequest(r), mesh.As{
		Service: true, UserID: actors.CallerFrom(ctx).UserID,
	})
	if err != nil {
		return list, err
	}
	for _, action := range provider.Actions {
		f := subjects.WorkflowFunction{
			Name: provider.ID + "." + action.ID, Doc: strings.TrimSpace(action.Title + "\n\n" + action.Description),
			Input: withConnection(action.Input), Safety: action.Safety,
		}
		f.Output, _ = action.OutputSchema.(map[string]any)
		list.Items = append(list.Items, f)
	}
	return list, nil
}

// withConnection is an action's input schema with the argument that names the connection.
func withConnection(input map[string]any) map[string]any {
	schema := make(map[string]any, len(input)+1)
	for key, value := range input {
		schema[key] = value
	}
	properties := map[string]any{"connection": map[string]any{
		"type": "string", "description": "The connection's id or label; your only connection to the provider unless given.",
	}}
	given, _ := input["properties"].(map[string]any)
	for key, value := range given {
		properties[key] = value
	}
	schema["properties"] = properties
	return schema
}

// toStart is what workflow.start is called with.
type toStart struct {
	WorkflowID string          `json:"workflow_id"`
	Namespace  string          `json:"namespace"`
	Name       string          `json:"name"`
	Version    any             `json:"version"`
	Input      json.RawMessage `json:"input"`
}

// startWorkflow starts another workflow of the user's under the call's key, and does not wait for it.
func (a *Actor) startWorkflow(ctx context.Context, row engine.Row, call *machine.Call) (any, error) {
	wrong := func(format string, args ...any) error {
		return machine.NewError(machine.TypeValidation, "workflow.start: "+fmt.Sprintf(format, args...))
	}
	var given toStart
	decoder := json.NewDecoder(bytes.NewReader(language.Canonical(engine.ArgumentsOf(call))))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&given); err != nil {
		return nil, wrong("%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	input, err := definition.InputOf(given.Input, a.config.MaxInput)
	if err != nil {
		return nil, err
	}
	o := order{
		userID: row.UserID, workflowID: given.WorkflowID, input: input, executionID: engine.DerivedID(call.Key), origin: engine.Origin{Kind: engine.OriginWorkflow, ID: row.ID},
	}
	version, isNumber := given.Version.(float64)
	switch {
	case given.WorkflowID != "" && (given.Name != "" || given.Namespace != ""):
		return nil, wrong("name the workflow by workflow_id, or by namespace and name")
	case given.WorkflowID != "" && (uuid.Validate(given.WorkflowID) != nil || given.Version != nil && !isNumber):
		return nil, wrong("workflow_id is a UUID, and its version a number")
	case given.WorkflowID != "":
		o.version = int(version)
	default:
		declared, isText := given.Version.(string)
		if given.Version != nil && !isText || given.Name == "" || given.Namespace == "" {
			return nil, wrong("needs workflow_id, or namespace and name, with the author's version as a string")
		}
		if o.workflowID, o.version, err = workflowNamed(ctx, a.DB.DB, row.UserID, given.Namespace, given.Name, declared); err != nil {
			return nil, err
		}
	}
	started, _, err := a.begin(ctx, o, nil)
	if err != nil {
		return nil, err
	}
	return map[string]any{"execution_id": started.ID}, nil
}
