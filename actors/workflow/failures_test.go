package workflow_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// failing returns a definition whose second step calls an action; with the action fail it fails.
func failing(action string) string {
	return workflowOf("- first: {call: github.get, output: {as: '${ {n: .count} }'}}\n- second: {call: github." + action +
		", output: {as: '${ {count: .count, n: $input.n} }'}}\n- third: {set: {total: '${ .count }'}}\n")
}

func (b *bundle) listFailures(t *testing.T, r subjects.ListFailuresRequest) []subjects.Failure {
	t.Helper()
	return call(t, b, subjects.ListFailures, r).Items
}

func TestRetryFromTheFailedTask(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		w := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, failing("fail"))})
		e := call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: w.ID})
		wantFault(t, e, "communication", 502)
		retry := subjects.RetryExecutionRequest{ExecutionID: e.ID}
		// With the same definition it fails again, in a new execution, without repeating the first step.
		again := call(t, b, subjects.RetryExecution, retry)
		wantFault(t, b.awaitStatus(t, again.ID, subjects.ExecutionFaulted, subjects.ExecutionCompleted), "communication", 502)
		call(t, b, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{WorkflowID: w.ID, Definition: yaml(t, failing("get"))})
		retry.NewID = actortest.User()
		fixed := call(t, b, subjects.RetryExecution, retry)
		if fixed.ID != retry.NewID || fixed.Version != 2 {
			t.Errorf("the retry is %+v", fixed)
		}
		wantOutput(t, b.awaitStatus(t, fixed.ID, subjects.ExecutionFaulted, subjects.ExecutionCompleted), `{"total":3}`)
		if same := call(t, b, subjects.RetryExecution, retry); same.ID != fixed.ID || same.Status != subjects.ExecutionCompleted {
			t.Errorf("a second retry with the same id is %+v", same)
		}
		if gets, fails := len(b.actions("get")), len(b.actions("fail")); gets != 2 || fails != 2 {
			t.Errorf("get was called %d times and fail %d times, want 2 and 2: the first step was repeated", gets, fails)
		}
		retry = subjects.RetryExecutionRequest{ExecutionID: fixed.ID, FromTask: "second"}
		wantOutput(t, b.awaitStatus(t, call(t, b, subjects.RetryExecution, retry).ID, subjects.ExecutionFaulted, subjects.ExecutionCompleted), `{"total":3}`)
		retry = subjects.RetryExecutionRequest{ExecutionID: e.ID, Restart: true}
		wantOutput(t, b.awaitStatus(t, call(t, b, subjects.RetryExecution, retry).ID, subjects.ExecutionFaulted, subjects.ExecutionCompleted), `{"total":3}`)
		if gets := len(b.actions("get")); gets != 5 {
			t.Errorf("get was called %d times, want 5: one more from the second task, two more from the start", gets)
		}
		wantCode(t, b, subjects.CodeInvalid, subjects.RetryExecution, b.as, subjects.RetryExecutionRequest{ExecutionID: e.ID, FromTask: "nowhere"})
		wantCode(t, b, subjects.CodeInvalid, subjects.RetryExecution, b.as, subjects.RetryExecutionRequest{ExecutionID: e.ID, FromTask: "first", Restart: true})
		live := b.startNew(t, "- rest: {wait: {hours: 1}}\n", `{}`)
		wantCode(t, b, subjects.CodeConflict, subjects.RetryExecution, b.as, subjects.RetryExecutionRequest{ExecutionID: live.ID})
		eve := mesh.As{Token: b.mesh.Token(t, actortest.User())}
		wantCode(t, b, subjects.CodeNotFound, subjects.RetryExecution, eve, subjects.RetryExecutionRequest{ExecutionID: e.ID})
	})
}

