package workflow_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const story = `
- ask:
    call: github.get_repository
    with: {connection: work, owner: weft, repo: "${ .repo }"}
    output: {as: "${ {stars: .count, repo: .input.repo} }"}
- judge:
    switch:
    - popular: {when: "${ .stars > 2 }", then: tell}
    - default: {then: end}
- skipped:
    set: {never: true}
- tell:
    call: notification.send
    with: {channels: [in_app, email], subject: "${ .repo + \" has stars\" }", body: "Look!"}
    output: {as: "${ {told: .status} }"}
`

func TestStory(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		e := b.run(t, story, `{"repo":"mesh"}`)
		wantOutput(t, e, `{"told":"accepted"}`)
		want := []string{"ask:completed", "judge:completed", "tell:completed"}
		if got := taskNames(e); !slices.Equal(got, want) {
			t.Errorf("tasks %v, want %v", got, want)
		}
		if len(b.acted) != 1 || b.acted[0].IntegrationID != "github:work" || b.acted[0].Action != "get_repository" ||
			string(b.acted[0].Input) != `{"owner":"weft","repo":"mesh"}` || b.acted[0].CallKey != e.ID+"/0/ask" {
			t.Errorf("the action was asked for as %+v", b.acted)
		}
		if len(b.notified) != 1 || b.notified[0].UserID != b.user || b.notified[0].Subject != "mesh has stars" ||
			b.notified[0].DedupeKey != e.ID+"/3/tell" || b.notified[0].Category != "workflow" {
			t.Errorf("the notification was asked for as %+v", b.notified)
		}
		if again := b.status(t, e.ID); string(again.Output) != string(e.Output) || len(again.Tasks) != 3 || again.EndedAt == nil {
			t.Errorf("the status reads differently: %+v", again)
		}
		var types []string
		cursor := ""
		for {
			page := call(t, b, subjects.GetExecutionHistory, subjects.ExecutionHistoryRequest{
				ExecutionRequest: subjects.ExecutionRequest{ExecutionID: e.ID}, PageRequest: subjects.PageRequest{Limit: 4, Cursor: cursor},
			})
			for i, event := range page.Items {
				if event.Sequence != uint64(len(types)+1) {
					t.Errorf("event %d of the page has sequence %d", i, event.Sequence)
				}
				types = append(types, event.Type)
			}
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
		if types[0] != "execution_started" || types[len(types)-1] != "execution_completed" || !slices.Contains(types, "call_scheduled") {
			t.Errorf("history %v", types)
		}
	})
}

func TestAsyncStart(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		id, chosen := b.create(t, "- say: {call: echo, with: {n: \"${ .n }\"}}\n"), actortest.User()
		order := subjects.StartExecutionRequest{WorkflowID: id, Input: json.RawMessage(`{"n": 1}`), ExecutionID: chosen}
		first := call(t, b, subjects.StartExecution, order)
		if first.ID != chosen || first.Status != subjects.ExecutionPending {
			t.Errorf("started: %+v", first)
		}
		wantOutput(t, b.until(t, chosen, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `{"n":1}`)
		if second := call(t, b, subjects.StartExecution, order); second.ID != chosen || second.Status != subjects.ExecutionCompleted {
			t.Errorf("started again: %+v", second)
		}
		order.Input = json.RawMessage(`{"n": 2}`)
		wantCode(t, b, subjects.CodeConflict, subjects.StartExecution, b.ada, order)
		b.mesh.Revoke(t, b.user, subjects.ScopeWorkflowsExecute)
		wantCode(t, b, subjects.CodeConflict, subjects.StartExecution, b.ada, order)
		order.Input = json.RawMessage(`{"n": 1}`)
		if again := call(t, b, subjects.StartExecution, order); again.Status != subjects.ExecutionCompleted {
			t.Errorf("started again without consent: %+v", again)
		}
		order.ExecutionID = actortest.User()
		wantCode(t, b, subjects.CodeConsentRequired, subjects.StartExecution, b.ada, order)
		page := call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{WorkflowID: id, Status: "completed"})
		if len(page.Items) != 1 || page.Items[0].ID != chosen {
			t.Errorf("listed: %+v", page.Items)
		}
		if page := call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{Status: "running"}); len(page.Items) != 0 {
			t.Errorf("listed as running: %+v", page.Items)
		}
	})
}

