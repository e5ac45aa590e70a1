package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// aggregate is a GET that calls several endpoints on the caller's behalf and returns their replies together. It is a route
// of the gateway's own and has no NATS subject.
type aggregate struct {
	name, route, summary, doc string
	// response is the zero value of the response, for the OpenAPI document.
	response any
	// parts are the endpoints that it calls, by the names of the response's fields. required: the first one, without which there is no response.
	parts    []aggregatePart
	required bool
	// collect calls the endpoints and returns the response. An error replaces the whole response.
	collect func(context.Context, *requestContext) (any, error)
}

// aggregatePart is a part of an aggregate's response.
type aggregatePart struct {
	name     string
	endpoint *subjects.Descriptor
}

// description is the doc, with the scope that an API key needs for each part.
func (a aggregate) description() string {
	var text strings.Builder
	text.WriteString(a.doc + " An API key needs a scope for each part:")
	for i, part := range a.parts {
		scope := part.endpoint.Access.KeyScope
		if scope == "" {
			scope = "none suffices"
		}
		if i > 0 {
			text.WriteString(",")
		}
		text.WriteString(" `" + part.name + "` " + scope)
	}
	text.WriteString(". A key without any of them is forbidden")
	if a.required {
		text.WriteString(", and so is one without that of `" + a.parts[0].name + "`")
	}
	return text.String() + "."
}

