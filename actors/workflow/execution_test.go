package workflow_test

import (
	"encoding/json"
	"fmt"
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

const storyTasks = `
- ask:
    call: github.get_repo
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
		e := b.run(t, storyTasks, `{"repo":"mesh"}`)
		wantOutput(t, e, `{"told":"accepted"}`)
		want := []string{"ask:completed", "judge:completed", "tell:completed"}
		if got := taskNames(e); !slices.Equal(got, want) {
			t.Errorf("tasks %v, want %v", got, want)
		}
		if len(b.actionCalls) != 1 || b.actionCalls[0].IntegrationID != "github:work" || b.actionCalls[0].Action != "get_repo" ||
			string(b.actionCalls[0].Input) != `{"owner":"weft","repo":"mesh"}` || b.actionCalls[0].CallKey != e.ID+"/0/ask" {
			t.Errorf("the action was called with %+v", b.actionCalls)
		}
		if len(b.notifications) != 1 || b.notifications[0].UserID != b.user || b.notifications[0].Subject != "mesh has stars" ||
			b.notifications[0].DedupeKey != e.ID+"/3/tell" || b.notifications[0].Category != "workflow" {
			t.Errorf("the notification was requested with %+v", b.notifications)
		}
		if again := b.getExecution(t, e.ID); string(again.Output) != string(e.Output) || len(again.Tasks) != 3 || again.EndedAt == nil {
			t.Errorf("get_execution_status differs: %+v", again)
		}
		var types []string
		cursor := ""
		for {
			page := call(t, b, subjects.GetExecutionHistory, subjects.ExecutionHistoryRequest{
				ExecutionRequest: subjects.ExecutionRequest{ExecutionID: e.ID}, Limit: 4, Cursor: cursor,
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
		request := subjects.StartExecutionRequest{WorkflowID: id, Input: json.RawMessage(`{"n": 1}`), ExecutionID: chosen}
		first := call(t, b, subjects.StartExecution, request)
		if first.ID != chosen || first.Status != subjects.ExecutionPending {
			t.Errorf("started: %+v", first)
		}
		wantOutput(t, b.awaitStatus(t, chosen, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `{"n":1}`)
		if second := call(t, b, subjects.StartExecution, request); second.ID != chosen || second.Status != subjects.ExecutionCompleted {
			t.Errorf("started again: %+v", second)
		}
		request.Input = json.RawMessage(`{"n": 2}`)
		wantCode(t, b, subjects.CodeConflict, subjects.StartExecution, b.as, request)
		b.mesh.Revoke(t, b.user, subjects.ScopeWorkflowsExecute)
		wantCode(t, b, subjects.CodeConflict, subjects.StartExecution, b.as, request)
		request.Input = json.RawMessage(`{"n": 1}`)
		if again := call(t, b, subjects.StartExecution, request); again.Status != subjects.ExecutionCompleted {
			t.Errorf("started again without consent: %+v", again)
		}
		request.ExecutionID = actortest.User()
		wantCode(t, b, subjects.CodeConsentRequired, subjects.StartExecution, b.as, request)
		page := call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{WorkflowID: id, Status: "completed"})
		if len(page.Items) != 1 || page.Items[0].ID != chosen {
			t.Errorf("listed: %+v", page.Items)
		}
		if page := call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{Status: "running"}); len(page.Items) != 0 {
			t.Errorf("listed as running: %+v", page.Items)
		}
	})
}

// TestChosenIDsArePerUser: users choose the same id without meeting, and none can take the id that a schedule, an event or a call
// derives for another, or for the user itself.
func TestChosenIDsArePerUser(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, actortest.Quiet())
		chosen, eve := actortest.User(), actortest.User()
		other := mesh.As{Token: b.mesh.Token(t, eve)}
		b.mesh.Consent(t, eve, subjects.ScopeWorkflowsExecute)
		start := func(id string, n int) (e subjects.Execution) {
			return call(t, b, subjects.StartExecution, subjects.StartExecutionRequest{
				WorkflowID: b.create(t, echoTasks), ExecutionID: id, Input: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)),
			})
		}
		if e := start(chosen, 1); e.ID != chosen {
			t.Fatalf("started %s", e.ID)
		}
		b.awaitStatus(t, chosen, "completed")
		b.with(other, func() {
			wantCode(t, b, subjects.CodeNotFound, subjects.GetExecutionStatus, other, subjects.ExecutionRequest{ExecutionID: chosen})
			if e := start(chosen, 2); e.ID != chosen {
				t.Fatalf("the other user started %s", e.ID)
			}
			if e := b.awaitStatus(t, chosen, "completed"); string(e.Input) != `{"n":2}` {
				t.Errorf("the other user's execution has the input %s", e.Input)
			}
		})
		if e := b.getExecution(t, chosen); string(e.Input) != `{"n":1}` {
			t.Errorf("the first user's execution has the input %s", e.Input)
		}
		// An event's executions are started although another user has chosen their ids before.
		definition := named(t, "on-event", "schedule: {on: {one: {with: {type: go}}}}\n", echoTasks)
		workflowID := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: definition}).ID
		derived := uuid.NewSHA1(uuid.NameSpaceOID, []byte("weft/workflow/"+workflowID+"/event/test\x001")).String()
		b.with(other, func() { start(derived, 3) })
		start(derived, 4)
		started := call(t, b, subjects.PublishEvent, subjects.PublishEventRequest{
			Event: json.RawMessage(`{"specversion":"1.0","id":"1","source":"test","type":"go","data":5}`),
		}).Started
		if len(started) != 1 || started[0] != derived {
			t.Fatalf("started %v, want %s", started, derived)
		}
		if e := b.awaitStatus(t, derived, "completed"); string(e.Input) != `[5]` {
			t.Errorf("the event's execution has the input %s", e.Input)
		}
	})
}

// refusal calls an endpoint with a request as another identity and returns the code of the error.
type refusal func(as mesh.As) subjects.Code

func refusalOf[Req, Res any](t *testing.T, b *bundle, e subjects.Endpoint[Req, Res], request Req) refusal {
	return func(as mesh.As) subjects.Code {
		_, err := mesh.Call(t.Context(), b.conn, e, request, as)
		return subjects.CodeOf(err)
	}
}

// TestOtherUsersFindNothing: whatever the endpoint, another user's workflow, execution, schedule, approval or failure is not found,
// and an anonymous caller is refused.
func TestOtherUsersFindNothing(t *testing.T) {
	t.Parallel()
	c := setupTimed(t, actortest.Databases(t)[0])
	b := c.bundle
	workflowID, s := c.createScheduled(t, scheduled("every: PT1H", "", echoTasks))
	failed := b.run(t, "- stop: {raise: {error: {type: 'https://example.com/odd', status: 400, title: Odd}}}\n", "{}")
	asks := b.startNew(t, "- ask: {call: approval.request, with: {title: a}}\n", "{}")
	approval := b.pendingApproval(t, asks.ID)
	one := subjects.ExecutionRequest{ExecutionID: failed.ID}
	eve := mesh.As{Token: b.mesh.Token(t, actortest.User())}
	for name, call := range map[string]refusal{
		"get_execution_status":   refusalOf(t, b, subjects.GetExecutionStatus, one),
		"watch_execution":        refusalOf(t, b, subjects.WatchExecution, one),
		"get_execution_history":  refusalOf(t, b, subjects.GetExecutionHistory, subjects.ExecutionHistoryRequest{ExecutionRequest: one}),
		"get_execution_diagram":  refusalOf(t, b, subjects.GetExecutionDiagram, one),
		"cancel_execution":       refusalOf(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: asks.ID}),
		"suspend_execution":      refusalOf(t, b, subjects.SuspendExecution, subjects.ExecutionControlRequest{ExecutionID: asks.ID}),
		"resume_execution":       refusalOf(t, b, subjects.ResumeExecution, subjects.ExecutionRequest{ExecutionID: asks.ID}),
		"retry_execution":        refusalOf(t, b, subjects.RetryExecution, subjects.RetryExecutionRequest{ExecutionID: failed.ID}),
		"replay_failure":         refusalOf(t, b, subjects.ReplayFailure, subjects.ReplayFailureRequest{FailureID: failed.ID}),
		"dismiss_failure":        refusalOf(t, b, subjects.DismissFailure, subjects.FailureRequest{FailureID: failed.ID}),
		"get_workflow":           refusalOf(t, b, subjects.GetWorkflow, subjects.WorkflowVersionRequest{WorkflowID: workflowID}),
		"get_workflow_diagram":   refusalOf(t, b, subjects.GetWorkflowDiagram, subjects.WorkflowVersionRequest{WorkflowID: workflowID}),
		"list_workflow_versions": refusalOf(t, b, subjects.ListWorkflowVersions, subjects.ListWorkflowVersionsRequest{WorkflowRequest: subjects.WorkflowRequest{WorkflowID: workflowID}}),
		"update_workflow":        refusalOf(t, b, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{WorkflowID: workflowID, Definition: yaml(t, workflowOf(echoTasks))}),
		"delete_workflow":        refusalOf(t, b, subjects.DeleteWorkflow, subjects.DeleteWorkflowRequest{WorkflowID: workflowID}),
		"execute_workflow":       refusalOf(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: workflowID}),
		"start_execution":        refusalOf(t, b, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: workflowID}),
		"get_schedule":           refusalOf(t, b, subjects.GetSchedule, subjects.ScheduleRequest{ScheduleID: s.ID}),
		"pause_schedule":         refusalOf(t, b, subjects.PauseSchedule, subjects.PauseScheduleRequest{ScheduleID: s.ID}),
		"resume_schedule":        refusalOf(t, b, subjects.ResumeSchedule, subjects.ScheduleRequest{ScheduleID: s.ID}),
		"backfill_schedule": refusalOf(t, b, subjects.BackfillSchedule, subjects.BackfillScheduleRequest{
			ScheduleID: s.ID, Since: s.CreatedAt.Add(-time.Hour), Until: s.CreatedAt,
		}),
		"get_approval":    refusalOf(t, b, subjects.GetApproval, subjects.ApprovalRequest{ApprovalID: approval.ID}),
		"decide_approval": refusalOf(t, b, subjects.DecideApproval, subjects.DecideApprovalRequest{ApprovalID: approval.ID, Decision: "approve"}),
	} {
		if code := call(eve); code != subjects.CodeNotFound {
			t.Errorf("%s as another user: %q, want %s", name, code, subjects.CodeNotFound)
		}
		if code := call(mesh.As{}); code != subjects.CodeUnauthenticated {
			t.Errorf("%s without a token: %q, want %s", name, code, subjects.CodeUnauthenticated)
		}
	}
	if page, err := mesh.Call(t.Context(), b.conn, subjects.ListExecutions, subjects.ListExecutionsRequest{}, eve); err != nil || len(page.Items) != 0 {
		t.Errorf("another user lists %+v, %v", page.Items, err)
	}
	if e := b.getExecution(t, asks.ID); e.Status != subjects.ExecutionWaiting && e.Status != subjects.ExecutionRunning {
		t.Errorf("another user's requests made the execution %s", e.Status)
	}
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
		wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.as,
			subjects.WorkflowDefinitionRequest{Definition: yaml(t, workflowOf("- n: {call: notification.send, with: {user_id: x}}\n"))})
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
			t.Errorf("a POST was sent without an idempotency key: %q", last)
		}
	})
}

func TestConsent(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		id := b.create(t, "- hold: {call: github.hold}\n- after: {call: github.get}\n")
		e := call(t, b, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: id})
		<-b.reached
		b.mesh.Revoke(t, b.user, subjects.ScopeIntegrationsExecute)
		close(b.release)
		e = b.awaitStatus(t, e.ID, subjects.ExecutionFaulted, subjects.ExecutionCompleted)
		wantFault(t, e, "authorization", 403)
		if !strings.Contains(e.Error.Detail, subjects.ScopeIntegrationsExecute) || e.Error.Instance != "/do/1/after" {
			t.Errorf("the error lacks the scope or the task: %+v", e.Error)
		}
		if n := len(b.actions("get")); n != 0 {
			t.Errorf("%d calls were made after the revocation", n)
		}
		b.mesh.Revoke(t, b.user, subjects.ScopeWorkflowsExecute)
		refused := wantCode(t, b, subjects.CodeConsentRequired, subjects.ExecuteWorkflow, b.as, subjects.ExecuteWorkflowRequest{WorkflowID: id})
		if refused.Scope != subjects.ScopeWorkflowsExecute {
			t.Errorf("the error names the scope %q", refused.Scope)
		}
		refused = wantCode(t, b, subjects.CodeConsentRequired, subjects.StartExecution, b.as, subjects.StartExecutionRequest{WorkflowID: id})
		if refused.Scope != subjects.ScopeWorkflowsExecute {
			t.Errorf("the error names the scope %q", refused.Scope)
		}
	})
}

func TestControl(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		cancelled := b.startNew(t, "- hold: {call: github.hold}\n- after: {call: github.get}\n", `{}`)
		<-b.reached
		e := call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: cancelled.ID, Reason: "enough"})
		if e.Status != subjects.ExecutionCancelled {
			t.Errorf("cancelled: %+v", e)
		}
		call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: cancelled.ID})
		wantCode(t, b, subjects.CodeConflict, subjects.SuspendExecution, b.as, subjects.ExecutionControlRequest{ExecutionID: cancelled.ID})

		waiting := b.startNew(t, "- rest: {wait: {hours: 1}}\n- say: {call: echo, with: {rested: true}}\n", `{}`)
		b.awaitStatus(t, waiting.ID, subjects.ExecutionWaiting)
		if e := call(t, b, subjects.SuspendExecution, subjects.ExecutionControlRequest{ExecutionID: waiting.ID}); e.Status != subjects.ExecutionSuspended {
			t.Errorf("suspended: %+v", e)
		}
		if e := call(t, b, subjects.ResumeExecution, subjects.ExecutionRequest{ExecutionID: waiting.ID}); e.Status != subjects.ExecutionWaiting {
			t.Errorf("resumed: %+v", e)
		}
		call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: waiting.ID})
		eventually(t, "both are listed as cancelled", func() bool {
			return len(call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{Status: "cancelled"}).Items) == 2
		})

		suspended := b.startNew(t, "- hold: {call: github.hold}\n- after: {call: github.get, output: {as: '${ .action }'}}\n", `{}`)
		<-b.reached
		call(t, b, subjects.SuspendExecution, subjects.ExecutionControlRequest{ExecutionID: suspended.ID})
		close(b.release)
		eventually(t, "the result of the call in flight is recorded", func() bool {
			page := call(t, b, subjects.GetExecutionHistory, subjects.ExecutionHistoryRequest{
				ExecutionRequest: subjects.ExecutionRequest{ExecutionID: suspended.ID},
			})
			return page.Items[len(page.Items)-1].Type == "call_completed"
		})
		if n := len(b.actions("get")); n != 0 {
			t.Errorf("%d steps started while suspended", n)
		}
		call(t, b, subjects.ResumeExecution, subjects.ExecutionRequest{ExecutionID: suspended.ID})
		wantOutput(t, b.awaitStatus(t, suspended.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"get"`)
		if n := len(b.actions("get")); n != 1 {
			t.Errorf("the next step was called %d times", n)
		}
	})
}

