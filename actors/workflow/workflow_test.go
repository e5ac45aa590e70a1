package workflow_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/actors/workflow"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// bundle is a mesh with the workflow actor on one database, stubs of the actors integration and notification, an HTTP API,
// and a user who consents to running workflows and executing actions.
type bundle struct {
	mesh   *actortest.Mesh
	conn   *mesh.Conn
	host   *actortest.Hosted
	config workflow.Config
	db     database.Config
	keyset string
	// user is who calls, as is the user's identity.
	user string
	as   mesh.As
	api  *httptest.Server

	mu sync.Mutex
	// actionCalls and notifications are what the stubs received, requests what the API did.
	actionCalls   []subjects.ExecuteActionRequest
	notifications []subjects.SendNotificationRequest
	requests      []string
	// The action hold sends to reached when it is called, and returns once it receives from release or release is closed.
	release, reached chan struct{}
	// ended gets the end of each action hold whose call was cancelled; nil: none does.
	ended chan error
	// integration is the stub, startIntegration starts it again.
	integration      *actortest.Hosted
	startIntegration func(t *testing.T)
}

func setup(t *testing.T, database actortest.Database, options ...actortest.Option) *bundle {
	t.Helper()
	m := actortest.Start(t, options...)
	b := &bundle{
		mesh: m, conn: m.Conn(t, "gateway"), config: workflow.DefaultConfig(), user: actortest.User(),
		release: make(chan struct{}), reached: make(chan struct{}, 16), db: database.Config(t, "workflow"),
		keyset: filepath.Join(t.TempDir(), "keyset"),
	}
	b.config.StepRetryDelay, b.config.Extensions.MaxWait = 50*time.Millisecond, time.Second
	b.as = mesh.As{Token: m.Token(t, b.user)}
	m.Consent(t, b.user, subjects.ScopeWorkflowsExecute, subjects.ScopeIntegrationsExecute)
	b.startStubs(t, database)
	b.api = httptest.NewServer(http.HandlerFunc(b.answer))
	t.Cleanup(b.api.Close)
	b.host = b.start(t)
	return b
}

func (b *bundle) start(t *testing.T) *actortest.Hosted {
	t.Helper()
	return b.mesh.Host(t, "workflow", b.db, workflow.Migrations, func(d actors.Deps) (actors.Service, error) {
		a, err := workflow.New(d, b.config)
		if err != nil {
			return actors.Service{}, err
		}
		return a.Service(), nil
	}, func(c *runtime.HostConfig) {
		c.KeysetFile = b.keyset
		c.EgressAllow, c.EgressAllowHTTP = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, true
	})
}

// startStubs starts the stubs of integration and notification.
func (b *bundle) startStubs(t *testing.T, database actortest.Database) {
	t.Helper()
	b.startIntegration = func(t *testing.T) { b.integration = b.hostIntegration(t, database) }
	b.startIntegration(t)
	b.mesh.Host(t, "notification", database.Config(t, "notification"), nil, func(actors.Deps) (actors.Service, error) {
		return actors.Service{Name: "notification", Bindings: []actors.Binding{
			actors.Bind(subjects.SendNotification, func(_ context.Context, r subjects.SendNotificationRequest) (subjects.NotificationRef, error) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.notifications = append(b.notifications, r)
				return subjects.NotificationRef{NotificationID: actortest.User(), Status: "accepted"}, nil
			}),
		}}, nil
	})
}

