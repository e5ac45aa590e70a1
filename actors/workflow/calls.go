package workflow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// maxKey bounds the key that a call is known by to whom it is made.
const maxKey = 200

// errAbandoned ends a call that the process has no time for any more.
var errAbandoned = errors.New("the process stops")

// result is what came of a call.
type result struct {
	id      string
	outcome machine.Outcome
	// begun: somebody else will complete it, the execution child where it is one.
	begun bool
	child string
	// abandoned: the process stops or has lost the mesh; nothing is to be recorded.
	abandoned bool
}

// perform makes one call, when there is a slot for it, and tells what came of it.
// again: an owner before this one may have made it.
func (a *Actor) perform(ctx context.Context, row executionRow, call *machine.Call, again bool) result {
	if !a.steps.acquire(ctx, a.stopping, row.UserID, row.Priority) {
		return result{id: call.ID, abandoned: true}
	}
	defer a.steps.leave()
	began := time.Now()
	reach(crashBeforeEffect)
	output, err := a.attempt(ctx, row, call, again)
	reach(crashAfterEffect)
	a.metrics.stepDuration.Observe(time.Since(began).Seconds())
	switch {
	case ctx.Err() != nil || errors.Is(err, errAbandoned) || errors.Is(err, nats.ErrConnectionClosed):
		a.metrics.steps.WithLabelValues("abandoned").Inc()
		return result{id: call.ID, abandoned: true}
	case errors.Is(err, errBegun):
		return result{id: call.ID, begun: true, child: awaitedChild(call)}
	case again && subjects.HasFieldCode(err, subjects.FieldUnknownOutcome):
		a.metrics.steps.WithLabelValues("faulted").Inc()
		return result{id: call.ID, outcome: machine.CallUnknown(call.ID, a.Now())}
	case err != nil:
		a.metrics.steps.WithLabelValues("faulted").Inc()
		return result{id: call.ID, outcome: machine.CallFault(call.ID, faultOf(err), a.Now())}
	}
	a.metrics.steps.WithLabelValues("completed").Inc()
	return result{id: call.ID, outcome: machine.CallDone(call.ID, output, a.Now())}
}

// attempt makes a call within the step's time, again where it has reached nobody.
func (a *Actor) attempt(ctx context.Context, row executionRow, call *machine.Call, again bool) (any, error) {
	timed, cancel := context.WithTimeout(ctx, a.config.StepTimeout)
	defer cancel()
	for try := 0; ; try++ {
		output, err := a.dispatch(timed, row, call, again)
		if err == nil || try >= a.config.StepRetries || !repeatable(call, err) {
			return output, a.timedOut(ctx, timed, err)
		}
		select {
		case <-time.After(a.config.StepRetryDelay):
		case <-a.stopping:
			return nil, errAbandoned
		case <-timed.Done():
			return nil, a.timedOut(ctx, timed, err)
		}
	}
}

// timedOut names the end of the step's own time as what it is.
func (a *Actor) timedOut(ctx, timed context.Context, err error) error {
	if err != nil && timed.Err() != nil && ctx.Err() == nil {
		return machine.NewError(machine.TypeTimeout, fmt.Sprintf("the call took longer than %s", a.config.StepTimeout))
	}
	return err
}

// repeatable tells whether a call can be made again at once without being made twice: it has reached nobody, or whom
// it reaches knows it again by its key.
func repeatable(call *machine.Call, err error) bool {
	var outbound *egress.Error
	if errors.As(err, &outbound) {
		return outbound.Kind == egress.KindConnect && !outbound.Sent
	}
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrReconnectBufExceeded) {
		return true
	}
	return harmless(call) && passing(err) || begins(call) && subjects.CodeOf(err) == subjects.CodeRateLimited
}

// begins tells that a call starts executions, by itself or by its event: it waits for its user's others for a while.
func begins(call *machine.Call) bool {
	return call.Kind == machine.CallWorkflow || call.Kind == machine.CallEmit || call.Function == functionStart
}

// harmless tells that weft knows a call again by its key: making it twice makes it once.
func harmless(call *machine.Call) bool {
	switch call.Function {
	case functionNotify, functionConsent, machine.FunctionApproval:
		return true
	}
	return begins(call)
}

// errBegun: the call is begun, and somebody else will complete it.
var errBegun = errors.New("the call is begun")

