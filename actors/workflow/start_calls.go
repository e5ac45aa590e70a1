package workflow

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// startChild starts a child workflow under the call's key. The error is engine.ErrExternal if the call waits for the child:
// the engine completes it when the child ends.
func (c *calls) startChild(ctx context.Context, row engine.Row, call *machine.Call) (output any, err error) {
	child := call.Workflow
	workflowID, version, err := findWorkflowByName(ctx, c.DB.DB, row.UserID, child.Namespace, child.Name, child.Version)
	if err != nil {
		return nil, err
	}
	input := language.Canonical(child.Input)
	if child.Input == nil {
		input = []byte("{}")
	}
	if len(input) > c.config.MaxInput {
		return nil, machine.NewError(machine.TypeValidation, fmt.Sprintf("the input has %d bytes, the limit is %d", len(input), c.config.MaxInput))
	}
	cause, err := engine.CauseOf(row, call)
	if err != nil {
		return nil, err
	}
	r := startRequest{
		userID: row.UserID, workflowID: workflowID, version: version, executionID: engine.ChildID(call), input: string(input),
		origin: cause.As(engine.OriginWorkflow, row.ID), authority: row.Authority, authored: true,
	}
	if child.Await {
		r.parentID, r.parentCall = row.ID, call.ID
	}
	// The start is not cancelled with the call: whichever process abandons the call cancels the child, and must find it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.config.StepTimeout)
	defer cancel()
	started, _, err := c.executions.start(ctx, r, nil)
	switch {
	case err != nil:
		return nil, err
	case !child.Await:
		return map[string]any{"execution_id": started.ID}, nil
	case !started.Ended():
		return nil, engine.ErrExternal
	}
	if fault := engine.FaultOfRow(started); fault != nil {
		return nil, fault
	}
	return c.engine.Output(json.RawMessage(started.Output))
}

// emit routes an event that an execution emits. The error is a fault if too many executions have started one another.
func (c *calls) emit(ctx context.Context, row engine.Row, call *machine.Call) error {
	cause, err := engine.CauseOf(row, call)
	if err != nil {
		return err
	}
	_, _, err = c.triggers.route(ctx, row.UserID, call.Message, cause, eventEmitted)
	if err != nil && subjects.CodeOf(err) == subjects.CodeInternal {
		return fmt.Errorf("routing an event: %w", err)
	}
	return err
}

// startArguments are the arguments of workflow.start.
type startArguments struct {
	WorkflowID string          `json:"workflow_id"`
	Namespace  string          `json:"namespace"`
	Name       string          `json:"name"`
	Version    any             `json:"version"`
	Input      json.RawMessage `json:"input"`
}

// startWorkflow starts another of the user's workflows under the call's key, without waiting for it.
func (c *calls) startWorkflow(ctx context.Context, row engine.Row, call *machine.Call) (any, error) {
	invalid := func(format string, args ...any) error {
		return machine.NewError(machine.TypeValidation, "workflow.start: "+fmt.Sprintf(format, args...))
	}
	var given startArguments
	decoder := json.NewDecoder(bytes.NewReader(language.Canonical(engine.ArgumentsOf(call))))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&given); err != nil {
		return nil, invalid("%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	input, err := definition.InputOf(given.Input, c.config.MaxInput)
	if err != nil {
		return nil, err
	}
	cause, err := engine.CauseOf(row, call)
	if err != nil {
		return nil, err
	}
	r := startRequest{
		userID: row.UserID, workflowID: given.WorkflowID, input: input, executionID: engine.DerivedID(call.Key),
		origin: cause.As(engine.OriginWorkflow, row.ID), authority: row.Authority, authored: true,
	}
	version, isNumber := given.Version.(float64)
	switch {
	case given.WorkflowID != "" && (given.Name != "" || given.Namespace != ""):
		return nil, invalid("name the workflow by workflow_id, or by namespace and name")
	case given.WorkflowID != "" && (uuid.Validate(given.WorkflowID) != nil || given.Version != nil && !isNumber):
		return nil, invalid("workflow_id must be a UUID, and its version a number")
	case given.WorkflowID != "":
		r.version = int(version)
	default:
		declared, isText := given.Version.(string)
		if given.Version != nil && !isText || given.Name == "" || given.Namespace == "" {
			return nil, invalid("needs workflow_id, or namespace and name, with the declared version as a string")
		}
		if r.workflowID, r.version, err = findWorkflowByName(ctx, c.DB.DB, row.UserID, given.Namespace, given.Name, declared); err != nil {
			return nil, err
		}
	}
	started, _, err := c.executions.start(ctx, r, nil)
	if err != nil {
		return nil, err
	}
	return map[string]any{"execution_id": started.ID}, nil
}