func (b *bundle) hostIntegration(t *testing.T, database actortest.Database) *actortest.Hosted {
	t.Helper()
	return b.mesh.Host(t, "integration", database.Config(t, "integration"), nil, func(d actors.Deps) (actors.Service, error) {
		return actors.Service{Name: "integration", Bindings: []actors.Binding{
			actors.Bind(subjects.ExecuteAction, func(ctx context.Context, r subjects.ExecuteActionRequest) (subjects.ActionResult, error) {
				return b.act(ctx, d, r)
			}),
			actors.Bind(subjects.GetProvider, func(_ context.Context, r subjects.ProviderRequest) (subjects.ProviderDetail, error) {
				if r.Provider == "library" {
					return subjects.ProviderDetail{Provider: subjects.Provider{ID: "library"},
						Actions: []subjects.ProviderAction{{ID: "hold", Title: "Hold", Safety: "read"}}}, nil
				}
				names := stubActions[r.Provider]
				if names == nil {
					return subjects.ProviderDetail{}, subjects.Errorf(subjects.CodeNotFound, "there is no such provider")
				}
				input := map[string]any{"type": "object", "properties": map[string]any{"repo": map[string]any{"type": "string"}}}
				detail := subjects.ProviderDetail{Provider: subjects.Provider{ID: r.Provider, Category: "code", AuthType: "oauth2", Status: "available"}}
				safety := "read"
				if r.Provider == "shop" {
					safety = "" // unknown
				}
				for _, name := range names {
					if name == "hold_once" {
						safety = "write_once"
					}
					detail.Actions = append(detail.Actions, subjects.ProviderAction{ID: name, Title: "Get a repository", Safety: safety, Input: input})
				}
				return detail, nil
			}),
		}}, nil
	})
}

// stubActions are the actions of the stub's providers.
var stubActions = map[string][]string{
	"github": {"get", "get_repo", "hold", "hold_once", "fail", "slow"}, "dropbox": {"download_file"}, "aws_s3": {"put_object"},
	"shop": {"hold", "hold_once"},
}

// act performs an action of the stub. It checks consent as the integration actor does.
func (b *bundle) act(ctx context.Context, d actors.Deps, r subjects.ExecuteActionRequest) (subjects.ActionResult, error) {
	caller := actors.CallerFrom(ctx)
	if _, err := d.Guard.Check(ctx, caller.UserID, subjects.ScopeIntegrationsExecute); err != nil {
		return subjects.ActionResult{}, err
	}
	if r.Action == "hold_once" && r.Repeated {
		return subjects.ActionResult{}, &subjects.Error{Code: subjects.CodeConflict, Detail: "it must not be repeated", Fields: []subjects.FieldError{
			{Field: "call_key", Code: subjects.FieldUnknownOutcome, Message: "may have been done already"},
		}}
	}
	b.mu.Lock()
	b.actionCalls = append(b.actionCalls, r)
	b.mu.Unlock()
	switch r.Action {
	case "hold", "hold_once":
		b.reached <- struct{}{}
		select {
		case <-b.release:
		case <-ctx.Done():
			if b.ended != nil {
				b.ended <- context.Cause(ctx)
			}
			return subjects.ActionResult{}, ctx.Err()
		}
	case "fail":
		return subjects.ActionResult{}, subjects.Errorf(subjects.CodeProvider, "the provider is out of order")
	}
	output, err := json.Marshal(map[string]any{"action": r.Action, "input": r.Input, "count": 3})
	return subjects.ActionResult{Output: output, Attempts: 1}, err
}

func (b *bundle) answer(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.requests = append(b.requests, r.Method+" "+r.URL.Path+" "+r.Header.Get("Idempotency-Key"))
	b.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/missing" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if r.URL.Path == "/openapi.json" {
		fmt.Fprintf(w, `{"openapi":"3.1.0","info":{"title":"Pets","version":"1"},"servers":[{"url":%q}],"paths":{"/pets/{petId}":{"get":{
			"operationId":"getPet","parameters":[{"name":"petId","in":"path","required":true,"schema":{"type":"integer"}}],
			"responses":{"200":{"description":"A pet"}}}}}}`, b.api.URL)
		return
	}
	fmt.Fprint(w, `{"name":"weft","stars":42}`)
}

// actions returns the call keys of the calls of an action.
func (b *bundle) actions(name string) (keys []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.actionCalls {
		if r.Action == name {
			keys = append(keys, r.CallKey)
		}
	}
	return keys
}

// call calls an endpoint as the user. It must succeed.
func call[Req, Res any](t *testing.T, b *bundle, e subjects.Endpoint[Req, Res], req Req) Res {
	t.Helper()
	res, err := mesh.Call(t.Context(), b.conn, e, req, b.as)
	if err != nil {
		t.Fatalf("%s: %v", e.Subject, err)
	}
	return res
}

