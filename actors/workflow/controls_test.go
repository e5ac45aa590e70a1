package workflow_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/workflow"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/subjects"
)

// TestInvalidSettings: New names the setting that is out of bounds, before it connects to anything.
func TestInvalidSettings(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*workflow.Config){
		"max_concurrent": func(c *workflow.Config) { c.MaxConcurrent = 0 }, "max_steps": func(c *workflow.Config) { c.MaxSteps = 10_001 },
		"max_input": func(c *workflow.Config) { c.MaxInput = 0 }, "step_timeout": func(c *workflow.Config) { c.StepTimeout = 0 },
		"cut_after": func(c *workflow.Config) { c.CutAfter = 0 },
	} {
		config := workflow.DefaultConfig()
		change(&config)
		if _, err := workflow.New(actors.Deps{}, config); err == nil || !strings.Contains(err.Error(), "workflow."+name+" is ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestControlOfEndedExecutions: an ended execution cannot be suspended or resumed; cancelling a cancelled one succeeds again.
func TestControlOfEndedExecutions(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	done := b.run(t, echoTasks, "{}")
	control := subjects.ExecutionControlRequest{ExecutionID: strings.ToUpper(done.ID)}
	for name, err := range map[string]*subjects.Error{
		"cancel":  wantCode(t, b, subjects.CodeConflict, subjects.CancelExecution, b.as, control),
		"suspend": wantCode(t, b, subjects.CodeConflict, subjects.SuspendExecution, b.as, control),
		"resume":  wantCode(t, b, subjects.CodeConflict, subjects.ResumeExecution, b.as, subjects.ExecutionRequest{ExecutionID: done.ID}),
	} {
		if !strings.Contains(err.Detail, "it is completed") {
			t.Errorf("%s of a completed execution: %q", name, err.Detail)
		}
	}
	waiting := b.startNew(t, "- rest: {wait: {hours: 1}}\n", "{}")
	for range 2 {
		e := call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: waiting.ID, Reason: "enough"})
		if e.Status != subjects.ExecutionCancelled || e.EndedAt == nil {
			t.Errorf("cancelled: %+v", e)
		}
	}
}

// TestResumeNeedsConsent: an execution is not resumed under a grant that was revoked.
func TestResumeNeedsConsent(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	e := b.startNew(t, "- rest: {wait: {hours: 1}}\n", "{}")
	b.awaitStatus(t, e.ID, subjects.ExecutionWaiting)
	b.suspend(t, e.ID)
	b.mesh.Revoke(t, b.user, subjects.ScopeWorkflowsExecute)
	wantCode(t, b, subjects.CodeConsentRequired, subjects.ResumeExecution, b.as, subjects.ExecutionRequest{ExecutionID: e.ID})
	if e := b.getExecution(t, e.ID); e.Status != subjects.ExecutionSuspended {
		t.Errorf("the execution is %s, want it suspended", e.Status)
	}
}

// TestConsentRequire returns the consent of a scope that the user consents to.
func TestConsentRequire(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	e := b.run(t, "- need: {call: consent.require, with: {scope: "+subjects.ScopeIntegrationsExecute+"}}\n", "{}")
	var output struct {
		Scope     string `json:"scope"`
		ConsentID string `json:"consent_id"`
	}
	if err := json.Unmarshal(e.Output, &output); err != nil || output.Scope != subjects.ScopeIntegrationsExecute || output.ConsentID == "" {
		t.Errorf("output %s, error %+v, %v", e.Output, e.Error, err)
	}
	wantFault(t, b.run(t, "- need: {call: consent.require, with: {scope: '${ null }'}}\n", "{}"), "validation", 400)
	wantFault(t, b.run(t, "- get: {call: github.get, with: {connection: '${ 7 }'}}\n", "{}"), "validation", 400)
}

