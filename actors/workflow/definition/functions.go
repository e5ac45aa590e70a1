package definition

import (
	"encoding/json"
	"slices"

	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// BuiltInFunctions returns weft's own functions as list_functions shows them.
func BuiltInFunctions() []subjects.WorkflowFunction {
	return []subjects.WorkflowFunction{
		{
			Name: machine.FunctionApproval,
			Doc: "Asks you to approve or reject something, and waits for the answer however long; a waiting execution takes no memory. " +
				"You are notified, and answer with POST /v1/approvals/{approval_id}. After the timeout the decision is expired, or with " +
				"onTimeout: fail the call fails with a timeout error.",
			Input: schemaOf(`{"type": "object", "required": ["title"], "additionalProperties": false, "properties": {
				"title": {"type": "string", "minLength": 1, "maxLength": 200}, "body": {"type": "string", "maxLength": 20000},
				"data": {"description": "Anything that helps to decide."},
				"timeout": {"description": "An ISO 8601 duration, or an object of units.", "type": ["string", "object"]},
				"onTimeout": {"enum": ["expire", "fail"], "default": "expire"},
				"channels": {"type": "array", "items": {"enum": ["in_app", "email", "sms", "push", "webhook"]}}}}`),
			Output: schemaOf(`{"type": "object", "required": ["decision", "approval_id", "decided_at"], "properties": {
				"decision": {"enum": ["approved", "rejected", "expired"]}, "approval_id": {"type": "string", "format": "uuid"},
				"comment": {"type": "string"}, "decided_at": {"type": "string", "format": "date-time"}}}`),
		},
		{
			Name: machine.FunctionConsent, Doc: "Fails with an authorization error unless you consent to the scope now.",
			Input:  schemaOf(`{"type": "object", "required": ["scope"], "properties": {"scope": {"type": "string"}}}`),
			Output: schemaOf(`{"type": "object", "properties": {"scope": {"type": "string"}, "consent_id": {"type": "string"}}}`),
		},
		{
			Name: machine.FunctionEcho, Doc: "Returns its arguments, for trials and measurements.",
			Input: schemaOf(`{"type": "object"}`), Output: schemaOf(`{"type": "object"}`),
		},
		{
			Name: machine.FunctionNotify, Doc: "Sends you a notification, once however often the step is attempted.",
			Input: schemaOf(`{"type": "object", "additionalProperties": false, "properties": {
				"channels": {"type": "array", "items": {"enum": ["in_app", "email", "sms", "push", "webhook"]}},
				"category": {"type": "string", "default": "workflow"}, "template": {"type": "string"},
				"subject": {"type": "string", "maxLength": 200}, "body": {"type": "string", "maxLength": 20000},
				"data": {"type": "object"}, "send_at": {"type": "string", "format": "date-time"}}}`),
			Output: schemaOf(`{"type": "object", "properties": {"notification_id": {"type": "string"}, "status": {"enum": ["accepted", "duplicate"]}}}`),
		},
		{
			Name: machine.FunctionStart,
			Doc: "Starts one of your workflows, by its id or by its namespace and name, without waiting for it. It is started once, " +
				"however often the step is attempted.",
			Input: schemaOf(`{"type": "object", "additionalProperties": false, "properties": {
				"workflow_id": {"type": "string", "format": "uuid"},
				"version": {"description": "With workflow_id, the version's number; with a name, the version that its document declares.",
					"type": ["integer", "string"]},
				"namespace": {"type": "string"}, "name": {"type": "string"}, "input": {"default": {}}}}`),
			Output: schemaOf(`{"type": "object", "required": ["execution_id"], "properties": {"execution_id": {"type": "string", "format": "uuid"}}}`),
		},
	}
}

// IsBuiltIn reports whether a function is one of weft's own.
func IsBuiltIn(name string) bool { return slices.Contains(storingFunctions, name) }

// schemaOf decodes a JSON schema of this file.
func schemaOf(text string) map[string]any {
	var schema map[string]any
	if err := json.Unmarshal([]byte(text), &schema); err != nil {
		panic("definition: decoding a function's schema: " + err.Error())
	}
	return schema
}

// WithConnection adds the argument connection to an action's input schema.
func WithConnection(input map[string]any) map[string]any {
	schema := make(map[string]any, len(input)+1)
	for key, value := range input {
		schema[key] = value
	}
	properties := map[string]any{"connection": map[string]any{
		"type": "string", "description": "The connection's id or label; by default your only connection to the provider.",
	}}
	given, _ := input["properties"].(map[string]any)
	for key, value := range given {
		properties[key] = value
	}
	schema["properties"] = properties
	return schema
}
