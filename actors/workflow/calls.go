package workflow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/extension"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/compute"
	"github.com/weftmesh/weft/subjects"
)

// maxCallKey bounds the call key that is given to other actors, in bytes.
const maxCallKey = 200

// calls performs the calls of executions: provider actions, HTTP requests, weft's own functions, child workflows and events.
type calls struct {
	actors.Deps

	config     Config
	egress     *egress.Client
	engine     *engine.Engine
	executions *executions
	approvals  *approvals
	triggers   *triggers
	safety     *actionSafety
	extensions *extension.Caller
	// definitions know the versions of extensions' functions that a definition was checked with.
	definitions *definitions
}

// dispatch performs one call and returns its output. repeated: an earlier owner of the execution may have performed it. The
// error is engine.ErrExternal if the call has started and completes later.
func (c *calls) dispatch(ctx context.Context, row engine.Row, call *machine.Call, repeated bool) (any, error) {
	version, err := c.pinned(ctx, row, call)
	if err != nil {
		return nil, err
	}
	if version != "" {
		return c.callExtension(ctx, row, call, repeated, version)
	}
	if err := c.authorise(ctx, row, call); err != nil {
		return nil, err
	}
	switch call.Kind {
	case machine.CallEmit:
		return call.Message, c.emit(ctx, row, call)
	case machine.CallWorkflow:
		return c.startChild(ctx, row, call)
	case machine.CallHTTP:
		return c.send(ctx, row, call, call.HTTP)
	case machine.CallOpenAPI:
		document, err := c.send(ctx, row, call, call.OpenAPI.Document)
		if err != nil {
			return nil, err
		}
		var request *machine.HTTPRequest
		var fault *machine.Error
		// Descriptions are other people's documents, and take much memory while they are read.
		if err := compute.Default.Do(ctx, row.UserID, func() { request, fault = call.OpenAPI.Request(document) }); err != nil {
			return nil, err
		}
		if fault != nil {
			return nil, fault
		}
		return c.send(ctx, row, call, request)
	case machine.CallFunction:
		switch call.Function {
		case machine.FunctionNotify:
			return c.sendNotification(ctx, row, call)
		case machine.FunctionConsent:
			return c.requireConsent(ctx, row, call)
		case machine.FunctionStart:
			return c.startWorkflow(ctx, row, call)
		case machine.FunctionApproval:
			return c.approvals.request(ctx, row, call)
		}
		return c.executeAction(ctx, row, call, repeated)
	}
	return nil, machine.NewError(machine.TypeConfiguration, "this version does not support "+string(call.Kind))
}

// onBehalfOf returns as whom other actors are called for an execution: as its user, under the grant that it was started with
// and restricted by its authority, both of which the callee checks.
func onBehalfOf(row engine.Row) mesh.As {
	return mesh.As{Service: true, UserID: row.UserID, Grant: row.Grant(), Authority: row.Authority}
}

// authorise refuses a call that the API key which caused the execution could not make itself: the key lacks the scope of the
// corresponding endpoint, was revoked or has expired. Calls of other actors are checked by these as well.
func (c *calls) authorise(ctx context.Context, row engine.Row, call *machine.Call) error {
	scope := subjects.ScopeWorkflowsExecute
	if call.Kind == machine.CallFunction {
		switch call.Function {
		case machine.FunctionStart:
		case machine.FunctionNotify, machine.FunctionApproval: // an approval request is a notification
			scope = subjects.ScopeNotificationsSend
		case machine.FunctionConsent:
			scope, _ = engine.ArgumentsOf(call)["scope"].(string)
		default:
			scope = subjects.ScopeIntegrationsExecute
		}
	}
	return c.Keys.Check(ctx, row.UserID, row.Authority, scope)
}

