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

// mendable is a definition whose second step fails as long as the definition says so.
func mendable(action string) string {
	return workflowOf("- first: {call: github.get, output: {as: '${ {n: .count} }'}}\n- second: {call: github." + action +
		", output: {as: '${ {count: .count, n: $input.n} }'}}\n- third: {set: {total: '${ .count }'}}\n")
}

func (b *bundle) failures(t *testing.T, r subjects.ListFailuresRequest) []subjects.Failure {
	t.Helper()
	return call(t, b, subjects.ListFailures, r).Items
}

func TestRetryFromTheFailedTask(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		w := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, mendable("fail"))})
		e := call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: w.ID})
		wantFault(t, e, "communication", 502)
		retry := subjects.RetryExecutionRequest{ExecutionID: e.ID}
		// Unmended it fails again, in a new execution, without doing again what was done.
		again := call(t, b, subjects.RetryExecution, retry)
		wantFault(t, b.until(t, again.ID, subjects.ExecutionFaulted, subjects.ExecutionCompleted), "communication", 502)
		call(t, b, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{WorkflowID: w.ID, Definition: yaml(t, mendable("get"))})
		retry.NewID = actortest.User()
		mended := call(t, b, subjects.RetryExecution, retry)
		if mended.ID != retry.NewID || mended.Version != 2 {
			t.Errorf("retried: %+v", mended)
		}
		wantOutput(t, b.until(t, mended.ID, subjects.ExecutionFaulted, subjects.ExecutionCompleted), `{"total":3}`)
		if same := call(t, b, subjects.RetryExecution, retry); same.ID != mended.ID || same.Status != subjects.ExecutionCompleted {
			t.Errorf("retried under the same id: %+v", same)
		}
		if gets, fails := len(b.actions("get")), len(b.actions("fail")); gets != 2 || fails != 2 {
			t.Errorf("%d calls of get and %d of fail, want 2 and 2: the first step once, the second of each", gets, fails)
		}
		retry = subjects.RetryExecutionRequest{ExecutionID: mended.ID, FromTask: "second"}
		wantOutput(t, b.until(t, call(t, b, subjects.RetryExecution, retry).ID, subjects.ExecutionFaulted, subjects.ExecutionCompleted), `{"total":3}`)
		retry = subjects.RetryExecutionRequest{ExecutionID: e.ID, Restart: true}
		wantOutput(t, b.until(t, call(t, b, subjects.RetryExecution, retry).ID, subjects.ExecutionFaulted, subjects.ExecutionCompleted), `{"total":3}`)
		if gets := len(b.actions("get")); gets != 5 {
			t.Errorf("%d calls of get, want 5: from the second task one more, from the beginning two", gets)
		}
		wantCode(t, b, subjects.CodeInvalid, subjects.RetryExecution, b.ada, subjects.RetryExecutionRequest{ExecutionID: e.ID, FromTask: "nowhere"})
		wantCode(t, b, subjects.CodeInvalid, subjects.RetryExecution, b.ada, subjects.RetryExecutionRequest{ExecutionID: e.ID, FromTask: "first", Restart: true})
		live := b.begin(t, "- rest: {wait: {hours: 1}}\n", `{}`)
		wantCode(t, b, subjects.CodeConflict, subjects.RetryExecution, b.ada, subjects.RetryExecutionRequest{ExecutionID: live.ID})
		eve := mesh.As{Token: b.mesh.Token(t, actortest.User())}
		wantCode(t, b, subjects.CodeNotFound, subjects.RetryExecution, eve, subjects.RetryExecutionRequest{ExecutionID: e.ID})
	})
}