func TestFailures(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		w := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, failing("fail"))})
		var ids []string
		for range 4 {
			ids = append(ids, call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: w.ID}).ID)
		}
		b.run(t, "- stop: {raise: {error: {type: 'https://example.com/odd_one', status: 400, title: Odd}}}\n", `{}`)
		b.run(t, "- fine: {set: {x: 1}}\n", `{}`)
		if all := b.listFailures(t, subjects.ListFailuresRequest{}); len(all) != 5 || all[4].ID != ids[0] || all[4].Kind != "execution" ||
			all[4].Status != subjects.FailureOpen || all[4].Error.Status != 502 || all[4].Name != "story" {
			t.Fatalf("the failures are %+v", all)
		}
		count := func(f subjects.FailureFilter) int {
			return len(b.listFailures(t, subjects.ListFailuresRequest{FailureFilter: f}))
		}
		hour := time.Now().Add(time.Hour)
		for want, filter := range map[int]subjects.FailureFilter{4: {ErrorType: "communication"}, 1: {ErrorType: "https://example.com/odd_one"}, 0: {Since: &hour}} {
			if got := count(filter); got != want {
				t.Errorf("%+v selects %d failures, want %d", filter, got, want)
			}
		}
		if got := count(subjects.FailureFilter{ErrorType: "https://example.com/odd%"}); got != 0 {
			t.Errorf("a pattern selects %d failures, want 0", got)
		}
		page := call(t, b, subjects.ListFailures, subjects.ListFailuresRequest{PageRequest: subjects.PageRequest{Limit: 3}})
		rest := call(t, b, subjects.ListFailures, subjects.ListFailuresRequest{PageRequest: subjects.PageRequest{Limit: 3, Cursor: page.NextCursor}})
		if len(page.Items) != 3 || len(rest.Items) != 2 || rest.NextCursor != "" {
			t.Errorf("the pages have %d and %d failures, want 3 and 2", len(page.Items), len(rest.Items))
		}
		call(t, b, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{WorkflowID: w.ID, Definition: yaml(t, failing("get"))})
		one := call(t, b, subjects.ReplayFailure, subjects.ReplayFailureRequest{FailureID: ids[0]})
		wantOutput(t, b.awaitStatus(t, one.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `{"total":3}`)
		if again := call(t, b, subjects.ReplayFailure, subjects.ReplayFailureRequest{FailureID: ids[0]}); again.ID != one.ID {
			t.Errorf("replayed a second time as %s, want %s", again.ID, one.ID)
		}
		call(t, b, subjects.DismissFailure, subjects.FailureRequest{FailureID: ids[1]})
		wantCode(t, b, subjects.CodeConflict, subjects.DismissFailure, b.as, subjects.FailureRequest{FailureID: ids[0]})
		done := call(t, b, subjects.ReplayFailures, subjects.ReplayFailuresRequest{WorkflowID: w.ID, ErrorType: "communication", Limit: 1})
		if len(done.Replayed) != 1 || done.Replayed[ids[2]] == "" || !done.More {
			t.Errorf("a batch of one replayed %+v", done)
		}
		done = call(t, b, subjects.ReplayFailures, subjects.ReplayFailuresRequest{})
		if len(done.Replayed) != 2 || done.More {
			t.Errorf("the rest was replayed as %+v", done)
		}
		for status, want := range map[string]int{subjects.FailureDismissed: 1, subjects.FailureReplayed: 4} {
			if got := b.listFailures(t, subjects.ListFailuresRequest{Status: status}); len(got) != want || got[0].Status != status {
				t.Errorf("%s failures: %+v, want %d", status, got, want)
			}
		}
		eve := mesh.As{Token: b.mesh.Token(t, actortest.User())}
		wantCode(t, b, subjects.CodeNotFound, subjects.ReplayFailure, eve, subjects.ReplayFailureRequest{FailureID: ids[1]})
		wantCode(t, b, subjects.CodeNotFound, subjects.DismissFailure, eve, subjects.FailureRequest{FailureID: ids[1]})
		wantCode(t, b, subjects.CodeNotFound, subjects.ReplayFailure, b.as, subjects.ReplayFailureRequest{FailureID: one.ID})
	})
}

