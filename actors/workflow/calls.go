package workflow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// maxKey bounds the key that a call is known by to whom it is made.
const maxKey = 200

func (a *Actor) dispatch(ctx context.Context, row engine.Row, call *machine.Call, again bool) (any, error) {
	switch call.Kind {
	case machine.CallEmit:
		return call.Message, a.publish(ctx, row, call.Message)
	case machine.CallWorkflow:
		output, begun, err := a.startChild(ctx, row, call)
		if err == nil && begun {
			err = engine.ErrExternal
		}
		return output, err
	case machine.CallHTTP:
		return a.send(ctx, row, call, call.HTTP)
	case machine.CallOpenAPI:
		description, err := a.send(ctx, row, call, call.OpenAPI.Document)
		if err != nil {
			return nil, err
		}
		request, fault := call.OpenAPI.Request(description)
		if fault != nil {
			return nil, fault
		}
		return a.send(ctx, row, call, request)
	case machine.CallFunction:
		switch call.Function {
		case machine.FunctionNotify:
			return a.notify(ctx, row, call)
		case machine.FunctionConsent:
			return a.requireConsent(ctx, row, call)
		case machine.FunctionStart:
			return a.startWorkflow(ctx, row, call)
		case machine.FunctionApproval:
			return a.requestApproval(ctx, row, call)
		}
		return a.act(ctx, row, call, again)
	}
	return nil, machine.NewError(machine.TypeConfiguration, string(call.Kind)+" is not run by this version")
}

// as is how a call is made on the user's behalf: under the grant that the execution was started with, which the
// responder checks at that moment.
func as(row engine.Row) mesh.As {
	return mesh.As{Service: true, UserID: row.UserID, Grant: row.Grant()}
}

// act runs an action of a connection's provider.
func (a *Actor) act(ctx context.Context, row engine.Row, call *machine.Call, again bool) (any, error) {
	provider, name, found := strings.Cut(call.Function, ".")
	if !found {
		return nil, machine.NewError(machine.TypeConfiguration, fmt.Sprintf("there is no function %.80q", call.Function))
	}
	connection, input, err := connectionOf(provider, engine.ArgumentsOf(call))
	if err != nil {
		return nil, err
	}
	res, err := mesh.Call(ctx, a.Conn, subjects.ExecuteAction, subjects.ExecuteActionRequest{
		IntegrationID: connection, Action: name, Input: input, CallKey: keyOf(call), Repeated: again,
	}, as(row))
	if err != nil {
		return nil, err
	}
	return a.engine.Output(res.Output)
}

// connectionOf takes the connection out of an action's arguments: its id, or the provider with its label, or the
// provider alone.
func connectionOf(provider string, arguments map[string]any) (connection string, input json.RawMessage, err error) {
	rest := make(map[string]any, len(arguments))
	connection = provider
	for key, value := range arguments {
		if key != "connection" {
			rest[key] = value
			continue
		}
		named, isText := value.(string)
		switch {
		case value == nil:
		case !isText || named == "":
			return "", nil, machine.NewError(machine.TypeValidation, "connection must be the id or the label of a connection")
		case uuid.Validate(named) == nil:
			connection = named
		default:
			connection = provider + ":" + named
		}
	}
	return connection, language.Canonical(rest), nil
}

// notify sends a notification to the user. Its key makes sending it again harmless.
func (a *Actor) notify(ctx context.Context, row engine.Row, call *machine.Call) (any, error) {
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
	request.UserID, request.DedupeKey = row.UserID, keyOf(call)
	ref, err := mesh.Call(ctx, a.Conn, subjects.SendNotification, request, as(row))
	if err != nil {
		return nil, err
	}
	return map[string]any{"notification_id": ref.NotificationID, "status": ref.Status}, nil
}

// requireConsent faults unless the user consents to a scope now.
func (a *Actor) requireConsent(ctx context.Context, row engine.Row, call *machine.Call) (any, error) {
	scope, _ := engine.ArgumentsOf(call)["scope"].(string)
	if scope == "" {
		return nil, machine.NewError(machine.TypeValidation, "consent.require needs a scope")
	}
	grant, err := a.Guard.Check(ctx, row.UserID, scope)
	if err != nil {
		return nil, err
	}
	return map[string]any{"scope": scope, "consent_id": grant.ConsentID}, nil
}

