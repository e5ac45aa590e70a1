package workflow_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// apiKeys serves the states of API keys as the auth actor does.
type apiKeys struct {
	mu     sync.Mutex
	states map[string]subjects.APIKeyState
}

func (b *bundle) hostKeys(t *testing.T, database actortest.Database) *apiKeys {
	t.Helper()
	k := &apiKeys{states: map[string]subjects.APIKeyState{}}
	b.mesh.Host(t, "auth", database.Config(t, "auth"), nil, func(actors.Deps) (actors.Service, error) {
		return actors.Service{Name: "auth", Bindings: []actors.Binding{
			actors.Bind(subjects.GetAPIKeyState, func(_ context.Context, r subjects.APIKeyStateRequest) (subjects.APIKeyState, error) {
				k.mu.Lock()
				defer k.mu.Unlock()
				state := k.states[r.KeyID]
				if state.UserID != r.UserID {
					state = subjects.APIKeyState{UserID: r.UserID, Scopes: []string{}}
				}
				state.ValidUntil = time.Now().Add(time.Minute)
				return state, nil
			}),
		}}, nil
	})
	return k
}

// add adds an API key of the bundle's user and returns a caller with it.
func (k *apiKeys) add(t *testing.T, b *bundle, scopes ...string) (id string, as mesh.As) {
	t.Helper()
	id = actortest.User()
	k.mu.Lock()
	k.states[id] = subjects.APIKeyState{UserID: b.user, Active: true, Scopes: scopes}
	k.mu.Unlock()
	return id, mesh.As{Token: b.mesh.Token(t, b.user, actortest.WithAPIKey(id, strings.Join(scopes, " ")), actortest.WithSession(id))}
}

// revoke revokes a key as the auth actor does.
func (k *apiKeys) revoke(t *testing.T, b *bundle, id string) {
	t.Helper()
	b.mesh.RevokeSession(t, b.user, id)
	k.mu.Lock()
	delete(k.states, id)
	k.mu.Unlock()
}

// with returns the bundle as another caller sees it.
func (b *bundle) with(as mesh.As, use func()) {
	before := b.as
	b.as = as
	defer func() { b.as = before }()
	use()
}

// named is a definition of a name, with further top-level fields.
func named(t *testing.T, name, top, tasks string) json.RawMessage {
	t.Helper()
	return yaml(t, "document: {dsl: '1.0.3', namespace: tests, name: "+name+", version: '1.0.0'}\n"+top+"do:\n"+tasks)
}

const (
	getTask    = "- get: {call: github.get, with: {repo: mesh}}\n"
	notifyTask = "- tell: {call: notification.send, with: {subject: hello}}\n"
)

// TestExecutionsHaveTheScopesOfTheirKey: an execution that an API key starts can do what the key can do itself, in every step
// and in its children; so can one that a schedule starts of a version that a key stored. Anything else is refused with 403.
func TestExecutionsHaveTheScopesOfTheirKey(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, actortest.Quiet())
		keys := b.hostKeys(t, database)
		_, narrow := keys.add(t, b, subjects.ScopeWorkflowsExecute, subjects.ScopeWorkflowsRead)
		_, wide := keys.add(t, b, subjects.ScopeWorkflowsExecute, subjects.ScopeWorkflowsRead, subjects.ScopeIntegrationsExecute, subjects.ScopeNotificationsSend)
		for name, tasks := range map[string]string{
			"an action": getTask, "a notification": notifyTask, "an approval": "- ask: {call: approval.request, with: {title: Ship}}\n",
			"a consent":     "- need: {call: consent.require, with: {scope: integrations.execute}}\n",
			"a nested step": "- f: {fork: {branches: [{a: {do: [{get: {call: github.get}}]}}, {b: {set: {x: 1}}}]}}\n",
		} {
			b.with(narrow, func() {
				e := b.run(t, tasks, `{}`)
				if e.Error == nil || !strings.HasSuffix(e.Error.Type, "/authorization") || e.Error.Status != 403 || !strings.Contains(e.Error.Detail, "scope") {
					t.Errorf("%s with a narrow key: %s, %+v", name, e.Status, e.Error)
				}
			})
		}
		if b.actions("get") != nil || len(b.notifications) > 0 {
			t.Errorf("performed %v and %v", b.actionCalls, b.notifications)
		}
		b.with(narrow, func() {
			wantStatus(t, b.run(t, "- a: {call: http, with: {method: get, endpoint: '"+b.api.URL+"/x'}}\n", `{}`), "completed")
		})
		b.with(wide, func() { wantStatus(t, b.run(t, getTask+notifyTask, `{}`), "completed") })
		wantStatus(t, b.run(t, getTask+notifyTask, `{}`), "completed")
	})
}

