package workflow_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// wantBound checks that a call is refused because of a bound, which the error names.
func wantBound[Req, Res any](t *testing.T, b *bundle, setting string, e subjects.Endpoint[Req, Res], req Req) {
	t.Helper()
	_, err := mesh.Call(t.Context(), b.conn, e, req, b.as)
	var coded *subjects.Error
	if !errors.As(err, &coded) || coded.Code != subjects.CodeRateLimited || coded.Reason != subjects.ReasonLimitReached ||
		!strings.Contains(coded.Detail, "("+setting+")") {
		t.Errorf("%s: %v, want a refusal by %s", e.Subject, err, setting)
	}
}

// usedOf returns what the user has of a bound.
func usedOf(t *testing.T, b *bundle, setting string) int64 {
	t.Helper()
	for _, l := range call(t, b, subjects.GetWorkflowLimits, subjects.Empty{}).Items {
		if l.Name == setting && l.Used != nil {
			return *l.Used
		}
	}
	t.Fatalf("the limits lack %s, or what is used of it", setting)
	return 0
}

func onSchedule(rule string) string {
	return "document: {dsl: '1.0.3', namespace: test, name: timed, version: '0.1.0'}\nschedule: " + rule + "\ndo:\n- a: {set: {x: 1}}\n"
}

// TestWorkflowsOfAUserAreBounded creates workflows, versions, schedules and secrets up to their bounds: each further one is refused by
// name, a deletion frees a place, and another user is not concerned.
func TestWorkflowsOfAUserAreBounded(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		b := setup(t, kind)
		_ = b.host.Stop(t)
		b.config.MaxWorkflowsPerUser, b.config.MaxVersions, b.config.MaxSchedulesPerUser, b.config.MaxSecretsPerUser = 4, 3, 2, 2
		b.config.MaxDefinitionBytesPerUser = 20_000
		b.host = b.start(t)
		define := func(text string) subjects.WorkflowDefinitionRequest {
			return subjects.WorkflowDefinitionRequest{Definition: yaml(t, text)}
		}
		var made []string
		for range 2 {
			made = append(made, call(t, b, subjects.CreateWorkflow, define(onSchedule("{cron: '0 0 1 1 *'}"))).ID)
		}
		wantBound(t, b, "workflow.max_schedules_per_user", subjects.CreateWorkflow, define(onSchedule("{cron: '0 0 1 1 *'}")))
		plain := define(workflowOf("- a: {set: {x: 1}}\n"))
		for range 2 {
			made = append(made, call(t, b, subjects.CreateWorkflow, plain).ID)
		}
		wantBound(t, b, "workflow.max_workflows_per_user", subjects.CreateWorkflow, plain)
		if n := usedOf(t, b, "workflow.max_schedules_per_user"); n != 2 {
			t.Errorf("%d schedules are counted", n)
		}
		for n := range 2 {
			call(t, b, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{
				WorkflowID: made[3], Definition: yaml(t, workflowOf(fmt.Sprintf("- a: {set: {y: %d}}\n", n))),
			})
		}
		wantBound(t, b, "workflow.max_versions", subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{
			WorkflowID: made[3], Definition: yaml(t, workflowOf("- a: {set: {z: 1}}\n")),
		})
		wantBound(t, b, "workflow.max_definition_bytes_per_user", subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{
			WorkflowID: made[2], Definition: yaml(t, workflowOf("- a: {set: {z: "+strings.Repeat("z", 10_000)+"}}\n")),
		})
		call(t, b, subjects.DeleteWorkflow, subjects.DeleteWorkflowRequest{WorkflowID: made[0]})
		var group sync.WaitGroup
		var mu sync.Mutex
		var admitted int
		for range 8 {
			group.Go(func() {
				_, err := mesh.Call(t.Context(), b.conn, subjects.CreateWorkflow, plain, b.as)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					admitted++
				} else if subjects.CodeOf(err) != subjects.CodeRateLimited {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if n := usedOf(t, b, "workflow.max_workflows_per_user"); admitted != 1 || n != 4 {
			t.Errorf("%d parallel requests were admitted for one place; %d workflows", admitted, n)
		}
		secret := func(name string) subjects.PutWorkflowSecretRequest {
			return subjects.PutWorkflowSecretRequest{Name: name, Value: json.RawMessage(`"s"`)}
		}
		for _, name := range []string{"one", "two", "one"} {
			call(t, b, subjects.PutWorkflowSecret, secret(name))
		}
		wantBound(t, b, "workflow.max_secrets_per_user", subjects.PutWorkflowSecret, secret("three"))
		other := actortest.User()
		if _, err := mesh.Call(t.Context(), b.conn, subjects.CreateWorkflow, plain, mesh.As{Token: b.mesh.Token(t, other)}); err != nil {
			t.Errorf("another user: %v", err)
		}
	})
}

// TestPendingApprovalsAreBounded: a request beyond the approval requests that may be pending fails its task at once, with the name of the
// bound, and an answer frees a place.
func TestPendingApprovalsAreBounded(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		b := setup(t, kind)
		_ = b.host.Stop(t)
		b.config.MaxApprovalsPerUser = 1
		b.host = b.start(t)
		const ask = "- ask: {call: approval.request, with: {title: Permission}}\n"
		first := b.startNew(t, ask, `{}`)
		var pending []subjects.Approval
		eventually(t, "the first request is pending", func() bool {
			pending = call(t, b, subjects.ListApprovals, subjects.ListApprovalsRequest{Status: subjects.ApprovalPending}).Items
			return len(pending) == 1
		})
		second := b.run(t, ask, `{}`)
		if second.Status != subjects.ExecutionFaulted || second.Error == nil || !strings.Contains(second.Error.Detail, "(workflow.max_approvals_per_user)") {
			t.Errorf("the second request: %+v", second)
		}
		call(t, b, subjects.DecideApproval, subjects.DecideApprovalRequest{ApprovalID: pending[0].ID, Decision: "approve"})
		b.awaitStatus(t, first.ID, subjects.ExecutionCompleted)
		third := b.startNew(t, ask, `{}`)
		eventually(t, "the third request is pending", func() bool {
			return usedOf(t, b, "workflow.max_approvals_per_user") == 1
		})
		b.awaitStatus(t, third.ID, subjects.ExecutionRunning, "waiting")
	})
}