// TestUpdateIsChecked: an update needs a valid definition, and the workflow must exist.
func TestUpdateIsChecked(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	id := b.create(t, echoTasks)
	err := wantCode(t, b, subjects.CodeInvalid, subjects.UpdateWorkflow, b.as,
		subjects.UpdateWorkflowRequest{WorkflowID: id, Definition: yaml(t, workflowOf("- a: {call: nosuch}\n"))})
	if len(err.Fields) != 1 || err.Fields[0].Line != 3 || err.Fields[0].Code != "reference" {
		t.Errorf("faults %+v", err.Fields)
	}
	wantCode(t, b, subjects.CodeNotFound, subjects.UpdateWorkflow, b.as,
		subjects.UpdateWorkflowRequest{WorkflowID: actortest.User(), Definition: yaml(t, workflowOf(echoTasks))})
	if w := call(t, b, subjects.GetWorkflow, subjects.WorkflowVersionRequest{WorkflowID: id}); w.Version != 1 {
		t.Errorf("a refused update made version %d", w.Version)
	}
	wantCode(t, b, subjects.CodeNotFound, subjects.StartExecution, b.as, subjects.StartExecutionRequest{WorkflowID: id, Version: 2})
}

// createNamed creates a workflow with a name.
func (b *bundle) createNamed(t *testing.T, name, tasks string) string {
	t.Helper()
	return b.workflow(t, strings.Replace(workflowOf(tasks), "name: story", "name: "+name, 1))
}

// TestChildWithoutAwait: a child that is not awaited outlives its parent. A child's input is bounded.
func TestChildWithoutAwait(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	child := b.createNamed(t, "child", "- rest: {wait: {hours: 1}}\n")
	e := b.run(t, "- start: {run: {workflow: {namespace: test, name: child, version: '0.1.0'}, await: false}}\n", "{}")
	wantOutput(t, e, "{}") // the task's input, as the specification says
	eventually(t, "the child waits", func() bool { return b.statuses(t, child)[subjects.ExecutionWaiting] == 1 })
	large := "- start: {run: {workflow: {namespace: test, name: child, version: '0.1.0', input: {x: '${ \"x\" * 300000 }'}}}}\n"
	wantFault(t, b.run(t, large, "{}"), "validation", 400)
}

// TestChildThatHasEnded: a repeated start of a child finds the execution of the first one, and if that has ended returns its output
// or its fault.
func TestChildThatHasEnded(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	children := map[string]string{
		"works": b.createNamed(t, "works", "- say: {set: {n: 7}}\n"),
		"fails": b.createNamed(t, "fails", "- say: {raise: {error: {type: 'https://example.com/sad', status: 418, title: Sad}}}\n"),
	}
	for name, workflowID := range children {
		parent := actortest.User()
		child := engine.DerivedID(parent + "/0/inner#1")
		call(t, b, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: workflowID, ExecutionID: child})
		b.awaitStatus(t, child, subjects.ExecutionCompleted, subjects.ExecutionFaulted)
		call(t, b, subjects.StartExecution, subjects.StartExecutionRequest{
			WorkflowID:  b.create(t, "- inner: {run: {workflow: {namespace: test, name: "+name+", version: latest}}}\n"),
			ExecutionID: parent,
		})
		e := b.awaitStatus(t, parent, subjects.ExecutionCompleted, subjects.ExecutionFaulted)
		if name == "works" {
			wantOutput(t, e, `{"n":7}`)
		} else if e.Error == nil || e.Error.Status != 418 {
			t.Errorf("the parent of a failed child is %s with %+v", e.Status, e.Error)
		}
		if got := b.statuses(t, workflowID); len(got) != 1 {
			t.Errorf("the child %s has the executions %v, want one", name, got)
		}
	}
}