// executeAction executes a provider's action over one of the user's connections.
func (c *calls) executeAction(ctx context.Context, row engine.Row, call *machine.Call, repeated bool) (any, error) {
	provider, action, found := strings.Cut(call.Function, ".")
	if !found {
		return nil, machine.NewError(machine.TypeConfiguration, fmt.Sprintf("there is no function %.80q", call.Function))
	}
	connection, input, err := connectionOf(provider, engine.ArgumentsOf(call))
	if err != nil {
		return nil, err
	}
	if c.Edge != nil {
		return nil, machine.NewError(machine.TypeConfiguration, "an edge node cannot call actions of connections; call them in a workflow at the hub")
	}
	if !c.safety.mayRepeat(ctx, provider, action, row.UserID) {
		engine.CallSent(ctx)
	}
	result, err := mesh.Call(ctx, c.Conn, subjects.ExecuteAction, subjects.ExecuteActionRequest{
		IntegrationID: connection, Action: action, Input: input, CallKey: callKey(call), Repeated: repeated, NoWait: true,
	}, onBehalfOf(row))
	if err != nil {
		return nil, err
	}
	return c.engine.Output(result.Output)
}

// connectionOf splits an action's arguments into the connection to use and the action's input. The connection is its id, or
// provider:label, or the provider alone, which selects the user's only connection to it.
func connectionOf(provider string, arguments map[string]any) (connection string, input json.RawMessage, err error) {
	rest := make(map[string]any, len(arguments))
	connection = provider
	for key, value := range arguments {
		if key != "connection" {
			rest[key] = value
			continue
		}
		name, isText := value.(string)
		switch {
		case value == nil:
		case !isText || name == "":
			return "", nil, machine.NewError(machine.TypeValidation, "connection must be the id or the label of a connection")
		case uuid.Validate(name) == nil:
			connection = name
		default:
			connection = provider + ":" + name
		}
	}
	return connection, language.Canonical(rest), nil
}

// sendNotification sends a notification to the user. Its deduplication key makes sending it again harmless.
func (c *calls) sendNotification(ctx context.Context, row engine.Row, call *machine.Call) (any, error) {
	var request subjects.SendNotificationRequest
	decoder := json.NewDecoder(bytes.NewReader(language.Canonical(engine.ArgumentsOf(call))))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil {
		return nil, machine.NewError(machine.TypeValidation, "notification.send: "+strings.TrimPrefix(err.Error(), "json: "))
	}
	if request.UserID != "" || request.DedupeKey != "" {
		return nil, machine.NewError(machine.TypeValidation, "notification.send takes neither user_id nor dedupe_key")
	}
	if request.Category == "" {
		request.Category = "workflow"
	}
	request.UserID, request.DedupeKey = row.UserID, row.PublicID()+strings.TrimPrefix(callKey(call), row.ID)
	if c.Edge != nil {
		return c.notifyThroughHub(ctx, row, request)
	}
	ref, err := mesh.Call(ctx, c.Conn, subjects.SendNotification, request, onBehalfOf(row))
	if err != nil {
		return nil, err
	}
	return map[string]any{"notification_id": ref.NotificationID, "status": ref.Status}, nil
}

// requireConsent fails unless the user consents to a scope now.
func (c *calls) requireConsent(ctx context.Context, row engine.Row, call *machine.Call) (any, error) {
	scope, _ := engine.ArgumentsOf(call)["scope"].(string)
	if scope == "" {
		return nil, machine.NewError(machine.TypeValidation, "consent.require needs a scope")
	}
	grant, err := c.Guard.Check(ctx, row.UserID, scope)
	if err != nil {
		return nil, err
	}
	return map[string]any{"scope": scope, "consent_id": grant.ConsentID}, nil
}

// callKey returns the call's key, the same for every attempt and after restarts, within maxCallKey bytes.
func callKey(call *machine.Call) string {
	if len(call.Key) <= maxCallKey {
		return call.Key
	}
	sum := sha256.Sum256([]byte(call.Key))
	return call.Key[:36] + "/" + hex.EncodeToString(sum[:])
}