func TestWatch(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		e := b.run(t, "- say: {call: echo, with: {n: 1}}\n", `{}`)
		p := call(t, b, subjects.WatchExecution, subjects.ExecutionRequest{ExecutionID: e.ID})
		if p.Stream != subjects.WorkflowFeed.Name || p.Filter != subjects.WorkflowFeedSubject(e.ID) || p.Sequence == 0 {
			t.Fatalf("the stream pointer is %+v", p)
		}
		stream, err := b.conn.JS.Stream(t.Context(), p.Stream)
		if err != nil {
			t.Fatal(err)
		}
		first, err := stream.GetMsg(t.Context(), p.Sequence)
		if err != nil || first.Subject != p.Filter {
			t.Fatalf("the first message: %v, %v", first, err)
		}
		last, err := stream.GetLastMsgForSubject(t.Context(), p.Filter)
		if err != nil || !slices.Contains(p.Until, last.Header.Get(mesh.HeaderEvent)) {
			t.Errorf("the last message is not one that ends the stream: %v, %v", last, err)
		}
	})
}

// TestExecuteTimesOut: execute_workflow returns the running execution when its timeout is over.
func TestExecuteTimesOut(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		id := b.create(t, "- hold: {call: github.hold}\n")
		e := call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: id, Timeout: 1})
		if e.Status != subjects.ExecutionRunning || e.Tasks[0].Status != "running" {
			t.Errorf("returned %+v", e)
		}
		close(b.release)
		b.awaitStatus(t, e.ID, subjects.ExecutionCompleted)
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