// wantCode checks that a call fails with a code, and returns the error.
func wantCode[Req, Res any](
	t *testing.T, b *bundle, code subjects.Code, e subjects.Endpoint[Req, Res], as mesh.As, req Req,
) *subjects.Error {
	t.Helper()
	_, err := mesh.Call(t.Context(), b.conn, e, req, as)
	if subjects.CodeOf(err) != code {
		t.Fatalf("%s: got %v, want %s", e.Subject, err, code)
	}
	coded, _ := err.(*subjects.Error) //nolint:errorlint // mesh.Call does not wrap it
	return coded
}

// workflowOf returns a definition with tasks, which start on its third line.
func workflowOf(tasks string) string {
	return "document: {dsl: '1.0.3', namespace: test, name: story, version: '0.1.0'}\ndo:\n" + tasks
}

// yaml returns a definition's text as a request has it.
func yaml(t *testing.T, text string) json.RawMessage {
	t.Helper()
	data, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// create creates a workflow with tasks and returns its id.
func (b *bundle) create(t *testing.T, tasks string) string {
	t.Helper()
	w := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, workflowOf(tasks))})
	return w.ID
}

// run creates a workflow with tasks, executes it and waits for its end.
func (b *bundle) run(t *testing.T, tasks, input string) subjects.Execution {
	t.Helper()
	return call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{
		WorkflowID: b.create(t, tasks), Input: json.RawMessage(input), Timeout: 30,
	})
}

// startNew creates a workflow with tasks and starts it.
func (b *bundle) startNew(t *testing.T, tasks, input string) subjects.Execution {
	t.Helper()
	return call(t, b, subjects.StartExecution, subjects.StartExecutionRequest{
		WorkflowID: b.create(t, tasks), Input: json.RawMessage(input),
	})
}

func (b *bundle) getExecution(t *testing.T, id string) subjects.Execution {
	t.Helper()
	return call(t, b, subjects.GetExecutionStatus, subjects.ExecutionRequest{ExecutionID: id})
}

// awaitStatus waits until an execution has one of the statuses.
func (b *bundle) awaitStatus(t *testing.T, id string, statuses ...string) subjects.Execution {
	t.Helper()
	var e subjects.Execution
	eventually(t, fmt.Sprintf("execution %s is one of %v", id, statuses), func() bool {
		e = callEventually(t, b, subjects.GetExecutionStatus, subjects.ExecutionRequest{ExecutionID: id})
		return slices.Contains(statuses, e.Status)
	})
	return e
}

// callEventually is call while a process may be paused: it repeats a call that times out or is refused as unavailable.
func callEventually[Req, Res any](t *testing.T, b *bundle, e subjects.Endpoint[Req, Res], req Req) (res Res) {
	t.Helper()
	eventually(t, e.Describe().Name()+" answers", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var err error
		res, err = mesh.Call(ctx, b.conn, e, req, b.as)
		if code := subjects.CodeOf(err); err != nil && code != subjects.CodeTimeout && code != subjects.CodeUnavailable {
			t.Fatalf("%s: %v", e.Describe().Name(), err)
		}
		return err == nil
	})
	return res
}

// eventually waits until a condition holds, and fails the test after a minute.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting until %s", what)
		}
		<-tick.C
	}
}

func wantOutput(t *testing.T, e subjects.Execution, want string) {
	t.Helper()
	if e.Status != subjects.ExecutionCompleted {
		t.Fatalf("the execution is %s: %+v", e.Status, e.Error)
	}
	if string(e.Output) != want {
		t.Errorf("output %s, want %s", e.Output, want)
	}
}

func wantFault(t *testing.T, e subjects.Execution, kind string, status int) {
	t.Helper()
	if e.Status != subjects.ExecutionFaulted || e.Error == nil {
		t.Fatalf("the execution is %s with output %s, want it faulted", e.Status, e.Output)
	}
	if e.Error.Type != "https://open-workflow-specification.org/spec/1.0.0/errors/"+kind || e.Error.Status != status {
		t.Errorf("error %+v, want %s with status %d", e.Error, kind, status)
	}
}

func taskNames(e subjects.Execution) (names []string) {
	for _, task := range e.Tasks {
		names = append(names, task.Name+":"+task.Status)
	}
	return names
}
