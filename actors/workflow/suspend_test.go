package workflow_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

func (b *bundle) suspend(t *testing.T, id string) {
	t.Helper()
	e := call(t, b, subjects.SuspendExecution, subjects.ExecutionControlRequest{ExecutionID: id})
	if e.Status != subjects.ExecutionSuspended {
		t.Errorf("after suspend_execution the execution is %s", e.Status)
	}
}

func (b *bundle) resume(t *testing.T, id string) subjects.Execution {
	t.Helper()
	return call(t, b, subjects.ResumeExecution, subjects.ExecutionRequest{ExecutionID: id})
}

// countEvents returns the number of events of a type in an execution's history.
func (b *bundle) countEvents(t *testing.T, id, kind string) (n int) {
	t.Helper()
	page := call(t, b, subjects.GetExecutionHistory, subjects.ExecutionHistoryRequest{ExecutionRequest: subjects.ExecutionRequest{ExecutionID: id}})
	for _, event := range page.Items {
		if event.Type == kind {
			n++
		}
	}
	return n
}

// TestSuspendedWait: a wait that is over while its execution is suspended ends when that is resumed, also by another owner. Of a
// wait and a timeout that are both over, the earlier one counts.
func TestSuspendedWait(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		waits := c.startNew(t, "- rest: {wait: {hours: 1}}\n- say: {call: github.get, output: {as: .action}}\n", `{}`)
		inTime := c.startNew(t, "- bounded: {timeout: {after: {hours: 2}}, do: [{rest: {wait: {hours: 1}}}]}\n", `{}`)
		late := c.startNew(t, "- bounded: {timeout: {after: {hours: 1}}, do: [{rest: {wait: {hours: 2}}}]}\n", `{}`)
		all := []string{waits.ID, inTime.ID, late.ID}
		for _, id := range all {
			c.awaitStatus(t, id, subjects.ExecutionWaiting)
			c.suspend(t, id)
		}
		c.advance(t, 3*time.Hour)
		_ = c.host.Stop(t)
		c.host = c.bundle.start(t)
		for _, id := range all {
			if e := c.getExecution(t, id); e.Status != subjects.ExecutionSuspended || c.countEvents(t, id, "timer_fired") != 0 {
				t.Errorf("suspended execution %s has continued: it is %s", id, e.Status)
			}
			c.resume(t, id)
		}
		wantOutput(t, c.awaitStatus(t, waits.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"get"`)
		c.awaitStatus(t, inTime.ID, subjects.ExecutionCompleted)
		wantFault(t, c.awaitStatus(t, late.ID, subjects.ExecutionFaulted, subjects.ExecutionCompleted), "timeout", 408)

		again := c.startNew(t, "- rest: {wait: {hours: 1}}\n", `{}`)
		c.awaitStatus(t, again.ID, subjects.ExecutionWaiting)
		c.suspend(t, again.ID)
		if e := c.resume(t, again.ID); e.Status != subjects.ExecutionWaiting {
			t.Errorf("resumed before the wait is over, it is %s", e.Status)
		}
		c.advance(t, time.Hour+time.Second)
		c.awaitStatus(t, again.ID, subjects.ExecutionCompleted)
	})
}

// TestSuspendedListener: an event that comes while its execution is suspended is recorded, and the execution continues with it when it
// is resumed.
func TestSuspendedListener(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		e := b.startNew(t, "- hear: {listen: {to: {one: {with: {type: go.on}}}}, output: {as: '${ .[0].n }'}}\n", `{}`)
		b.awaitStatus(t, e.ID, subjects.ExecutionWaiting)
		b.suspend(t, e.ID)
		_ = b.host.Stop(t)
		b.host = b.start(t)
		b.publishGoOn(t)
		eventually(t, "the event is recorded", func() bool { return b.countEvents(t, e.ID, "event_received") == 1 })
		if s := b.getExecution(t, e.ID); s.Status != subjects.ExecutionSuspended {
			t.Errorf("after the event the execution is %s", s.Status)
		}
		b.resume(t, e.ID)
		wantOutput(t, b.awaitStatus(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), "7")
	})
}

// TestSuspendedApproval: a decision that is made while its execution is suspended is recorded, and no approval is requested twice.
func TestSuspendedApproval(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		decided := b.startNew(t, "- ask: {call: approval.request, with: {title: a}, output: {as: .decision}}\n", `{}`)
		open := b.startNew(t, "- ask: {call: approval.request, with: {title: b}, output: {as: .decision}}\n", `{}`)
		first, second := b.pendingApproval(t, decided.ID), b.pendingApproval(t, open.ID)
		for _, id := range []string{decided.ID, open.ID} {
			b.awaitStatus(t, id, subjects.ExecutionWaiting)
			b.suspend(t, id)
		}
		_ = b.host.Stop(t)
		b.host = b.start(t)
		b.decide(t, first.ID, "approve", "")
		if s := b.getExecution(t, decided.ID); s.Status != subjects.ExecutionSuspended {
			t.Errorf("after the decision the execution is %s", s.Status)
		}
		b.resume(t, decided.ID)
		wantOutput(t, b.awaitStatus(t, decided.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"approved"`)
		b.resume(t, open.ID)
		b.awaitStatus(t, open.ID, subjects.ExecutionWaiting)
		b.decide(t, second.ID, "reject", "")
		wantOutput(t, b.awaitStatus(t, open.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"rejected"`)
		page := call(t, b, subjects.ListApprovals, subjects.ListApprovalsRequest{})
		if len(page.Items) != 2 {
			t.Errorf("%d approvals were requested, want 2", len(page.Items))
		}
	})
}

// TestSuspendedParent: a suspended execution that is cancelled cancels the child that it waits for.
func TestSuspendedParent(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		document := strings.Replace(workflowOf("- rest: {wait: {hours: 1}}\n"), "name: story", "name: child", 1)
		child := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, document)}).ID
		parent := b.startNew(t, "- inner: {run: {workflow: {namespace: test, name: child, version: '0.1.0'}}}\n", `{}`)
		eventually(t, "the child waits", func() bool { return b.statuses(t, child)[subjects.ExecutionWaiting] == 1 })
		b.awaitStatus(t, parent.ID, subjects.ExecutionWaiting)
		b.suspend(t, parent.ID)
		call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: parent.ID})
		eventually(t, "the child is cancelled", func() bool { return b.statuses(t, child)[subjects.ExecutionCancelled] == 1 })
	})
}

// TestSuspendedPending: an execution that waits for its workflow's limits can be suspended. Others then start before it, and it
// queues again when it is resumed.
func TestSuspendedPending(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		kill := b.startKillable(t)
		id := b.createLimited(t, "{concurrency: {limit: 1}}", "- hear: {listen: {to: {one: {with: {type: go.on}}}}}\n")
		first, second, third := b.startExecution(t, id, "{}"), b.startExecution(t, id, "{}"), b.startExecution(t, id, "{}")
		b.awaitStatus(t, first, subjects.ExecutionWaiting)
		b.suspend(t, second)
		b.suspend(t, second)
		kill()
		b.host = b.start(t)
		want := func(when string, statuses ...string) {
			t.Helper()
			for i, execution := range []string{first, second, third} {
				if e := b.getExecution(t, execution); e.Status != statuses[i] {
					t.Errorf("%s, execution %d is %s, want %s", when, i+1, e.Status, statuses[i])
				}
			}
		}
		want("after the crash", "waiting", "suspended", "pending")
		_ = b.host.Stop(t)
		b.host = b.start(t)
		want("after a restart", "waiting", "suspended", "pending")
		b.publishGoOn(t)
		b.awaitStatus(t, third, subjects.ExecutionWaiting)
		want("once the first has ended", "completed", "suspended", "waiting")
		if e := b.resume(t, second); e.Status != subjects.ExecutionPending {
			t.Errorf("resumed while another runs, it is %s", e.Status)
		}
		b.publishGoOn(t)
		b.awaitStatus(t, second, subjects.ExecutionWaiting)
		last := b.startExecution(t, id, "{}")
		b.suspend(t, last)
		if e := call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: last}); e.Status != subjects.ExecutionCancelled {
			t.Errorf("cancelled while suspended: %+v", e)
		}
		alone := b.startExecution(t, id, "{}")
		b.suspend(t, alone)
		b.publishGoOn(t)
		b.awaitStatus(t, second, subjects.ExecutionCompleted)
		if e := b.resume(t, alone); e.Status != subjects.ExecutionWaiting && e.Status != subjects.ExecutionRunning {
			t.Errorf("resumed while no other runs, it is %s", e.Status)
		}
	})
}

// publishGoOn publishes the event that the executions of a test wait for.
func (b *bundle) publishGoOn(t *testing.T) {
	t.Helper()
	call(t, b, subjects.PublishEvent, subjects.PublishEventRequest{Event: json.RawMessage(
		`{"specversion": "1.0", "id": "` + uuid.NewString() + `", "source": "https://test.example", "type": "go.on", "data": {"n": 7}}`)})
}