func wantStatus(t *testing.T, e subjects.Execution, want string) {
	t.Helper()
	if e.Status != want {
		t.Errorf("the execution is %s, want %s: %+v", e.Status, want, e.Error)
	}
}

// wantForbidden checks that an execution was refused a step because a scope is missing.
func wantForbidden(t *testing.T, e subjects.Execution) {
	t.Helper()
	if e.Status != "faulted" || e.Error == nil || !strings.HasSuffix(e.Error.Type, "/authorization") || e.Error.Status != 403 {
		t.Errorf("the execution is %s, want it faulted with 403: %+v", e.Status, e.Error)
	}
}

// TestAuthorityIsInheritedAndNeverWidened: children, retries and resumed executions keep the restriction of the key that
// caused them, by whom they are continued, and a key that retries another's execution brings its own.
func TestAuthorityIsInheritedAndNeverWidened(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0], actortest.Quiet())
	keys := b.hostKeys(t, actortest.Databases(t)[0])
	_, narrow := keys.add(t, b, subjects.ScopeWorkflowsExecute, subjects.ScopeWorkflowsRead)
	_, wide := keys.add(t, b, subjects.ScopeWorkflowsExecute, subjects.ScopeWorkflowsRead, subjects.ScopeIntegrationsExecute)
	create := func(as mesh.As, name, tasks string) (id string) {
		b.with(as, func() {
			id = call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: named(t, name, "", tasks)}).ID
		})
		return id
	}
	execute := func(as mesh.As, id string) (e subjects.Execution) {
		b.with(as, func() {
			e = call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: id, Input: json.RawMessage(`{}`)})
		})
		return e
	}
	const runChild = "- c: {run: {workflow: {namespace: tests, name: %, version: '1.0.0'}}}\n"
	create(b.as, "by-session", getTask)
	create(narrow, "by-narrow", getTask)
	ofSession := create(b.as, "runs-by-session", strings.Replace(runChild, "%", "by-session", 1))
	ofNarrow := create(b.as, "runs-by-narrow", strings.Replace(runChild, "%", "by-narrow", 1))
	wantStatus(t, execute(b.as, ofSession), "completed")
	wantStatus(t, execute(wide, ofSession), "completed")
	wantForbidden(t, execute(narrow, ofSession))
	wantForbidden(t, execute(b.as, ofNarrow)) // the child has what parent and author share
	started := create(narrow, "starts", "- s: {call: workflow.start, with: {namespace: tests, name: by-session}}\n")
	e := execute(narrow, started)
	var output struct {
		ExecutionID string `json:"execution_id"`
	}
	if err := json.Unmarshal(e.Output, &output); err != nil {
		t.Fatalf("%s: %v", e.Output, err)
	}
	wantForbidden(t, b.awaitStatus(t, output.ExecutionID, "faulted", "completed"))

	// A session that retries what a key started does not lend it its scopes.
	failed := execute(narrow, create(narrow, "retried", getTask))
	wantForbidden(t, failed)
	retry := func(as mesh.As, id string, restart bool) (r subjects.Execution) {
		b.with(as, func() {
			r = call(t, b, subjects.RetryExecution, subjects.RetryExecutionRequest{ExecutionID: id, Restart: restart})
		})
		return b.awaitStatus(t, r.ID, "faulted", "completed")
	}
	wantForbidden(t, retry(b.as, failed.ID, false))
	wantForbidden(t, retry(b.as, failed.ID, true))
	// Nor does a key get a session's scopes by retrying what that started, with a definition of its own.
	victim := create(b.as, "victim", "- f: {call: github.fail}\n")
	faulted := execute(b.as, victim)
	b.with(narrow, func() {
		call(t, b, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{WorkflowID: victim, Definition: named(t, "victim", "", getTask)})
	})
	wantForbidden(t, retry(narrow, faulted.ID, true))
	var replayed subjects.Execution
	b.with(narrow, func() {
		replayed = call(t, b, subjects.ReplayFailure, subjects.ReplayFailureRequest{FailureID: faulted.ID, Restart: true})
	})
	wantForbidden(t, b.awaitStatus(t, replayed.ID, "faulted", "completed"))
	// Suspended by one and resumed by another, an execution keeps what it has.
	waiting := create(narrow, "waiting", "- w: {wait: {milliseconds: 300}}\n"+getTask)
	b.with(narrow, func() { e = call(t, b, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: waiting}) })
	call(t, b, subjects.SuspendExecution, subjects.ExecutionControlRequest{ExecutionID: e.ID})
	call(t, b, subjects.ResumeExecution, subjects.ExecutionRequest{ExecutionID: e.ID})
	wantForbidden(t, b.awaitStatus(t, e.ID, "faulted", "completed"))
}