func TestOthersExecutionsAreNotFound(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		e := b.run(t, "- a: {set: {x: 1}}\n", `{}`)
		eve := mesh.As{Token: b.mesh.Token(t, actortest.User())}
		one := subjects.ExecutionRequest{ExecutionID: e.ID}
		wantCode(t, b, subjects.CodeNotFound, subjects.GetExecutionStatus, eve, one)
		wantCode(t, b, subjects.CodeNotFound, subjects.WatchExecution, eve, one)
		wantCode(t, b, subjects.CodeNotFound, subjects.GetExecutionHistory, eve, subjects.ExecutionHistoryRequest{ExecutionRequest: one})
		wantCode(t, b, subjects.CodeNotFound, subjects.CancelExecution, eve, subjects.ExecutionControlRequest{ExecutionID: e.ID})
		wantCode(t, b, subjects.CodeNotFound, subjects.GetWorkflow, eve, subjects.WorkflowVersionRequest{WorkflowID: e.WorkflowID})
		wantCode(t, b, subjects.CodeNotFound, subjects.ExecuteWorkflow, eve, subjects.ExecuteWorkflowRequest{WorkflowID: e.WorkflowID})
		wantCode(t, b, subjects.CodeUnauthenticated, subjects.GetExecutionStatus, mesh.As{}, one)
	})
}

func TestFaultsAndCatch(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		e := b.run(t, "- ask: {call: github.fail}\n", `{}`)
		wantFault(t, e, "communication", 502)
		if e.Error.Instance != "/do/0/ask" || e.Error.Detail != "the provider is out of order" {
			t.Errorf("error %+v", e.Error)
		}
		caught := b.run(t, `
- guarded:
    try:
    - ask: {call: github.fail}
    catch:
      errors: {with: {status: 502}}
      as: problem
      do:
      - mend: {set: {why: "${ $problem.detail }"}}
`, `{}`)
		wantOutput(t, caught, `{"why":"the provider is out of order"}`)
		wantFault(t, b.run(t, "- n: {call: notification.send, with: {user_id: x}}\n", `{}`), "validation", 400)
		wantFault(t, b.run(t, "- n: {call: consent.require, with: {scope: notifications.send}}\n", `{}`), "authorization", 403)
	})
}

func TestHTTP(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		e := b.run(t, "- get: {call: http, with: {method: get, endpoint: '"+b.api.URL+"/repo'}, output: {as: '${ .stars }'}}\n", `{}`)
		wantOutput(t, e, `42`)
		wantFault(t, b.run(t, "- get: {call: http, with: {method: get, endpoint: '"+b.api.URL+"/missing'}}\n", `{}`), "communication", 404)
		wantFault(t, b.run(t, "- get: {call: http, with: {method: get, endpoint: 'http://10.0.0.1/'}}\n", `{}`), "configuration", 400)
		wantOutput(t, b.run(t, "- put: {call: http, with: {method: post, endpoint: '"+b.api.URL+"/repo', body: {a: 1}}, output: {as: '${ .name }'}}\n", `{}`), `"weft"`)
		b.mu.Lock()
		defer b.mu.Unlock()
		if last := b.requests[len(b.requests)-1]; !strings.HasPrefix(last, "POST /repo ") || len(last) < 40 {
			t.Errorf("a write went out without an idempotency key: %q", last)
		}
	})
}

