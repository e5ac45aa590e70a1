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
		t.Errorf("suspended, the execution is %s", e.Status)
	}
}

func (b *bundle) resume(t *testing.T, id string) subjects.Execution {
	t.Helper()
	return call(t, b, subjects.ResumeExecution, subjects.ExecutionRequest{ExecutionID: id})
}

// recorded tells how many events of a type an execution's history has.
func (b *bundle) recorded(t *testing.T, id, kind string) (n int) {
	t.Helper()
	page := call(t, b, subjects.GetExecutionHistory, subjects.ExecutionHistoryRequest{ExecutionRequest: subjects.ExecutionRequest{ExecutionID: id}})
	for _, event := range page.Items {
		if event.Type == kind {
			n++
		}
	}
	return n
}

// TestSuspendedWait: a wait that is over while its execution is suspended ends when that is resumed, whoever owns it then. Of
// two times that are over, the one that came first counts.
func TestSuspendedWait(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		rests := c.begin(t, "- rest: {wait: {hours: 1}}\n- say: {call: github.get, output: {as: .action}}\n", `{}`)
		inTime := c.begin(t, "- bounded: {timeout: {after: {hours: 2}}, do: [{rest: {wait: {hours: 1}}}]}\n", `{}`)
		late := c.begin(t, "- bounded: {timeout: {after: {hours: 1}}, do: [{rest: {wait: {hours: 2}}}]}\n", `{}`)
		all := []string{rests.ID, inTime.ID, late.ID}
		for _, id := range all {
			c.until(t, id, subjects.ExecutionWaiting)
			c.suspend(t, id)
		}
		c.advance(t, 3*time.Hour)
		_ = c.host.Stop(t)
		c.host = c.bundle.start(t)
		for _, id := range all {
			if e := c.status(t, id); e.Status != subjects.ExecutionSuspended || c.recorded(t, id, "timer_fired") != 0 {
				t.Errorf("while it was suspended, %s went on: it is %s", id, e.Status)
			}
			c.resume(t, id)
		}
		wantOutput(t, c.until(t, rests.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"get"`)
		c.until(t, inTime.ID, subjects.ExecutionCompleted)
		wantFault(t, c.until(t, late.ID, subjects.ExecutionFaulted, subjects.ExecutionCompleted), "timeout", 408)

		again := c.begin(t, "- rest: {wait: {hours: 1}}\n", `{}`)
		c.until(t, again.ID, subjects.ExecutionWaiting)
		c.suspend(t, again.ID)
		if e := c.resume(t, again.ID); e.Status != subjects.ExecutionWaiting {
			t.Errorf("resumed in time, it is %s", e.Status)
		}
		c.advance(t, time.Hour+time.Second)
		c.until(t, again.ID, subjects.ExecutionCompleted)
	})
}

// TestSuspendedListener: an event that comes while its execution is suspended is kept, and gone on with once that is resumed.
func TestSuspendedListener(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		e := b.begin(t, "- hear: {listen: {to: {one: {with: {type: go.on}}}}, output: {as: '${ .[0].n }'}}\n", `{}`)
		b.until(t, e.ID, subjects.ExecutionWaiting)
		b.suspend(t, e.ID)
		_ = b.host.Stop(t)
		b.host = b.start(t)
		b.goOn(t)
		eventually(t, "the event is kept", func() bool { return b.recorded(t, e.ID, "event_received") == 1 })
		if s := b.status(t, e.ID); s.Status != subjects.ExecutionSuspended {
			t.Errorf("the event made it %s", s.Status)
		}
		b.resume(t, e.ID)
		wantOutput(t, b.until(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), "7")
	})
}

// TestSuspendedApproval: a decision that is made while its execution is suspended is kept too, and nobody is asked twice.
func TestSuspendedApproval(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		decided := b.begin(t, "- ask: {call: approval.request, with: {title: a}, output: {as: .decision}}\n", `{}`)
		open := b.begin(t, "- ask: {call: approval.request, with: {title: b}, output: {as: .decision}}\n", `{}`)
		first, second := b.asked(t, decided.ID), b.asked(t, open.ID)
		for _, id := range []string{decided.ID, open.ID} {
			b.until(t, id, subjects.ExecutionWaiting)
			b.suspend(t, id)
		}
		_ = b.host.Stop(t)
		b.host = b.start(t)
		b.decide(t, first.ID, "approve", "")
		if s := b.status(t, decided.ID); s.Status != subjects.ExecutionSuspended {
			t.Errorf("the decision made it %s", s.Status)
		}
		b.resume(t, decided.ID)
		wantOutput(t, b.until(t, decided.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"approved"`)
		b.resume(t, open.ID)
		b.until(t, open.ID, subjects.ExecutionWaiting)
		b.decide(t, second.ID, "reject", "")
		wantOutput(t, b.until(t, open.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"rejected"`)
		page := call(t, b, subjects.ListApprovals, subjects.ListApprovalsRequest{})
		if len(page.Items) != 2 {
			t.Errorf("%d approvals were asked for", len(page.Items))
		}
	})
}

// TestSuspendedParent: the child that a suspended execution waits for goes on; cancelled, it takes the child along.
func TestSuspendedParent(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		document := strings.Replace(workflowOf("- rest: {wait: {hours: 1}}\n"), "name: story", "name: child", 1)
		child := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, document)}).ID
		parent := b.begin(t, "- inner: {run: {workflow: {namespace: test, name: child, version: '0.1.0'}}}\n", `{}`)
		eventually(t, "the child waits", func() bool { return b.statuses(t, child)[subjects.ExecutionWaiting] == 1 })
		b.until(t, parent.ID, subjects.ExecutionWaiting)
		b.suspend(t, parent.ID)
		call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: parent.ID})
		eventually(t, "the child is cancelled", func() bool { return b.statuses(t, child)[subjects.ExecutionCancelled] == 1 })
	})
}

// TestSuspendedWhileHeldBack: what its workflow's limits hold back can be suspended too. Others begin before it then, and it
// takes its place again when it is resumed.
func TestSuspendedWhileHeldBack(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		kill := b.startMortal(t)
		id := b.createLimited(t, "{concurrency: {limit: 1}}", "- hear: {listen: {to: {one: {with: {type: go.on}}}}}\n")
		first, second, third := b.startOf(t, id, "{}"), b.startOf(t, id, "{}"), b.startOf(t, id, "{}")
		b.until(t, first, subjects.ExecutionWaiting)
		b.suspend(t, second)
		b.suspend(t, second)
		kill()
		b.host = b.start(t)
		want := func(when string, statuses ...string) {
			t.Helper()
			for i, execution := range []string{first, second, third} {
				if e := b.status(t, execution); e.Status != statuses[i] {
					t.Errorf("%s, execution %d is %s, want %s", when, i+1, e.Status, statuses[i])
				}
			}
		}
		want("after the crash", "waiting", "suspended", "pending")
		_ = b.host.Stop(t)
		b.host = b.start(t)
		want("after a restart", "waiting", "suspended", "pending")
		b.goOn(t)
		b.until(t, third, subjects.ExecutionWaiting)
		want("once the first has ended", "completed", "suspended", "waiting")
		if e := b.resume(t, second); e.Status != subjects.ExecutionPending {
			t.Errorf("resumed while another goes on, it is %s", e.Status)
		}
		b.goOn(t)
		b.until(t, second, subjects.ExecutionWaiting)
		last := b.startOf(t, id, "{}")
		b.suspend(t, last)
		if e := call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: last}); e.Status != subjects.ExecutionCancelled {
			t.Errorf("cancelled while it was suspended: %+v", e)
		}
		alone := b.startOf(t, id, "{}")
		b.suspend(t, alone)
		b.goOn(t)
		b.until(t, second, subjects.ExecutionCompleted)
		if e := b.resume(t, alone); e.Status != subjects.ExecutionWaiting && e.Status != subjects.ExecutionRunning {
			t.Errorf("resumed while nothing goes on, it is %s", e.Status)
		}
	})
}

// goOn publishes the event that executions of the test wait for.
func (b *bundle) goOn(t *testing.T) {
	t.Helper()
	call(t, b, subjects.PublishEvent, subjects.PublishEventRequest{Event: json.RawMessage(
		`{"specversion": "1.0", "id": "` + uuid.NewString() + `", "source": "https://test.example", "type": "go.on", "data": {"n": 7}}`)})
}