// TestRefusedStartsAreFailures: a start that was refused to a schedule is listed, and can be replayed.
func TestRefusedStartsAreFailures(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		_, s := c.createScheduled(t, scheduled("every: PT1H", "input: {at: '${ .nominal_time }'}", echoTasks))
		c.mesh.Revoke(t, c.user, subjects.ScopeWorkflowsExecute)
		c.advance(t, time.Hour+time.Second)
		runs := c.awaitRuns(t, s.ID, "refused")
		all := c.listFailures(t, subjects.ListFailuresRequest{})
		if len(all) != 1 || all[0].ID != runs[0].ExecutionID || all[0].Kind != "start" || all[0].Trigger != "schedule" ||
			!strings.HasSuffix(all[0].Error.Type, "/authorization") || !strings.Contains(string(all[0].Input), `"at"`) {
			t.Fatalf("the failures are %+v", all)
		}
		replay := subjects.ReplayFailureRequest{FailureID: all[0].ID}
		wantCode(t, c.bundle, subjects.CodeConsentRequired, subjects.ReplayFailure, c.as, replay)
		wantCode(t, c.bundle, subjects.CodeConsentRequired, subjects.ReplayFailures, c.as, subjects.ReplayFailuresRequest{})
		c.mesh.Consent(t, c.user, subjects.ScopeWorkflowsExecute)
		e := call(t, c.bundle, subjects.ReplayFailure, replay)
		e = c.awaitStatus(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted)
		wantOutput(t, e, `{"given":`+string(all[0].Input)+`}`)
		c.awaitRuns(t, s.ID, "ended")
		if left := c.listFailures(t, subjects.ListFailuresRequest{}); len(left) != 0 {
			t.Errorf("after the replay the open failures are %+v", left)
		}
	})
}

// deliverPush publishes a delivery of a push event to a hook of the user.
func (c *timed) deliverPush(t *testing.T, payload json.RawMessage) {
	t.Helper()
	data, err := json.Marshal(subjects.NewWebhookReceived("1", c.user, time.Now(), subjects.WebhookDelivery{
		IntegrationID: "a", HookID: "b", Provider: "github", Event: "push", DeliveryID: "1", Payload: payload,
	}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.mesh.Conn(t, "integration").JS.Publish(t.Context(), subjects.WebhookReceived.Subject, data); err != nil {
		t.Fatal(err)
	}
}

// TestFailuresWithLargeInputs: a delivery larger than an input may be starts nothing and is listed, and pages are cut to a size
// that fits a reply.
func TestFailuresWithLargeInputs(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		c.createScheduled(t, scheduled("on: {one: {with: {type: github.push}}}", "", echoTasks))
		c.createScheduled(t, strings.Replace(scheduled("on: {all: [{with: {type: github.push}}, {with: {type: never}}]}", "", echoTasks), "name: timed", "name: correlates", 1))
		large := `"` + strings.Repeat("x", 300<<10) + `"`
		c.deliverPush(t, json.RawMessage(large))
		eventually(t, "both starts are refused", func() bool { return len(c.listFailures(t, subjects.ListFailuresRequest{})) == 2 })
		for _, f := range c.listFailures(t, subjects.ListFailuresRequest{}) {
			if f.Kind != "start" || f.Trigger != "event" || string(f.Input) != "null" {
				t.Errorf("the failure is %+v", f)
			}
			wantCode(t, c.bundle, subjects.CodeConflict, subjects.ReplayFailure, c.as, subjects.ReplayFailureRequest{FailureID: f.ID})
			call(t, c.bundle, subjects.DismissFailure, subjects.FailureRequest{FailureID: f.ID})
		}
		c.mesh.Revoke(t, c.user, subjects.ScopeWorkflowsExecute)
		for i := range 8 {
			wantNoneStarted(t, c.publish(t, fmt.Sprint(i), "github.push", `"`+strings.Repeat("y", 200<<10)+`"`))
		}
		seen, cursor := map[string]bool{}, ""
		for {
			page := call(t, c.bundle, subjects.ListFailures, subjects.ListFailuresRequest{PageRequest: subjects.PageRequest{Cursor: cursor}})
			for _, f := range page.Items {
				seen[f.ID] = true
			}
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
		if len(seen) != 8 {
			t.Errorf("all pages have %d failures, want 8", len(seen))
		}
	})
}
