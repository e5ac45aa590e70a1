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

const asking = `
- ask:
    call: approval.request
    with: {title: 'Ship ${ .n } parcels?', data: '${ . }', timeout: PT1H}
`

// asked waits for the one pending approval of an execution.
func (b *bundle) asked(t *testing.T, executionID string) subjects.Approval {
	t.Helper()
	var page subjects.Page[subjects.Approval]
	eventually(t, "the approval is asked for", func() bool {
		page = call(t, b, subjects.ListApprovals, subjects.ListApprovalsRequest{ExecutionID: executionID, Status: "pending"})
		return len(page.Items) == 1
	})
	return page.Items[0]
}

func (b *bundle) decide(t *testing.T, id, decision, comment string) subjects.Approval {
	t.Helper()
	return call(t, b, subjects.DecideApproval, subjects.DecideApprovalRequest{ApprovalID: id, Decision: decision, Comment: comment})
}

func (b *bundle) approval(t *testing.T, id string) subjects.Approval {
	t.Helper()
	return call(t, b, subjects.GetApproval, subjects.ApprovalRequest{ApprovalID: id})
}

func TestApproval(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		e := c.begin(t, strings.Replace(asking, "'Ship ${ .n } parcels?'", `'${ "Ship \(.n) parcels?" }'`, 1), `{"n": 3}`)
		asked := c.asked(t, e.ID)
		if asked.Title != "Ship 3 parcels?" || string(asked.Data) != `{"n":3}` || asked.ExpiresAt == nil || asked.WorkflowID != e.WorkflowID ||
			asked.Workflow != "story" {
			t.Errorf("asked: %+v", asked)
		}
		eventually(t, "the user is notified", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.notified) == 1
		})
		if n := c.notified[0]; n.Subject != asked.Title || string(n.Data["link"]) != `"/v1/approvals/`+asked.ID+`"` || n.UserID != c.user ||
			!strings.HasPrefix(n.DedupeKey, e.ID+"/") {
			t.Errorf("notified: %+v", n)
		}
		c.until(t, e.ID, subjects.ExecutionWaiting)
		// Until the call knows that the user was told, a restart tells the user again, under the same key.
		eventually(t, "the user was told", func() bool { return total(t, c.host, "workflow_approvals_total") == 1 })
		// A restart asks nothing anew, and the answer finds its execution.
		_ = c.host.Stop(t)
		c.host = c.bundle.start(t)
		eve := mesh.As{Token: c.mesh.Token(t, actortest.User())}
		decision := subjects.DecideApprovalRequest{ApprovalID: asked.ID, Decision: "approve"}
		wantCode(t, c.bundle, subjects.CodeNotFound, subjects.DecideApproval, eve, decision)
		wantCode(t, c.bundle, subjects.CodeNotFound, subjects.GetApproval, eve, subjects.ApprovalRequest{ApprovalID: asked.ID})
		key := mesh.As{Token: c.mesh.Token(t, c.user, actortest.WithAPIKey(actortest.User(), subjects.ScopeWorkflowsExecute))}
		wantCode(t, c.bundle, subjects.CodeForbidden, subjects.DecideApproval, key, decision)
		if done := c.decide(t, asked.ID, "approve", "go"); done.Status != subjects.ApprovalApproved || done.DecidedAt == nil {
			t.Errorf("decided: %+v", done)
		}
		e = c.until(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted)
		if !strings.Contains(string(e.Output), `"decision":"approved"`) || !strings.Contains(string(e.Output), `"comment":"go"`) {
			t.Errorf("output %s, error %+v", e.Output, e.Error)
		}
		c.decide(t, asked.ID, "approve", "again")
		wantCode(t, c.bundle, subjects.CodeConflict, subjects.DecideApproval, c.ada,
			subjects.DecideApprovalRequest{ApprovalID: asked.ID, Decision: "reject"})
		if n := len(c.notified); n != 1 {
			t.Errorf("%d notifications", n)
		}
	})
}