// TestSchedulesHaveTheScopesOfTheirAuthor: runs of a schedule have the scopes of the key that stored the version, and none start
// once that key is revoked. The same definition stored by the user lets them go on.
func TestSchedulesHaveTheScopesOfTheirAuthor(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0], actortest.Quiet())
	keys := b.hostKeys(t, actortest.Databases(t)[0])
	id, narrow := keys.add(t, b, subjects.ScopeWorkflowsExecute, subjects.ScopeWorkflowsRead)
	definition := named(t, "on-event", "schedule: {on: {one: {with: {type: go}}}}\n", getTask)
	var workflowID string
	b.with(narrow, func() {
		workflowID = call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: definition}).ID
	})
	publish := func(event string) []string {
		return call(t, b, subjects.PublishEvent, subjects.PublishEventRequest{
			Event: json.RawMessage(`{"specversion":"1.0","id":"` + event + `","source":"test","type":"go"}`),
		}).Started
	}
	started := publish("1")
	if len(started) != 1 {
		t.Fatalf("started %v", started)
	}
	wantForbidden(t, b.awaitStatus(t, started[0], "faulted", "completed"))
	keys.revoke(t, b, id)
	if started := publish("2"); len(started) != 0 {
		t.Errorf("a revoked key's schedule started %v", started)
	}
	schedules := call(t, b, subjects.ListSchedules, subjects.ListSchedulesRequest{}).Items
	if len(schedules) != 1 || !strings.Contains(schedules[0].Refused, "revoked") {
		t.Errorf("the schedule is %+v", schedules)
	}
	call(t, b, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{WorkflowID: workflowID, Definition: definition})
	if started = publish("3"); len(started) != 1 {
		t.Fatalf("started %v", started)
	}
	wantStatus(t, b.awaitStatus(t, started[0], "faulted", "completed"), "completed")
}

// TestRevokedKeysStopTheirExecutions: no step starts for a key once its revocation has returned.
func TestRevokedKeysStopTheirExecutions(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0], actortest.Quiet())
	keys := b.hostKeys(t, actortest.Databases(t)[0])
	id, as := keys.add(t, b, subjects.ScopeWorkflowsExecute, subjects.ScopeIntegrationsExecute)
	var e subjects.Execution
	b.with(as, func() {
		e = b.startNew(t, "- h: {call: github.hold}\n- n: {call: http, with: {method: get, endpoint: '"+b.api.URL+"/after'}}\n", `{}`)
	})
	<-b.reached
	keys.revoke(t, b, id)
	close(b.release)
	e = b.awaitStatus(t, e.ID, "faulted", "completed")
	wantForbidden(t, e)
	if e.Error == nil || !strings.Contains(e.Error.Detail, "revoked") {
		t.Errorf("ended with %+v", e.Error)
	}
}

// TestCalleesCheckTheAuthority: the called actor itself refuses what the key that caused a service's call lacks the scope for.
func TestCalleesCheckTheAuthority(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0], actortest.Quiet())
	keys := b.hostKeys(t, actortest.Databases(t)[0])
	id, _ := keys.add(t, b, subjects.ScopeWorkflowsExecute)
	grant := b.mesh.Consent(t, b.user, subjects.ScopeWorkflowsExecute)[subjects.ScopeWorkflowsExecute]
	service := b.mesh.Conn(t, "workflow")
	for scopes, want := range map[string]subjects.Code{
		subjects.ScopeWorkflowsExecute: subjects.CodeForbidden,
		// What the message claims does not widen the key.
		subjects.ScopeIntegrationsExecute: subjects.CodeForbidden,
	} {
		_, err := mesh.Call(t.Context(), service, subjects.ExecuteAction, subjects.ExecuteActionRequest{IntegrationID: "github", Action: "get"},
			mesh.As{Service: true, UserID: b.user, Grant: grant, Authority: mesh.KeyAuthority(id, scopes)})
		if subjects.CodeOf(err) != want {
			t.Errorf("with %s: %v, want %s", scopes, err, want)
		}
	}
	_, err := mesh.Call(t.Context(), service, subjects.ExecuteAction, subjects.ExecuteActionRequest{IntegrationID: "github", Action: "get"},
		mesh.As{Service: true, UserID: b.user, Grant: grant})
	if err != nil {
		t.Errorf("without an authority: %v", err)
	}
}