// TestUnavailableActor calls an actor that is not running: the call is attempted again, and fails after the configured attempts.
func TestUnavailableActor(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.integration.Stop(t)
		wantFault(t, b.run(t, "- ask: {call: github.get}\n", `{}`), "communication", 503)
		_ = b.host.Stop(t)
		b.config.StepRetries = 1000
		b.host = b.start(t)
		e := b.startNew(t, "- ask: {call: github.get, output: {as: '${ .action }'}}\n", `{}`)
		b.awaitStatus(t, e.ID, subjects.ExecutionRunning)
		b.startIntegration(t)
		wantOutput(t, b.awaitStatus(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"get"`)
		if n := len(b.actions("get")); n != 1 {
			t.Errorf("the action was executed %d times, want 1", n)
		}
		eventually(t, "the execution and its step are counted", func() bool {
			return metric(t, b.host, "workflow_executions_total") == 1 && metric(t, b.host, "workflow_steps_total") == 1 &&
				metric(t, b.host, "workflow_active_executions") == 0
		})
	})
}

// TestStepTimeout: a call that takes longer than the step timeout fails.
func TestStepTimeout(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		b.config.StepTimeout = 200 * time.Millisecond
		b.start(t)
		wantFault(t, b.run(t, "- hold: {call: github.hold}\n", `{}`), "timeout", 408)
	})
}

// TestConcurrentStartsWithOneID: of concurrent starts with the same chosen id one starts the execution, and all return it.
func TestConcurrentStartsWithOneID(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		w := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, workflowOf("- say: {call: echo, with: {n: 1}}\n"))})
		for range 10 {
			id := uuid.Must(uuid.NewV7()).String()
			var starts sync.WaitGroup
			for range 20 {
				starts.Go(func() {
					e, err := mesh.Call(t.Context(), b.conn, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: w.ID, ExecutionID: id}, b.as)
					if err != nil || e.ID != id {
						t.Errorf("a start returned %+v, %v", e, err)
					}
				})
			}
			starts.Wait()
			b.awaitStatus(t, id, subjects.ExecutionCompleted)
			history := call(t, b, subjects.GetExecutionHistory, subjects.ExecutionHistoryRequest{ExecutionRequest: subjects.ExecutionRequest{ExecutionID: id}})
			if n := len(history.Items); n == 0 || history.Items[0].Sequence != 1 || history.Items[n-1].Sequence != uint64(n) {
				t.Errorf("the history is %+v", history.Items)
			}
		}
	})
}
