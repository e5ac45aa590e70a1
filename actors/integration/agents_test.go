package integration_test

import (
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestAgentApprovals: what is not a read waits for an approval of exactly its arguments, which is used once.
func TestAgentApprovals(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var ahead atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		b := setupOn(t, actortest.Start(t, actortest.WithClock(now)), database)
		id, as := b.user(t)
		key := mesh.As{Token: b.mesh.Token(t, id, actortest.WithAPIKey(actortest.User(), subjects.ScopeIntegrationsExecute))}
		_, other := b.user(t)
		c := b.connectTo(t, newFakeProvider(t, respond(200, `{}`)), as, "a")
		ask := func(input string) subjects.AuthorizeAgentActionRequest {
			return subjects.AuthorizeAgentActionRequest{IntegrationID: c.ID, Action: "post", Input: json.RawMessage(input), Client: "agent/1"}
		}
		if got := call(t, b, subjects.AuthorizeAgentAction, key, subjects.AuthorizeAgentActionRequest{IntegrationID: c.ID, Action: "get", ReadOnly: true}); got.Decision != subjects.AgentAllow {
			t.Errorf("a read: %+v", got)
		}
		readOnly := ask(`{}`)
		readOnly.ReadOnly = true
		wantCode(t, b, subjects.CodeInvalid, subjects.AuthorizeAgentAction, key, readOnly)
		wantCode(t, b, subjects.CodeInvalid, subjects.AuthorizeAgentAction, key, ask(`[]`))

		pending := call(t, b, subjects.AuthorizeAgentAction, key, ask(`{"path":"/x","body":{"a":1,"b":2}}`))
		if pending.Decision != subjects.AgentAsk || pending.Approval.Operation != "http.post" || pending.Approval.Client != "agent/1" {
			t.Fatalf("a write: %+v", pending)
		}
		same := call(t, b, subjects.AuthorizeAgentAction, key, ask(`{"body":{"b":2,"a":1}, "path":"/x"}`))
		if same.Approval == nil || same.Approval.ID != pending.Approval.ID {
			t.Errorf("the same arguments: %+v, want the same request", same)
		}
		approve := subjects.DecideAgentApprovalRequest{ApprovalID: pending.Approval.ID, Decision: "approve"}
		retry := ask(`{"path":"/x","body":{"a":1,"b":2}}`)
		retry.ApprovalID = pending.Approval.ID
		if got := call(t, b, subjects.AuthorizeAgentAction, key, retry); got.Decision != subjects.AgentAsk {
			t.Errorf("before the approval: %+v", got)
		}
		wantCode(t, b, subjects.CodeForbidden, subjects.DecideAgentApproval, key, approve)
		wantCode(t, b, subjects.CodeNotFound, subjects.DecideAgentApproval, other, approve)
		for range 2 {
			if got := call(t, b, subjects.DecideAgentApproval, as, approve); got.Status != subjects.AgentApprovalApproved || got.DecidedAt == nil {
				t.Errorf("approved: %+v", got)
			}
		}
		wantCode(t, b, subjects.CodeConflict, subjects.DecideAgentApproval, as, subjects.DecideAgentApprovalRequest{ApprovalID: approve.ApprovalID, Decision: "reject"})
		changed := ask(`{"path":"/x","body":{"a":1,"b":3}}`)
		changed.ApprovalID = approve.ApprovalID
		wantCode(t, b, subjects.CodeInvalid, subjects.AuthorizeAgentAction, key, changed)
		wantCode(t, b, subjects.CodeInvalid, subjects.AuthorizeAgentWorkflow, as, subjects.AuthorizeAgentWorkflowRequest{
			WorkflowID: c.ID, Input: retry.Input, ApprovalID: approve.ApprovalID,
		})
		if got := call(t, b, subjects.AuthorizeAgentAction, key, retry); got.Decision != subjects.AgentAllow {
			t.Errorf("after the approval: %+v", got)
		}
		wantCode(t, b, subjects.CodeInvalid, subjects.AuthorizeAgentAction, key, retry)

		rejected := call(t, b, subjects.AuthorizeAgentAction, key, ask(`{"path":"/y"}`)).Approval
		call(t, b, subjects.DecideAgentApproval, as, subjects.DecideAgentApprovalRequest{ApprovalID: rejected.ID, Decision: "reject"})
		again := ask(`{"path":"/y"}`)
		again.ApprovalID = rejected.ID
		wantCode(t, b, subjects.CodeForbidden, subjects.AuthorizeAgentAction, key, again)

		late := call(t, b, subjects.AuthorizeAgentAction, key, ask(`{"path":"/z"}`)).Approval
		call(t, b, subjects.DecideAgentApproval, as, subjects.DecideAgentApprovalRequest{ApprovalID: late.ID, Decision: "approve"})
		ahead.Store(int64(61 * time.Minute))
		as = mesh.As{Token: b.mesh.Token(t, id)}
		expired := ask(`{"path":"/z"}`)
		expired.ApprovalID = late.ID
		wantCode(t, b, subjects.CodeInvalid, subjects.AuthorizeAgentAction, as, expired)

		list := call(t, b, subjects.ListAgentApprovals, as, subjects.ListAgentApprovalsRequest{Status: subjects.AgentApprovalUsed})
		if len(list.Items) != 1 || list.Items[0].ID != pending.Approval.ID {
			t.Errorf("used requests: %+v", list.Items)
		}
	})
}