func TestConsent(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		id := b.create(t, "- hold: {call: github.hold}\n- after: {call: github.get}\n")
		e := call(t, b, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: id})
		<-b.held
		b.mesh.Revoke(t, b.user, subjects.ScopeIntegrationsExecute)
		close(b.hold)
		e = b.until(t, e.ID, subjects.ExecutionFaulted, subjects.ExecutionCompleted)
		wantFault(t, e, "authorization", 403)
		if !strings.Contains(e.Error.Detail, subjects.ScopeIntegrationsExecute) || e.Error.Instance != "/do/1/after" {
			t.Errorf("the error does not name the scope and the task: %+v", e.Error)
		}
		if n := len(b.actions("get")); n != 0 {
			t.Errorf("%d calls began after the revocation", n)
		}
		b.mesh.Revoke(t, b.user, subjects.ScopeWorkflowsExecute)
		refused := wantCode(t, b, subjects.CodeConsentRequired, subjects.ExecuteWorkflow, b.ada, subjects.ExecuteWorkflowRequest{WorkflowID: id})
		if refused.Scope != subjects.ScopeWorkflowsExecute {
			t.Errorf("the refusal names %q", refused.Scope)
		}
		refused = wantCode(t, b, subjects.CodeConsentRequired, subjects.StartExecution, b.ada, subjects.StartExecutionRequest{WorkflowID: id})
		if refused.Scope != subjects.ScopeWorkflowsExecute {
			t.Errorf("the refusal names %q", refused.Scope)
		}
	})
}

func TestControl(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		cancelled := b.begin(t, "- hold: {call: github.hold}\n- after: {call: github.get}\n", `{}`)
		<-b.held
		e := call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: cancelled.ID, Reason: "enough"})
		if e.Status != subjects.ExecutionCancelled {
			t.Errorf("cancelled: %+v", e)
		}
		call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: cancelled.ID})
		wantCode(t, b, subjects.CodeConflict, subjects.SuspendExecution, b.ada, subjects.ExecutionControlRequest{ExecutionID: cancelled.ID})

		parked := b.begin(t, "- rest: {wait: {hours: 1}}\n- say: {call: echo, with: {rested: true}}\n", `{}`)
		b.until(t, parked.ID, subjects.ExecutionWaiting)
		if e := call(t, b, subjects.SuspendExecution, subjects.ExecutionControlRequest{ExecutionID: parked.ID}); e.Status != subjects.ExecutionSuspended {
			t.Errorf("suspended: %+v", e)
		}
		if e := call(t, b, subjects.ResumeExecution, subjects.ExecutionRequest{ExecutionID: parked.ID}); e.Status != subjects.ExecutionWaiting {
			t.Errorf("resumed: %+v", e)
		}
		call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: parked.ID})
		eventually(t, "both are listed as cancelled", func() bool {
			return len(call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{Status: "cancelled"}).Items) == 2
		})

		suspended := b.begin(t, "- hold: {call: github.hold}\n- after: {call: github.get, output: {as: '${ .action }'}}\n", `{}`)
		<-b.held
		call(t, b, subjects.SuspendExecution, subjects.ExecutionControlRequest{ExecutionID: suspended.ID})
		close(b.hold)
		eventually(t, "the result that came meanwhile is recorded", func() bool {
			page := call(t, b, subjects.GetExecutionHistory, subjects.ExecutionHistoryRequest{
				ExecutionRequest: subjects.ExecutionRequest{ExecutionID: suspended.ID},
			})
			return page.Items[len(page.Items)-1].Type == "call_completed"
		})
		if n := len(b.actions("get")); n != 0 {
			t.Errorf("%d steps began while suspended", n)
		}
		call(t, b, subjects.ResumeExecution, subjects.ExecutionRequest{ExecutionID: suspended.ID})
		wantOutput(t, b.until(t, suspended.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"get"`)
		if n := len(b.actions("get")); n != 1 {
			t.Errorf("the step after was begun %d times", n)
		}
	})
}

func TestWatch(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		e := b.run(t, "- say: {call: echo, with: {n: 1}}\n", `{}`)
		p := call(t, b, subjects.WatchExecution, subjects.ExecutionRequest{ExecutionID: e.ID})
		if p.Stream != subjects.WorkflowFeed.Name || p.Filter != subjects.WorkflowFeedSubject(e.ID) || p.Sequence == 0 {
			t.Fatalf("pointer %+v", p)
		}
		stream, err := b.caller.JS.Stream(t.Context(), p.Stream)
		if err != nil {
			t.Fatal(err)
		}
		first, err := stream.GetMsg(t.Context(), p.Sequence)
		if err != nil || first.Subject != p.Filter {
			t.Fatalf("the first message: %v, %v", first, err)
		}
		last, err := stream.GetLastMsgForSubject(t.Context(), p.Filter)
		if err != nil || !slices.Contains(p.Until, last.Header.Get(mesh.HeaderEvent)) {
			t.Errorf("the last message does not end the stream: %v, %v", last, err)
		}
	})
}

func TestTimeoutOfTheWait(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		id := b.create(t, "- hold: {call: github.hold}\n")
		e := call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: id, Timeout: 1})
		if e.Status != subjects.ExecutionRunning || e.Tasks[0].Status != "running" {
			t.Errorf("answered with %+v", e)
		}
		close(b.hold)
		b.until(t, e.ID, subjects.ExecutionCompleted)
	})
}

func TestShortWait(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		began := time.Now()
		e := b.run(t, "- rest: {wait: {milliseconds: 300}}\n- say: {call: echo, with: {n: 1}}\n", `{}`)
		wantOutput(t, e, `{"n":1}`)
		if took := e.Tasks[0].EndedAt.Sub(e.Tasks[0].StartedAt); took < 300*time.Millisecond || took > 500*time.Millisecond {
			t.Errorf("the wait took %s (all: %s)", took, time.Since(began))
		}
	})
}

// TestNobodyServes calls an actor that is away: the call waits for it, and faults when it does not come.
func TestNobodyServes(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.integration.Stop(t)
		wantFault(t, b.run(t, "- ask: {call: github.get}\n", `{}`), "communication", 503)
		_ = b.host.Stop(t)
		b.config.StepRetries = 1000
		b.host = b.start(t)
		e := b.begin(t, "- ask: {call: github.get, output: {as: '${ .action }'}}\n", `{}`)
		b.until(t, e.ID, subjects.ExecutionRunning)
		b.standIn(t)
		wantOutput(t, b.until(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"get"`)
		if n := len(b.actions("get")); n != 1 {
			t.Errorf("the action ran %d times", n)
		}
		eventually(t, "the end and the step are counted", func() bool {
			return total(t, b.host, "workflow_executions_total") == 1 && total(t, b.host, "workflow_steps_total") == 1 &&
				total(t, b.host, "workflow_active_executions") == 0
		})
	})
}