// authorize rejects an anonymous caller, and one who may get no part, or not the part that is required.
func (a aggregate) authorize(rc *requestContext) error {
	if err := rc.authenticated(subjects.User); err != nil {
		return err
	}
	var first error
	for _, part := range a.parts {
		err := mesh.MayCall(part.endpoint, rc.caller.claims)
		if err == nil || a.required {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

var aggregates = []aggregate{
	{
		name: "gateway.overview", route: "/v1/overview", summary: "Overview",
		doc: "Returns profile, connections, latest executions, consents and unread count in one call, which counts as one request. " +
			"A part that fails is left out and its problem is in `errors`.",
		response: Overview{}, collect: collectOverview,
		parts: []aggregatePart{
			{"profile", subjects.GetUserProfile.Describe()}, {"connections", subjects.GetUserIntegrations.Describe()},
			{"executions", subjects.ListExecutions.Describe()}, {"consents", subjects.ListConsents.Describe()},
			{"unread_count", subjects.ListNotifications.Describe()},
		},
	},
	{
		name: "gateway.full_execution", route: "/v1/executions/{execution_id}/full", summary: "An execution with its workflow and notifications",
		doc: "Returns the execution, the workflow version that it runs and the notifications that it sent. A part that fails is left " +
			"out and its problem is in `errors`; if the execution itself fails, its problem is the response.",
		response: FullExecution{}, collect: collectFullExecution, required: true,
		parts: []aggregatePart{
			{"execution", subjects.GetExecutionStatus.Describe()}, {"workflow", subjects.GetWorkflow.Describe()},
			{"notifications", subjects.ListNotifications.Describe()},
		},
	},
	limitsAggregate,
}

// Overview is the response of GET /v1/overview. A nil part is left out; Errors has the problem of each by its name.
type Overview struct {
	Profile     *subjects.Profile           `json:"profile,omitempty"`
	Connections *[]subjects.Connection      `json:"connections,omitempty" nullable:"true"`
	Executions  *[]subjects.Execution       `json:"executions,omitempty" nullable:"true"`
	Consents    *[]subjects.Consent         `json:"consents,omitempty" nullable:"true"`
	UnreadCount *int                        `json:"unread_count,omitempty" nullable:"false"`
	Errors      map[string]subjects.Problem `json:"errors,omitempty" doc:"The problems of the parts that failed, by name."`
}

// FullExecution is the response of GET /v1/executions/{execution_id}/full. A nil part is left out; Errors has the problem of
// each by its name.
type FullExecution struct {
	Execution     *subjects.Execution         `json:"execution,omitempty"`
	Workflow      *subjects.Workflow          `json:"workflow,omitempty"`
	Notifications *[]subjects.Notification    `json:"notifications,omitempty" nullable:"true"`
	Errors        map[string]subjects.Problem `json:"errors,omitempty" doc:"The problems of the parts that failed, by name."`
}

func collectOverview(ctx context.Context, rc *requestContext) (any, error) {
	var calls sync.WaitGroup
	profile := start(ctx, &calls, rc, subjects.GetUserProfile, subjects.Empty{})
	connections := start(ctx, &calls, rc, subjects.GetUserIntegrations, subjects.ListIntegrationsRequest{PageRequest: firstItems(50)})
	executions := start(ctx, &calls, rc, subjects.ListExecutions, subjects.ListExecutionsRequest{PageRequest: firstItems(10)})
	consents := start(ctx, &calls, rc, subjects.ListConsents, subjects.ListConsentsRequest{PageRequest: firstItems(50)})
	notifications := start(ctx, &calls, rc, subjects.ListNotifications, subjects.ListNotificationsRequest{PageRequest: firstItems(1)})
	calls.Wait()
	var response Overview
	if rc.succeeded("profile", profile.err, &response.Errors) {
		response.Profile = &profile.reply
	}
	if rc.succeeded("connections", connections.err, &response.Errors) {
		response.Connections = &connections.reply.Items
	}
	if rc.succeeded("executions", executions.err, &response.Errors) {
		response.Executions = &executions.reply.Items
	}
	if rc.succeeded("consents", consents.err, &response.Errors) {
		response.Consents = &consents.reply.Items
	}
	if rc.succeeded("unread_count", notifications.err, &response.Errors) {
		response.UnreadCount = &notifications.reply.UnreadCount
	}
	return response, nil
}

func collectFullExecution(ctx context.Context, rc *requestContext) (any, error) {
	id := rc.r.PathValue("execution_id")
	var calls sync.WaitGroup
	execution := start(ctx, &calls, rc, subjects.GetExecutionStatus, subjects.ExecutionRequest{ExecutionID: id})
	notifications := start(ctx, &calls, rc, subjects.ListNotifications,
		subjects.ListNotificationsRequest{PageRequest: firstItems(50), ExecutionID: id})
	calls.Wait()
	if execution.err != nil {
		return nil, execution.err
	}
	response := FullExecution{Execution: &execution.reply}
	workflow, err := call(ctx, rc, subjects.GetWorkflow, subjects.WorkflowVersionRequest{
		WorkflowID: execution.reply.WorkflowID, Version: execution.reply.Version,
	})
	if rc.succeeded("workflow", err, &response.Errors) {
		response.Workflow = &workflow
	}
	if rc.succeeded("notifications", notifications.err, &response.Errors) {
		response.Notifications = &notifications.reply.Items
	}
	return response, nil
}

func firstItems(limit int) subjects.PageRequest { return subjects.PageRequest{Limit: limit} }

// handle answers a request for the aggregate.
func (a aggregate) handle(rc *requestContext) error {
	ctx, cancel := context.WithTimeout(rc.ctx, subjects.DefaultTimeout)
	defer cancel()
	if err := rc.admit(ctx, nil, false); err != nil {
		return err
	}
	if err := a.authorize(rc); err != nil {
		return err
	}
	if rc.r.URL.RawQuery != "" {
		return subjects.Errorf(subjects.CodeInvalid, "this operation takes no query parameters")
	}
	response, err := a.collect(ctx, rc)
	if err != nil {
		return err
	}
	data, err := subjects.Encode(response)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", a.name, err)
	}
	rc.write(http.StatusOK, typeJSON, data)
	return nil
}

// result is the outcome of one started call. Only the call's goroutine writes it; read it after waiting for the calls.
type result[Res any] struct {
	reply Res
	err   error
}

// start calls an endpoint in a goroutine of calls.
func start[Req, Res any](
	ctx context.Context, calls *sync.WaitGroup, rc *requestContext, e subjects.Endpoint[Req, Res], request Req,
) *result[Res] {
	r := &result[Res]{}
	calls.Go(func() {
		r.err = rc.g.Telemetry.Recovered(mesh.UserGateway, func() (err error) {
			r.reply, err = call(ctx, rc, e, request)
			return err
		})
	})
	return r
}

// succeeded reports whether a part's call had no error. Otherwise it adds the problem to errs under the part's name.
func (rc *requestContext) succeeded(part string, err error, errs *map[string]subjects.Problem) bool {
	if err == nil {
		return true
	}
	if *errs == nil {
		*errs = map[string]subjects.Problem{}
	}
	(*errs)[part] = rc.problemOf(err)
	return false
}