// TestAgentPolicy: the first rule that matches decides, for actions and for starting workflows.
func TestAgentPolicy(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_, as := b.user(t)
		c := b.connectTo(t, newFakeProvider(t, respond(200, `{}`)), as, "a")
		if got := call(t, b, subjects.GetAgentPolicy, as, subjects.Empty{}); len(got.Rules) != 0 || got.UpdatedAt != nil {
			t.Errorf("at first: %+v", got)
		}
		for range 2 {
			call(t, b, subjects.SetAgentPolicy, as, subjects.SetAgentPolicyRequest{Rules: []subjects.AgentRule{
				{Pattern: "http.p*t", Decision: subjects.AgentAllow}, {Pattern: "http.get", Decision: subjects.AgentAsk},
				{Pattern: "http.*", Decision: subjects.AgentDeny}, {Pattern: "workflow.start", Decision: subjects.AgentAllow},
			}})
		}
		wantCode(t, b, subjects.CodeInvalid, subjects.SetAgentPolicy, as, subjects.SetAgentPolicyRequest{Rules: []subjects.AgentRule{{Pattern: "*", Decision: "allow"}}})
		for action, want := range map[string]string{"post": subjects.AgentAllow, "put": subjects.AgentAllow, "get": subjects.AgentAsk} {
			got := call(t, b, subjects.AuthorizeAgentAction, as, subjects.AuthorizeAgentActionRequest{IntegrationID: c.ID, Action: action})
			if got.Decision != want {
				t.Errorf("%s: %s, want %s", action, got.Decision, want)
			}
		}
		wantCode(t, b, subjects.CodeForbidden, subjects.AuthorizeAgentAction, as, subjects.AuthorizeAgentActionRequest{IntegrationID: c.ID, Action: "delete"})
		if got := call(t, b, subjects.AuthorizeAgentWorkflow, as, subjects.AuthorizeAgentWorkflowRequest{WorkflowID: c.ID}); got.Decision != subjects.AgentAllow {
			t.Errorf("starting a workflow: %+v", got)
		}
		found := call(t, b, subjects.SearchActions, as, subjects.SearchActionsRequest{Query: "CREATE issue", Limit: 5})
		if len(found.Items) != 5 || found.Total < 5 {
			t.Errorf("search: %+v", found)
		}
	})
}

// TestAgentApprovalsAreBounded: a user has at most 100 requests that have not expired.
func TestAgentApprovalsAreBounded(t *testing.T) {
	b := setup(t, actortest.Databases(t)[0])
	_, as := b.user(t)
	for i := range 101 {
		input, err := json.Marshal(map[string]int{"n": i})
		if err != nil {
			t.Fatal(err)
		}
		request := subjects.AuthorizeAgentWorkflowRequest{WorkflowID: "0190a000-0000-7000-8000-000000000001", Input: input}
		if i == 100 {
			wantCode(t, b, subjects.CodeRateLimited, subjects.AuthorizeAgentWorkflow, as, request)
			continue
		}
		call(t, b, subjects.AuthorizeAgentWorkflow, as, request)
	}
}