// TestStepTimeout bounds one step.
func TestStepTimeout(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		b.config.StepTimeout = 200 * time.Millisecond
		b.start(t)
		wantFault(t, b.run(t, "- hold: {call: github.hold}\n", `{}`), "timeout", 408)
	})
}

// TestStartsOfOneIDAtOnce: an execution that is asked for by many at the same time, under an id of theirs, is begun once, and
// each is told of it.
func TestStartsOfOneIDAtOnce(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		w := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, workflowOf("- say: {call: echo, with: {n: 1}}\n"))})
		for range 10 {
			id := uuid.Must(uuid.NewV7()).String()
			var starts sync.WaitGroup
			for range 20 {
				starts.Go(func() {
					e, err := mesh.Call(t.Context(), b.caller, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: w.ID, ExecutionID: id}, b.ada)
					if err != nil || e.ID != id {
						t.Errorf("a start was told %+v, %v", e, err)
					}
				})
			}
			starts.Wait()
			b.until(t, id, subjects.ExecutionCompleted)
			history := call(t, b, subjects.GetExecutionHistory, subjects.ExecutionHistoryRequest{ExecutionRequest: subjects.ExecutionRequest{ExecutionID: id}})
			if n := len(history.Items); n == 0 || history.Items[0].Sequence != 1 || history.Items[n-1].Sequence != uint64(n) {
				t.Errorf("the history is %+v", history.Items)
			}
		}
	})
}
