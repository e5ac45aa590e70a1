package workflow_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const approvalTasks = `
- ask:
    call: approval.request
    with: {title: 'Ship ${ .n } parcels?', data: '${ . }', timeout: PT1H}
`

// pendingApproval waits for the one pending approval request of an execution.
func (b *bundle) pendingApproval(t *testing.T, executionID string) subjects.Approval {
	t.Helper()
	var page subjects.Page[subjects.Approval]
	eventually(t, "an approval is requested", func() bool {
		page = call(t, b, subjects.ListApprovals, subjects.ListApprovalsRequest{ExecutionID: executionID, Status: "pending"})
		return len(page.Items) == 1
	})
	return page.Items[0]
}

func (b *bundle) decide(t *testing.T, id, decision, comment string) subjects.Approval {
	t.Helper()
	return call(t, b, subjects.DecideApproval, subjects.DecideApprovalRequest{ApprovalID: id, Decision: decision, Comment: comment})
}

func (b *bundle) getApproval(t *testing.T, id string) subjects.Approval {
	t.Helper()
	return call(t, b, subjects.GetApproval, subjects.ApprovalRequest{ApprovalID: id})
}

func TestApproval(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		e := c.startNew(t, strings.Replace(approvalTasks, "'Ship ${ .n } parcels?'", `'${ "Ship \(.n) parcels?" }'`, 1), `{"n": 3}`)
		asked := c.pendingApproval(t, e.ID)
		if asked.Title != "Ship 3 parcels?" || string(asked.Data) != `{"n":3}` || asked.ExpiresAt == nil || asked.WorkflowID != e.WorkflowID ||
			asked.Workflow != "story" {
			t.Errorf("the approval request is %+v", asked)
		}
		eventually(t, "the user is notified", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.notifications) == 1
		})
		if n := c.notifications[0]; n.Template != subjects.TemplateApprovalRequested || string(n.Data["title"]) != `"`+asked.Title+`"` || string(n.Data["link"]) != `"/v1/approvals/`+asked.ID+`"` || n.UserID != c.user ||
			!strings.HasPrefix(n.DedupeKey, e.ID+"/") {
			t.Errorf("the notification is %+v", n)
		}
		c.awaitStatus(t, e.ID, subjects.ExecutionWaiting)
		// A restart before the call has returned notifies the user again, under the same key.
		eventually(t, "the call has returned", func() bool { return metric(t, c.host, "workflow_approvals_total") == 1 })
		// A restart requests nothing again, and the answer still reaches the execution.
		_ = c.host.Stop(t)
		c.host = c.bundle.start(t)
		eve := mesh.As{Token: c.mesh.Token(t, actortest.User())}
		decision := subjects.DecideApprovalRequest{ApprovalID: asked.ID, Decision: "approve"}
		wantCode(t, c.bundle, subjects.CodeNotFound, subjects.DecideApproval, eve, decision)
		wantCode(t, c.bundle, subjects.CodeNotFound, subjects.GetApproval, eve, subjects.ApprovalRequest{ApprovalID: asked.ID})
		key := mesh.As{Token: c.mesh.Token(t, c.user, actortest.WithAPIKey(actortest.User(), subjects.ScopeWorkflowsExecute))}
		wantCode(t, c.bundle, subjects.CodeForbidden, subjects.DecideApproval, key, decision)
		if done := c.decide(t, asked.ID, "approve", "go"); done.Status != subjects.ApprovalApproved || done.DecidedAt == nil {
			t.Errorf("after the decision the approval is %+v", done)
		}
		e = c.awaitStatus(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted)
		if !strings.Contains(string(e.Output), `"decision":"approved"`) || !strings.Contains(string(e.Output), `"comment":"go"`) {
			t.Errorf("output %s, error %+v", e.Output, e.Error)
		}
		c.decide(t, asked.ID, "approve", "again")
		wantCode(t, c.bundle, subjects.CodeConflict, subjects.DecideApproval, c.as,
			subjects.DecideApprovalRequest{ApprovalID: asked.ID, Decision: "reject"})
		if n := len(c.notifications); n != 1 {
			t.Errorf("%d notifications", n)
		}
	})
}