// send makes a request with the credentials that it needs, and makes the call's output of the answer.
func (a *Actor) send(ctx context.Context, row engine.Row, call *machine.Call, request *machine.HTTPRequest) (any, error) {
	return request.Send(func(r *machine.HTTPRequest) (machine.HTTPResponse, error) {
		return a.request(ctx, row, call, r)
	}, a.NewID())
}

// request makes one request on the user's behalf: under the guard, so that none begins after the consent was revoked.
func (a *Actor) request(ctx context.Context, row engine.Row, call *machine.Call, request *machine.HTTPRequest) (machine.HTTPResponse, error) {
	header := http.Header{}
	for name, value := range request.Headers {
		header.Set(name, value)
	}
	if request.Method != http.MethodGet && request.Method != http.MethodHead && header.Get(mesh.HeaderIdempotencyKey) == "" {
		sum := sha256.Sum256([]byte(call.Key))
		header.Set(mesh.HeaderIdempotencyKey, hex.EncodeToString(sum[:16]))
	}
	var answer *egress.Response
	err := a.Guard.Do(ctx, row.Grant(), subjects.ScopeWorkflowsExecute, func(ctx context.Context, started func()) (err error) {
		answer, err = a.egress.Do(ctx, egress.Request{
			Method: request.Method, URL: request.URL, Header: header, Body: request.Body, NoRedirect: true,
			Timeout: a.config.StepTimeout, Started: started,
		})
		return err
	})
	if err != nil {
		return machine.HTTPResponse{}, err
	}
	headers := make(map[string]string, len(answer.Header))
	for name, values := range answer.Header {
		headers[name] = strings.Join(values, ", ")
	}
	return machine.HTTPResponse{Status: answer.Status, Headers: headers, Body: answer.Body}, nil
}

// keyOf is the call's key, the same over attempts and restarts, in a length that others take.
func keyOf(call *machine.Call) string {
	if len(call.Key) <= maxKey {
		return call.Key
	}
	sum := sha256.Sum256([]byte(call.Key))
	return call.Key[:36] + "/" + hex.EncodeToString(sum[:])
}

// startChild starts a child workflow under the call's key. One that is waited for is completed by its end: see
// partition.tellParent.
func (a *Actor) startChild(ctx context.Context, row engine.Row, call *machine.Call) (output any, begun bool, err error) {
	child := call.Workflow
	workflowID, version, err := workflowNamed(ctx, a.DB.DB, row.UserID, child.Namespace, child.Name, child.Version)
	if err != nil {
		return nil, false, err
	}
	input := language.Canonical(child.Input)
	if child.Input == nil {
		input = []byte("{}")
	}
	if len(input) > a.config.MaxInput {
		return nil, false, machine.NewError(machine.TypeValidation, fmt.Sprintf("the input has %d bytes, the limit is %d", len(input), a.config.MaxInput))
	}
	o := order{
		userID: row.UserID, workflowID: workflowID, version: version, executionID: engine.DerivedID(call.Key), input: string(input),
		origin: engine.Origin{Kind: engine.OriginWorkflow, ID: row.ID},
	}
	if child.Await {
		o.parent, o.parentCall = row.ID, call.ID
	}
	// Whoever gives the call up cancels the child, and is to find it: its start is not cut short.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.config.StepTimeout)
	defer cancel()
	started, _, err := a.begin(ctx, o, nil)
	if err != nil {
		return nil, false, err
	}
	if !child.Await {
		return map[string]any{"execution_id": started.ID}, false, nil
	}
	if !started.Ended() {
		return nil, true, nil
	}
	if fault := engine.FaultOfRow(started); fault != nil {
		return nil, false, fault
	}
	output, err = a.engine.Output(json.RawMessage(started.Output))
	return output, false, err
}

// publish makes an event known that an execution emits.
func (a *Actor) publish(ctx context.Context, row engine.Row, event map[string]any) error {
	depth := row.Origin.Depth + 1
	if depth > maxDepth {
		return machine.NewError(machine.TypeRuntime, fmt.Sprintf("events have started executions that emit events, more than %d in a row", maxDepth))
	}
	_, _, err := a.route(ctx, row.UserID, event, depth, eventEmitted)
	if err != nil && subjects.CodeOf(err) == subjects.CodeInternal {
		return fmt.Errorf("delivering an event: %w", err)
	}
	return err
}