func TestApprovalRunsOut(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		expires := c.begin(t, "- ask: {call: approval.request, with: {title: a, timeout: PT1H}, output: {as: .decision}}\n", `{}`)
		fails := c.begin(t, "- ask: {call: approval.request, with: {title: b, timeout: {minutes: 60}, onTimeout: fail}}\n", `{}`)
		first, second := c.asked(t, expires.ID), c.asked(t, fails.ID)
		_ = c.host.Stop(t)
		c.advance(t, time.Hour+time.Second)
		c.host = c.bundle.start(t)
		wantOutput(t, c.until(t, expires.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"expired"`)
		wantFault(t, c.until(t, fails.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), "timeout", 408)
		for _, id := range []string{first.ID, second.ID} {
			if a := c.approval(t, id); a.Status != subjects.ApprovalExpired {
				t.Errorf("the approval is %s", a.Status)
			}
			wantCode(t, c.bundle, subjects.CodeConflict, subjects.DecideApproval, c.ada, subjects.DecideApprovalRequest{ApprovalID: id, Decision: "approve"})
		}
	})
}

// TestApprovalNobodyWaitsFor: a question is withdrawn when its execution ends, or goes on without it.
func TestApprovalNobodyWaitsFor(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		cancelled := c.begin(t, "- ask: {call: approval.request, with: {title: a}}\n", `{}`)
		raced := c.begin(t, `
- race:
    fork:
      compete: true
      branches:
      - ask: {call: approval.request, with: {title: b}}
      - rest: {wait: {hours: 1}}
- stay: {wait: {hours: 100}}
`, `{}`)
		first, second := c.asked(t, cancelled.ID), c.asked(t, raced.ID)
		call(t, c.bundle, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: cancelled.ID})
		c.advance(t, time.Hour+time.Second)
		for _, id := range []string{first.ID, second.ID} {
			eventually(t, "the approval is withdrawn", func() bool { return c.approval(t, id).Status == subjects.ApprovalWithdrawn })
			wantCode(t, c.bundle, subjects.CodeConflict, subjects.DecideApproval, c.ada, subjects.DecideApprovalRequest{ApprovalID: id, Decision: "approve"})
		}
		for i, with := range []string{"{}", "{title: ''}", "{title: a, onTimeout: explode}", "{title: a, timeout: soon}", "{title: a, approvers: [eve]}"} {
			e := c.run(t, fmt.Sprintf("- ask%d: {call: approval.request, with: %s}\n", i, with), `{}`)
			wantFault(t, e, "validation", 400)
		}
	})
}

// TestWaitingForAParkedExecution: who waits for the end of an execution has it when it comes, however it was kept.
func TestWaitingForAParkedExecution(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		id := b.create(t, "- ask: {call: approval.request, with: {title: a}, output: {as: .decision}}\n")
		answer := make(chan subjects.Execution, 1)
		go func() {
			e, _ := mesh.Call(t.Context(), b.caller, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: id, Timeout: 200}, b.ada)
			answer <- e
		}()
		var asked subjects.Approval
		eventually(t, "the approval is asked for", func() bool {
			page := call(t, b, subjects.ListApprovals, subjects.ListApprovalsRequest{})
			if len(page.Items) == 1 {
				asked = page.Items[0]
			}
			return len(page.Items) == 1
		})
		eventually(t, "the execution is parked", func() bool { return gauge(t, b.host, "workflow_active_executions") == 0 })
		b.decide(t, asked.ID, "reject", "")
		eventually(t, "the answer comes", func() bool {
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

// TestQuestionsOverACrash: a question whose call is not waited for any more is withdrawn, also where the process died that was
// about to: at the latest when the partition has another owner.
func TestQuestionsOverACrash(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		e := b.begin(t, `
- race:
    fork:
      compete: true
      branches:
      - ask: {call: approval.request, with: {title: a}}
      - go: {call: github.hold}
- stay: {wait: {hours: 1}}
`, `{}`)
		question := b.asked(t, e.ID)
		<-b.held
		close(b.hold)
		b.until(t, e.ID, subjects.ExecutionWaiting)
		eventually(t, "the approval is withdrawn", func() bool { return b.approval(t, question.ID).Status == subjects.ApprovalWithdrawn })
		_ = b.host.Stop(t)
		b.alter(t, "UPDATE approvals SET status = 'pending', delivered_at = 0")
		b.alter(t, "UPDATE executions SET evicted = FALSE")
		b.host = b.start(t)
		eventually(t, "the approval is withdrawn again", func() bool { return b.approval(t, question.ID).Status == subjects.ApprovalWithdrawn })
		b.until(t, e.ID, subjects.ExecutionWaiting)
	})
}

// alter makes of the database, while no process runs, what a crash may leave.
func (b *bundle) alter(t *testing.T, query string, args ...any) {
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