func (a *Actor) dispatch(ctx context.Context, row executionRow, call *machine.Call, again bool) (any, error) {
	switch call.Kind {
	case machine.CallEmit:
		return call.Message, a.publish(ctx, row, call.Message)
	case machine.CallWorkflow:
		output, begun, err := a.startChild(ctx, row, call)
		if err == nil && begun {
			err = errBegun
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
		case functionNotify:
			return a.notify(ctx, row, call)
		case functionConsent:
			return a.requireConsent(ctx, row, call)
		case functionStart:
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
func as(row executionRow) mesh.As {
	return mesh.As{Service: true, UserID: row.UserID, Grant: row.grant()}
}

// act runs an action of a connection's provider.
func (a *Actor) act(ctx context.Context, row executionRow, call *machine.Call, again bool) (any, error) {
	provider, name, found := strings.Cut(call.Function, ".")
	if !found {
		return nil, machine.NewError(machine.TypeConfiguration, fmt.Sprintf("there is no function %.80q", call.Function))
	}
	connection, input, err := connectionOf(provider, argumentsOf(call))
	if err != nil {
		return nil, err
	}
	res, err := mesh.Call(ctx, a.Conn, subjects.ExecuteAction, subjects.ExecuteActionRequest{
		IntegrationID: connection, Action: name, Input: input, CallKey: keyOf(call), Repeated: again,
	}, as(row))
	if err != nil {
		return nil, err
	}
	return a.output(res.Output)
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
func (a *Actor) notify(ctx context.Context, row executionRow, call *machine.Call) (any, error) {
	var request subjects.SendNotificationRequest
	decoder := json.NewDecoder(bytes.NewReader(language.Canonical(argumentsOf(call))))
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
func (a *Actor) requireConsent(ctx context.Context, row executionRow, call *machine.Call) (any, error) {
	scope, _ := argumentsOf(call)["scope"].(string)
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
func (a *Actor) send(ctx context.Context, row executionRow, call *machine.Call, request *machine.HTTPRequest) (any, error) {
	return request.Send(func(r *machine.HTTPRequest) (machine.HTTPResponse, error) {
		return a.request(ctx, row, call, r)
	}, a.NewID())
}

// request makes one request on the user's behalf: under the guard, so that none begins after the consent was revoked.
func (a *Actor) request(ctx context.Context, row executionRow, call *machine.Call, request *machine.HTTPRequest) (machine.HTTPResponse, error) {
	header := http.Header{}
	for name, value := range request.Headers {
		header.Set(name, value)
	}
	if request.Method != http.MethodGet && request.Method != http.MethodHead && header.Get(mesh.HeaderIdempotencyKey) == "" {
		sum := sha256.Sum256([]byte(call.Key))
		header.Set(mesh.HeaderIdempotencyKey, hex.EncodeToString(sum[:16]))
	}
	var answer *egress.Response
	err := a.Guard.Do(ctx, row.grant(), subjects.ScopeWorkflowsExecute, func(ctx context.Context, started func()) (err error) {
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

// output reads what a call gave.
func (a *Actor) output(data json.RawMessage) (any, error) {
	if len(data) == 0 {
		return nil, nil
	}
	if len(data) > a.config.MaxResult {
		return nil, machine.NewError(machine.TypeRuntime, fmt.Sprintf(
			"the call gave %d bytes, the limit is %d", len(data), a.config.MaxResult))
	}
	value, err := language.Decode(data)
	if err != nil {
		return nil, machine.NewError(machine.TypeCommunication, "the call did not give JSON")
	}
	return value, nil
}

func argumentsOf(call *machine.Call) map[string]any {
	if call.Arguments == nil {
		return map[string]any{}
	}
	return call.Arguments
}

// keyOf is the call's key, the same over attempts and restarts, in a length that others take.
func keyOf(call *machine.Call) string {
	if len(call.Key) <= maxKey {
		return call.Key
	}
	sum := sha256.Sum256([]byte(call.Key))
	return call.Key[:36] + "/" + hex.EncodeToString(sum[:])
}

// passing tells whether another try makes sense.
func passing(err error) bool {
	code := subjects.CodeOf(err)
	return code == subjects.CodeUnavailable || code == subjects.CodeTimeout
}
