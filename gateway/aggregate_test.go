package gateway_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/subjects"
)

// aggregated is a set of actors that reply to the endpoints of the aggregates and record the requests.
type aggregated struct {
	mu            sync.Mutex
	connections   subjects.ListIntegrationsRequest
	executions    subjects.ListExecutionsRequest
	consents      subjects.ListConsentsRequest
	notifications subjects.ListNotificationsRequest
	workflow      subjects.WorkflowVersionRequest
	users         []string
	// before runs before each reply.
	before func()
	// errs are the errors of GetWorkflow and GetExecutionStatus.
	errs struct{ workflow, execution error }
}

const (
	executionID = "01980000-0000-7000-8000-00000000000e"
	workflowID  = "01980000-0000-7000-8000-00000000000f"
	// bigNumber has more digits than a float64.
	bigNumber = "12345678901234567890"
)

// record stores a request in field.
func record[T any](ctx context.Context, a *aggregated, field *T, request T) {
	if a.before != nil {
		a.before()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	*field = request
	a.users = append(a.users, actors.CallerFrom(ctx).UserID)
}

// change changes the fixture, or reads it, while the actors run.
func (a *aggregated) change(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// bindings returns the bindings by actor.
func (a *aggregated) bindings() map[string][]actors.Binding {
	return map[string][]actors.Binding{
		"auth": {actors.Bind(subjects.GetUserProfile, func(ctx context.Context, r subjects.Empty) (subjects.Profile, error) {
			record(ctx, a, &subjects.Empty{}, r)
			return subjects.Profile{ID: actors.CallerFrom(ctx).UserID, Roles: []string{}}, nil
		})},
		"integration": {actors.Bind(subjects.GetUserIntegrations,
			func(ctx context.Context, r subjects.ListIntegrationsRequest) (subjects.Page[subjects.Connection], error) {
				record(ctx, a, &a.connections, r)
				settings := map[string]any{"chat": json.Number(bigNumber)}
				return subjects.Page[subjects.Connection]{Items: []subjects.Connection{{Auth: "api_key", Status: subjects.ConnectionActive, Settings: settings}}, NextCursor: "next"}, nil
			})},
		"workflow": {
			actors.Bind(subjects.ListExecutions, func(ctx context.Context, r subjects.ListExecutionsRequest) (subjects.Page[subjects.Execution], error) {
				record(ctx, a, &a.executions, r)
				return subjects.Page[subjects.Execution]{Items: []subjects.Execution{}}, nil
			}),
			actors.Bind(subjects.GetExecutionStatus, func(ctx context.Context, r subjects.ExecutionRequest) (subjects.Execution, error) {
				record(ctx, a, &subjects.ExecutionRequest{}, r)
				a.mu.Lock()
				defer a.mu.Unlock()
				return subjects.Execution{
					ID: r.ExecutionID, WorkflowID: workflowID, Version: 3, Status: "completed", Output: json.RawMessage(`{"n":` + bigNumber + `}`),
				}, a.errs.execution
			}),
			actors.Bind(subjects.GetWorkflow, func(ctx context.Context, r subjects.WorkflowVersionRequest) (subjects.Workflow, error) {
				record(ctx, a, &a.workflow, r)
				a.mu.Lock()
				defer a.mu.Unlock()
				return subjects.Workflow{ID: r.WorkflowID, Version: r.Version}, a.errs.workflow
			}),
		},
		"consent": {actors.Bind(subjects.ListConsents, func(ctx context.Context, r subjects.ListConsentsRequest) (subjects.Page[subjects.Consent], error) {
			record(ctx, a, &a.consents, r)
			return subjects.Page[subjects.Consent]{}, nil
		})},
		"notification": {actors.Bind(subjects.ListNotifications, func(ctx context.Context, r subjects.ListNotificationsRequest) (subjects.NotificationPage, error) {
			record(ctx, a, &a.notifications, r)
			return subjects.NotificationPage{Items: []subjects.Notification{}, UnreadCount: 7}, nil
		})},
	}
}

// start starts the actors, except those named.
func (a *aggregated) start(t *testing.T, s *site, except ...string) {
	t.Helper()
	for name, bindings := range a.bindings() {
		if !slices.Contains(except, name) {
			s.actor(t, name, bindings...)
		}
	}
}

func page(limit int) subjects.PageRequest { return subjects.PageRequest{Limit: limit} }

func TestOverview(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	a := &aggregated{}
	// No reply is sent before all five endpoints have been called, so that the calls must be concurrent.
	var called sync.WaitGroup
	called.Add(5)
	a.before = func() { called.Done(); called.Wait() }
	a.start(t, s)
	me := actortest.User()
	response, body := s.do(t, "GET", "/v1/overview", "", bearer(s.Token(t, me)))
	scenario{status: 200, contains: []string{
		`"id":"` + me + `"`, `"chat":` + bigNumber, `"executions":[]`, `"consents":null`, `"unread_count":7`,
	}, absent: []string{"errors", "next_cursor"}}.check(t, response, body)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.connections.PageRequest != page(50) || a.executions.PageRequest != page(10) || a.consents.PageRequest != page(50) ||
		a.notifications != (subjects.ListNotificationsRequest{PageRequest: page(1)}) {
		t.Errorf("the requests are %+v, %+v, %+v, %+v", a.connections, a.executions, a.consents, a.notifications)
	}
	if !slices.Equal(a.users, []string{me, me, me, me, me}) {
		t.Errorf("the callers are %v, want %s", a.users, me)
	}
	checkResponse(t, "/v1/overview", response, body)
}

// checkResponse validates a response against the OpenAPI document of the gateway's own operations.
func checkResponse(t *testing.T, path string, response *http.Response, body string) {
	t.Helper()
	data, err := gateway.OpenAPIOf(nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body = io.NopCloser(strings.NewReader(body))
	request := httptest.NewRequest(http.MethodGet, path, nil)
	if valid, errs := newValidator(t, data).ValidateHttpResponse(request, response); !valid {
		t.Errorf("the response does not match the document: %v: %s", errs[0], body)
	}
}

func TestOverviewReportsFailedParts(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	a := &aggregated{}
	a.start(t, s, "integration", "notification")
	me := actortest.User()
	token := bearer(s.Token(t, me))
	response, body := s.do(t, "GET", "/v1/overview", "", token, "X-Request-Id: overview-1")
	scenario{status: 200, contains: []string{`"id":"` + me + `"`, `"executions":[]`}, absent: []string{`"connections":[`, `"unread_count":7`}}.check(t, response, body)
	var overview gateway.Overview
	if err := json.Unmarshal([]byte(body), &overview); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"connections", "unread_count"} {
		if p := overview.Errors[part]; p.Code != subjects.CodeUnavailable || p.RequestID != "overview-1" || p.TraceID == "" {
			t.Errorf("the problem of %s is %+v", part, p)
		}
	}
	if len(overview.Errors) != 2 || overview.Profile == nil || overview.Connections != nil || overview.UnreadCount != nil {
		t.Errorf("got %s", body)
	}
	checkResponse(t, "/v1/overview", response, body)
	for _, sc := range []scenario{
		{name: "query", path: "/v1/overview?x=1", header: []string{token}, status: 400, code: subjects.CodeInvalid},
		{name: "no token", path: "/v1/overview", status: 401, code: subjects.CodeUnauthenticated},
		{name: "method", method: "POST", path: "/v1/overview", header: []string{token}, status: 405, code: subjects.CodeMethodNotAllowed},
	} {
		t.Run(sc.name, func(t *testing.T) {
			response, body := s.do(t, sc.method, sc.path, "", sc.header...)
			sc.check(t, response, body)
		})
	}
}

func TestFullExecution(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	a := &aggregated{}
	a.start(t, s)
	const path = "/v1/executions/" + executionID + "/full"
	token := bearer(s.Token(t, actortest.User()))
	response, body := s.do(t, "GET", path, "", token)
	scenario{
		status: 200, absent: []string{"errors"},
		contains: []string{`"id":"` + executionID + `"`, `"id":"` + workflowID + `"`, `"n":` + bigNumber, `"notifications":[]`},
	}.check(t, response, body)
	a.change(func() {
		if a.workflow != (subjects.WorkflowVersionRequest{WorkflowID: workflowID, Version: 3}) ||
			a.notifications != (subjects.ListNotificationsRequest{PageRequest: page(50), ExecutionID: executionID}) {
			t.Errorf("the requests are %+v, %+v", a.workflow, a.notifications)
		}
	})
	checkResponse(t, path, response, body)

	a.change(func() { a.errs.workflow = subjects.Errorf(subjects.CodeNotFound, "no such workflow") })
	response, body = s.do(t, "GET", path, "", token)
	scenario{status: 200, contains: []string{`"errors":{"workflow":{`, "no such workflow", `"notifications":[]`}, absent: []string{`"workflow":{"id"`}}.check(t, response, body)
	checkResponse(t, path, response, body)

	a.change(func() { a.errs.execution = subjects.Errorf(subjects.CodeNotFound, "no such execution") })
	response, body = s.do(t, "GET", path, "", token)
	scenario{status: 404, code: subjects.CodeNotFound, contains: []string{"no such execution"}, absent: []string{"errors"}}.check(t, response, body)

	var calls int
	a.change(func() { calls = len(a.users) })
	response, body = s.do(t, "GET", "/v1/executions/not-a-uuid/full", "", token)
	scenario{status: 400, code: subjects.CodeInvalid, field: "execution_id"}.check(t, response, body)
	a.change(func() {
		if len(a.users) != calls {
			t.Error("a request with an invalid id reached an actor")
		}
	})
}

// Concurrent requests must not share results. The race detector checks the calls of each.
func TestConcurrentAggregates(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	a := &aggregated{}
	a.start(t, s, "notification")
	var requests sync.WaitGroup
	for range 8 {
		requests.Go(func() {
			me := actortest.User()
			token := bearer(s.Token(t, me))
			if r, body := s.do(t, "GET", "/v1/overview", "", token); r.StatusCode != 200 || !strings.Contains(body, me) {
				t.Errorf("overview: %d %s", r.StatusCode, body)
			}
			if r, body := s.do(t, "GET", "/v1/executions/"+executionID+"/full", "", token); r.StatusCode != 200 || !strings.Contains(body, workflowID) {
				t.Errorf("full execution: %d %s", r.StatusCode, body)
			}
		})
	}
	requests.Wait()
}

// A reply that cannot be decoded is the problem of its part.
func TestAggregateWithUnreadableReply(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	s.listen(t, subjects.GetUserProfile.Describe(), []string{"not a profile"})
	response, body := s.do(t, "GET", "/v1/overview", "", bearer(s.Token(t, actortest.User())))
	var overview gateway.Overview
	if err := json.Unmarshal([]byte(body), &overview); err != nil || response.StatusCode != 200 {
		t.Fatalf("%d %v %s", response.StatusCode, err, body)
	}
	if overview.Profile != nil || overview.Errors["profile"].Code != subjects.CodeInternal {
		t.Errorf("got %s", body)
	}
}

// The aggregates are the gateway's own routes: no endpoint declares them.
func TestAggregatesAreNoEndpoints(t *testing.T) {
	t.Parallel()
	for _, d := range subjects.Endpoints() {
		if d.Path == "/v1/overview" || d.Path == "/v1/executions/{execution_id}/full" || d.Path == "/v1/users/me/limits" || d.Actor == "gateway" {
			t.Errorf("%s is declared", d.Name())
		}
	}
}