func TestApprovalExpires(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		expires := c.startNew(t, "- ask: {call: approval.request, with: {title: a, timeout: PT1H}, output: {as: .decision}}\n", `{}`)
		fails := c.startNew(t, "- ask: {call: approval.request, with: {title: b, timeout: {minutes: 60}, onTimeout: fail}}\n", `{}`)
		first, second := c.pendingApproval(t, expires.ID), c.pendingApproval(t, fails.ID)
		_ = c.host.Stop(t)
		c.advance(t, time.Hour+time.Second)
		c.host = c.bundle.start(t)
		wantOutput(t, c.awaitStatus(t, expires.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"expired"`)
		wantFault(t, c.awaitStatus(t, fails.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), "timeout", 408)
		for _, id := range []string{first.ID, second.ID} {
			if a := c.getApproval(t, id); a.Status != subjects.ApprovalExpired {
				t.Errorf("the approval is %s", a.Status)
			}
			wantCode(t, c.bundle, subjects.CodeConflict, subjects.DecideApproval, c.as, subjects.DecideApprovalRequest{ApprovalID: id, Decision: "approve"})
		}
	})
}

// TestApprovalIsWithdrawn: an approval request is withdrawn when its execution ends or abandons the call. Invalid arguments
// are a validation error.
func TestApprovalIsWithdrawn(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		cancelled := c.startNew(t, "- ask: {call: approval.request, with: {title: a}}\n", `{}`)
		raced := c.startNew(t, `
- race:
    fork:
      compete: true
      branches:
      - ask: {call: approval.request, with: {title: b}}
      - rest: {wait: {hours: 1}}
- stay: {wait: {hours: 100}}
`, `{}`)
		first, second := c.pendingApproval(t, cancelled.ID), c.pendingApproval(t, raced.ID)
		call(t, c.bundle, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: cancelled.ID})
		c.advance(t, time.Hour+time.Second)
		for _, id := range []string{first.ID, second.ID} {
			eventually(t, "the approval is withdrawn", func() bool { return c.getApproval(t, id).Status == subjects.ApprovalWithdrawn })
			wantCode(t, c.bundle, subjects.CodeConflict, subjects.DecideApproval, c.as, subjects.DecideApprovalRequest{ApprovalID: id, Decision: "approve"})
		}
		for _, with := range []string{"{}", "{title: ''}", "{title: a, onTimeout: explode}", "{title: a, approvers: [eve]}"} {
			wantCode(t, c.bundle, subjects.CodeInvalid, subjects.CreateWorkflow, c.as,
				subjects.WorkflowDefinitionRequest{Definition: yaml(t, workflowOf("- ask: {call: approval.request, with: "+with+"}\n"))})
		}
		for i, with := range []string{"{title: '${ null }'}", "{title: a, onTimeout: '${ \"explode\" }'}", "{title: a, timeout: soon}"} {
			e := c.run(t, fmt.Sprintf("- ask%d: {call: approval.request, with: %s}\n", i, with), `{}`)
			wantFault(t, e, "validation", 400)
		}
	})
}

// TestWaitForEvictedExecution: a caller that waits for the end of an execution receives it if the execution was evicted
// meanwhile.
func TestWaitForEvictedExecution(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		id := b.create(t, "- ask: {call: approval.request, with: {title: a}, output: {as: .decision}}\n")
		answer := make(chan subjects.Execution, 1)
		go func() {
			e, _ := mesh.Call(t.Context(), b.conn, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: id, Timeout: 200}, b.as)
			answer <- e
		}()
		var asked subjects.Approval
		eventually(t, "an approval is requested", func() bool {
			page := call(t, b, subjects.ListApprovals, subjects.ListApprovalsRequest{})
			if len(page.Items) == 1 {
				asked = page.Items[0]
			}
			return len(page.Items) == 1
		})
		eventually(t, "the execution is evicted", func() bool { return metric(t, b.host, "workflow_active_executions") == 0 })
		b.decide(t, asked.ID, "reject", "")
		eventually(t, "the caller has the result", func() bool {
			select {
			case e := <-answer:
				wantOutput(t, e, `"rejected"`)
				return true
			default:
				return false
			}
		})
	})
}

// TestAbandonedApprovalAfterCrash: the approval request of an abandoned call is withdrawn when the partition has its next owner,
// if the process died before it could withdraw it.
func TestAbandonedApprovalAfterCrash(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		e := b.startNew(t, `
- race:
    fork:
      compete: true
      branches:
      - ask: {call: approval.request, with: {title: a}}
      - go: {call: github.hold}
- stay: {wait: {hours: 1}}
`, `{}`)
		approval := b.pendingApproval(t, e.ID)
		<-b.reached
		close(b.release)
		b.awaitStatus(t, e.ID, subjects.ExecutionWaiting)
		eventually(t, "the approval is withdrawn", func() bool { return b.getApproval(t, approval.ID).Status == subjects.ApprovalWithdrawn })
		_ = b.host.Stop(t)
		b.execSQL(t, "UPDATE approvals SET status = 'pending', delivered_at = 0")
		b.execSQL(t, "UPDATE executions SET evicted = FALSE")
		b.host = b.start(t)
		eventually(t, "the approval is withdrawn again", func() bool { return b.getApproval(t, approval.ID).Status == subjects.ApprovalWithdrawn })
		b.awaitStatus(t, e.ID, subjects.ExecutionWaiting)
	})
}

// execSQL changes the database while no process runs on it, to what a crash may leave.
func (b *bundle) execSQL(t *testing.T, query string, args ...any) {
	t.Helper()
	db := actortest.OpenDatabase(t, b.db, workflow.Migrations)
	err := db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