// TestBackfillBeforeCreation: the intervals of an every schedule continue before its creation.
func TestBackfillBeforeCreation(t *testing.T) {
	t.Parallel()
	c := setupTimed(t, actortest.Databases(t)[0])
	id, s := c.createScheduled(t, scheduled("every: PT1H", "", echoTasks))
	fill := subjects.BackfillScheduleRequest{
		ScheduleID: s.ID, Since: s.CreatedAt.Add(-3*time.Hour - time.Minute), Until: s.CreatedAt.Add(-30 * time.Minute), Overlap: "allow",
	}
	if done := call(t, c.bundle, subjects.BackfillSchedule, fill); done.Planned != 3 || done.Known != 0 {
		t.Errorf("the backfill is %+v, want 3 runs", done)
	}
	for i, run := range c.awaitRuns(t, s.ID, "ended", "ended", "ended") {
		if want := s.CreatedAt.Add(time.Duration(i-3) * time.Hour); !run.NominalTime.Equal(want) || !run.Backfill {
			t.Errorf("run %d is %+v, want one of %s", i, run, want)
		}
	}
	if n := c.countExecutions(t, id); n != 3 {
		t.Errorf("%d executions, want 3", n)
	}
	again := call(t, c.bundle, subjects.ResumeSchedule, subjects.ScheduleRequest{ScheduleID: s.ID}) // it is not paused
	if again.Paused || len(again.RecentRuns) != 3 {
		t.Errorf("resumed: %+v", again)
	}
}

// TestOrphanedApprovalIsWithdrawn: a pending approval request whose execution has ended is withdrawn by a later pass, and cannot be
// decided before.
func TestOrphanedApprovalIsWithdrawn(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		e := b.startNew(t, approvalTasks, `{"n": "1"}`)
		asked := b.pendingApproval(t, e.ID)
		call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: e.ID})
		eventually(t, "the approval is withdrawn", func() bool { return b.getApproval(t, asked.ID).Status == subjects.ApprovalWithdrawn })
		_ = b.host.Stop(t)
		b.execSQL(t, "UPDATE approvals SET status = 'pending', delivered_at = 0, decided_at = 0") // as if the projection had crashed
		b.host = b.start(t)
		eventually(t, "the orphaned approval is withdrawn", func() bool { return b.getApproval(t, asked.ID).Status == subjects.ApprovalWithdrawn })
		wantCode(t, b, subjects.CodeConflict, subjects.DecideApproval, b.as, subjects.DecideApprovalRequest{ApprovalID: asked.ID, Decision: "approve"})
	})
}

// TestUndeliveredDecision: a decision whose delivery was lost in a crash is delivered by a later pass.
func TestUndeliveredDecision(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		e := c.startNew(t, "- ask: {call: approval.request, with: {title: a}, output: {as: .decision}}\n", "{}")
		asked := c.pendingApproval(t, e.ID)
		c.awaitStatus(t, e.ID, subjects.ExecutionWaiting)
		_ = c.host.Stop(t)
		c.execSQL(t, "UPDATE approvals SET status = 'rejected', decided_at = ?", c.mesh.Now().UnixMicro())
		c.advance(t, time.Minute)
		c.host = c.start(t)
		wantOutput(t, c.awaitStatus(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"rejected"`)
		if a := c.getApproval(t, asked.ID); a.Status != subjects.ApprovalRejected {
			t.Errorf("the approval is %s", a.Status)
		}
	})
}

// TestErasedExecutionEndsItsRun: a run whose execution no longer exists has ended, and the next one starts.
func TestErasedExecutionEndsItsRun(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		_, s := c.createScheduled(t, scheduled("every: PT1H", "overlap: buffer_one", "- rest: {wait: {hours: 100}}\n"))
		c.advance(t, time.Hour+time.Second)
		run := c.awaitRuns(t, s.ID, "started")[0]
		c.awaitStatus(t, run.ExecutionID, subjects.ExecutionWaiting)
		_ = c.host.Stop(t)
		c.execSQL(t, "DELETE FROM executions WHERE id = ?", run.ExecutionID)
		c.advance(t, time.Hour)
		c.host = c.start(t)
		c.awaitRuns(t, s.ID, "ended", "started")
	})
}