func TestFailures(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		w := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, mendable("fail"))})
		var ids []string
		for range 4 {
			ids = append(ids, call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: w.ID}).ID)
		}
		b.run(t, "- stop: {raise: {error: {type: 'https://example.com/odd_one', status: 400, title: Odd}}}\n", `{}`)
		b.run(t, "- fine: {set: {x: 1}}\n", `{}`)
		if all := b.failures(t, subjects.ListFailuresRequest{}); len(all) != 5 || all[4].ID != ids[0] || all[4].Kind != "execution" ||
			all[4].Status != subjects.FailureOpen || all[4].Error.Status != 502 || all[4].Name != "story" {
			t.Fatalf("failures: %+v", all)
		}
		narrow := func(f subjects.FailureFilter) int {
			return len(b.failures(t, subjects.ListFailuresRequest{FailureFilter: f}))
		}
		hour := time.Now().Add(time.Hour)
		for want, filter := range map[int]subjects.FailureFilter{4: {ErrorType: "communication"}, 1: {ErrorType: "https://example.com/odd_one"}, 0: {Since: &hour}} {
			if got := narrow(filter); got != want {
				t.Errorf("%d failures of %+v, want %d", got, filter, want)
			}
		}
		if got := narrow(subjects.FailureFilter{ErrorType: "https://example.com/odd%"}); got != 0 {
			t.Errorf("%d failures of a pattern", got)
		}
		page := call(t, b, subjects.ListFailures, subjects.ListFailuresRequest{PageRequest: subjects.PageRequest{Limit: 3}})
		rest := call(t, b, subjects.ListFailures, subjects.ListFailuresRequest{PageRequest: subjects.PageRequest{Limit: 3, Cursor: page.NextCursor}})
		if len(page.Items) != 3 || len(rest.Items) != 2 || rest.NextCursor != "" {
			t.Errorf("pages of %d and %d", len(page.Items), len(rest.Items))
		}
		call(t, b, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{WorkflowID: w.ID, Definition: yaml(t, mendable("get"))})
		one := call(t, b, subjects.ReplayFailure, subjects.ReplayFailureRequest{FailureID: ids[0]})
		wantOutput(t, b.until(t, one.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `{"total":3}`)
		if again := call(t, b, subjects.ReplayFailure, subjects.ReplayFailureRequest{FailureID: ids[0]}); again.ID != one.ID {
			t.Errorf("replayed again as %s", again.ID)
		}
		call(t, b, subjects.DismissFailure, subjects.FailureRequest{FailureID: ids[1]})
		wantCode(t, b, subjects.CodeConflict, subjects.DismissFailure, b.ada, subjects.FailureRequest{FailureID: ids[0]})
		done := call(t, b, subjects.ReplayFailures, subjects.ReplayFailuresRequest{WorkflowID: w.ID, ErrorType: "communication", Limit: 1})
		if len(done.Replayed) != 1 || done.Replayed[ids[2]] == "" || !done.More {
			t.Errorf("replayed: %+v", done)
		}
		done = call(t, b, subjects.ReplayFailures, subjects.ReplayFailuresRequest{})
		if len(done.Replayed) != 2 || done.More {
			t.Errorf("replayed the rest: %+v", done)
		}
		for status, want := range map[string]int{subjects.FailureDismissed: 1, subjects.FailureReplayed: 4} {
			if got := b.failures(t, subjects.ListFailuresRequest{Status: status}); len(got) != want || got[0].Status != status {
				t.Errorf("%s: %+v", status, got)
			}
		}
		eve := mesh.As{Token: b.mesh.Token(t, actortest.User())}
		wantCode(t, b, subjects.CodeNotFound, subjects.ReplayFailure, eve, subjects.ReplayFailureRequest{FailureID: ids[1]})
		wantCode(t, b, subjects.CodeNotFound, subjects.DismissFailure, eve, subjects.FailureRequest{FailureID: ids[1]})
		wantCode(t, b, subjects.CodeNotFound, subjects.ReplayFailure, b.ada, subjects.ReplayFailureRequest{FailureID: one.ID})
	})
}

// TestRefusedStartsAreFailures: what a schedule could not start is in the list, and can be started.
func TestRefusedStartsAreFailures(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		_, s := c.plan(t, scheduled("every: PT1H", "input: {at: '${ .nominal_time }'}", quick))
		c.mesh.Revoke(t, c.user, subjects.ScopeWorkflowsExecute)
		c.advance(t, time.Hour+time.Second)
		runs := c.runs(t, s.ID, "refused")
		all := c.failures(t, subjects.ListFailuresRequest{})
		if len(all) != 1 || all[0].ID != runs[0].ExecutionID || all[0].Kind != "start" || all[0].Trigger != "schedule" ||
			!strings.HasSuffix(all[0].Error.Type, "/authorization") || !strings.Contains(string(all[0].Input), `"at"`) {
			t.Fatalf("failures: %+v", all)
		}
		replay := subjects.ReplayFailureRequest{FailureID: all[0].ID}
		wantCode(t, c.bundle, subjects.CodeConsentRequired, subjects.ReplayFailure, c.ada, replay)
		wantCode(t, c.bundle, subjects.CodeConsentRequired, subjects.ReplayFailures, c.ada, subjects.ReplayFailuresRequest{})
		c.mesh.Consent(t, c.user, subjects.ScopeWorkflowsExecute)
		e := call(t, c.bundle, subjects.ReplayFailure, replay)
		e = c.until(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted)
		wantOutput(t, e, `{"given":`+string(all[0].Input)+`}`)
		c.runs(t, s.ID, "ended")
		if left := c.failures(t, subjects.ListFailuresRequest{}); len(left) != 0 {
			t.Errorf("still open: %+v", left)
		}
	})
}

// push is a delivery to a hook of the user's, of something pushed to GitHub.
func (c *timed) push(t *testing.T, payload json.RawMessage) {
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

// TestFailuresWithLargeInputs: what a delivery could not start, since it is larger than an input may be, is in the list; and the list
// comes in pages that an answer has room for.
func TestFailuresWithLargeInputs(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		c.plan(t, scheduled("on: {one: {with: {type: github.push}}}", "", quick))
		c.plan(t, strings.Replace(scheduled("on: {all: [{with: {type: github.push}}, {with: {type: never}}]}", "", quick), "name: timed", "name: gathers", 1))
		large := `"` + strings.Repeat("x", 300<<10) + `"`
		c.push(t, json.RawMessage(large))
		eventually(t, "neither could be started", func() bool { return len(c.failures(t, subjects.ListFailuresRequest{})) == 2 })
		for _, f := range c.failures(t, subjects.ListFailuresRequest{}) {
			if f.Kind != "start" || f.Trigger != "event" || string(f.Input) != "null" {
				t.Errorf("failure %+v", f)
			}
			wantCode(t, c.bundle, subjects.CodeConflict, subjects.ReplayFailure, c.ada, subjects.ReplayFailureRequest{FailureID: f.ID})
			call(t, c.bundle, subjects.DismissFailure, subjects.FailureRequest{FailureID: f.ID})
		}
		c.mesh.Revoke(t, c.user, subjects.ScopeWorkflowsExecute)
		for i := range 8 {
			wantNone(t, c.tell(t, fmt.Sprint(i), "github.push", `"`+strings.Repeat("y", 200<<10)+`"`))
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
			t.Errorf("%d failures in all pages, want 8", len(seen))
		}
	})
}
