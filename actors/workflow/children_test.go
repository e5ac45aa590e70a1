package workflow_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/workflow"
	"github.com/weftmesh/weft/subjects"
)

// TestChildEndsWithParent: a child is cancelled when the parent that waits for it ends, also if the process died before it could
// cancel the child.
func TestChildEndsWithParent(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		document := strings.Replace(workflowOf("- rest: {wait: {hours: 1}}\n"), "name: story", "name: child", 1)
		child := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, document)}).ID
		parent := b.startNew(t, `
- both:
    fork:
      branches:
      - inner: {run: {workflow: {namespace: test, name: child, version: '0.1.0'}}}
      - fail: {do: [{hold: {call: github.hold}}, {fail: {raise: {error: {type: 'https://example.com/sad', status: 500, title: Sad}}}}]}
`, `{}`)
		<-b.reached
		eventually(t, "the child waits", func() bool { return b.statuses(t, child)[subjects.ExecutionWaiting] == 1 })
		close(b.release)
		b.awaitStatus(t, parent.ID, subjects.ExecutionFaulted)
		eventually(t, "the child is cancelled", func() bool { return b.statuses(t, child)[subjects.ExecutionCancelled] == 1 })

		orphan := b.startExecution(t, child, "{}")
		b.awaitStatus(t, orphan, subjects.ExecutionWaiting)
		_ = b.host.Stop(t)
		b.execSQL(t, "UPDATE executions SET parent_id = ?, parent_call = '1' WHERE id = ?", parent.ID, orphan)
		b.host = b.start(t)
		b.awaitStatus(t, orphan, subjects.ExecutionCancelled)
	})
}

// TestAbandonedChild: a child is cancelled when its parent abandons the call, also if the process died before it could cancel the
// child. A child that is waited for continues.
func TestAbandonedChild(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		kill := b.startKillable(t)
		document := strings.Replace(workflowOf("- rest: {wait: {hours: 1}}\n"), "name: story", "name: child", 1)
		child := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, document)}).ID
		const inner = "{run: {workflow: {namespace: test, name: child, version: '0.1.0'}}}"
		race := func(then string) string {
			return b.startNew(t, "- first: {fork: {compete: true, branches: [{slow: "+inner+"}, {fast: {call: github.hold}}]}}\n- then: "+then+"\n", `{}`).ID
		}
		working, waiting := race("{call: github.hold}"), race("{wait: {hours: 1}}")
		waits := b.startNew(t, "- inner: "+inner+"\n", `{}`).ID
		for range 2 {
			<-b.reached
		}
		eventually(t, "the children wait", func() bool { return b.statuses(t, child)[subjects.ExecutionWaiting] == 3 })
		for range 2 {
			b.release <- struct{}{}
		}
		<-b.reached
		b.awaitStatus(t, waiting, subjects.ExecutionWaiting)
		eventually(t, "the children are cancelled", func() bool { return b.statuses(t, child)[subjects.ExecutionCancelled] == 2 })

		orphan := b.startExecution(t, child, "{}")
		b.awaitStatus(t, orphan, subjects.ExecutionWaiting)
		kill()
		b.execSQL(t, "UPDATE executions SET parent_id = ?, parent_call = '9' WHERE id = ?", working, orphan)
		b.host = b.start(t)
		<-b.reached
		b.awaitStatus(t, orphan, subjects.ExecutionCancelled)
		if got := b.statuses(t, child); got[subjects.ExecutionWaiting] != 1 {
			t.Errorf("the children are %v, want one that waits", got)
		}
		close(b.release)
		b.awaitStatus(t, working, subjects.ExecutionCompleted)
		b.awaitStatus(t, waits, subjects.ExecutionWaiting)
	})
}

// TestChildAbandonedDuringStart: a child whose start was in flight when its parent abandoned the call is cancelled.
func TestChildAbandonedDuringStart(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		document := strings.Replace(workflowOf("- rest: {wait: {hours: 1}}\n"), "name: story", "name: child", 1)
		child := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, document)}).ID
		parent := b.create(t, `
- first:
    fork:
      compete: true
      branches:
      - slow: {run: {workflow: {namespace: test, name: child, version: '0.1.0'}}}
      - fast: {call: github.get}
- then: {wait: {hours: 1}}
`)
		for range 30 {
			b.startExecution(t, parent, "{}")
		}
		eventually(t, "the parents wait", func() bool { return b.statuses(t, parent)[subjects.ExecutionWaiting] == 30 })
		eventually(t, "every child has ended", func() bool {
			got := b.statuses(t, child)
			return got[subjects.ExecutionPending]+got[subjects.ExecutionRunning]+got[subjects.ExecutionWaiting] == 0
		})
	})
}

// TestOrphanStartedLate: a process that was paused starts a child after its parent has continued without it. The child starts, and
// is cancelled.
func TestOrphanStartedLate(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		parent := b.startNew(t, "- rest: {wait: {hours: 1}}\n", `{}`).ID
		b.awaitStatus(t, parent, subjects.ExecutionWaiting)
		definition, child := b.create(t, "- rest: {wait: {hours: 2}}\n"), actortest.User()
		var consent string
		db := actortest.OpenDatabase(t, b.db, workflow.Migrations)
		if err := db.NewSelect().TableExpr("executions").Column("consent_id").Where("id = ?", parent).Scan(t.Context(), &consent); err != nil {
			t.Fatal(err)
		}
		command, err := json.Marshal(map[string]any{"operation": "start", "arguments": map[string]any{"row": map[string]any{
			"id": child, "user_id": b.user, "workflow_id": definition, "version": 1, "name": "story", "input": "{}",
			"parent_id": parent, "parent_call": "1", "consent_id": consent, "created_at": time.Now().UnixMicro(),
		}}})
		if err != nil {
			t.Fatal(err)
		}
		conn := b.mesh.Conn(t, "workflow") // any partition will do, as for a child with limits
		if _, err := conn.Forward(t.Context(), subjects.WorkflowPartitionSubject(0), nats.Header{}, command); err != nil {
			t.Fatal(err)
		}
		b.awaitStatus(t, child, subjects.ExecutionCancelled)
		b.awaitStatus(t, parent, subjects.ExecutionWaiting)
	})
}

// TestParentOwnerPaused: if the owner of its parent is paused, a child's end is delivered to the next owner.
func TestParentOwnerPaused(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		proxy := newProxy(t, strings.TrimPrefix(b.mesh.URL(), "nats://"))
		awaitShares(t, b.startThrough(t, proxy), b.start(t))
		document := strings.Replace(workflowOf("- hold: {call: github.hold}\n"), "name: story", "name: child", 1)
		call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, document)})
		parent := b.create(t, "- inner: {run: {workflow: {namespace: test, name: child, version: '0.1.0'}}}\n")
		const parents = 12 // enough for some to have another owner than their children
		for range parents {
			b.startExecution(t, parent, "{}")
		}
		for range parents {
			<-b.reached
		}
		proxy.freeze()
		close(b.release)
		eventually(t, "all parents are completed", func() bool { return b.statuses(t, parent)[subjects.ExecutionCompleted] == parents })
		proxy.thaw()
	})
}

// TestOrphanAfterCrash: the process that started a child died before it had asked whether the parent still waits for it. The next
// owner asks, and cancels the child.
func TestOrphanAfterCrash(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		kill := b.startKillable(t)
		parent := b.startNew(t, "- rest: {wait: {hours: 1}}\n", `{}`).ID
		b.awaitStatus(t, parent, subjects.ExecutionWaiting)
		workflow := b.create(t, "- hold: {call: github.hold}\n")
		child := b.startExecution(t, workflow, "{}")
		<-b.reached
		eventually(t, "the child is running", func() bool { return b.statuses(t, workflow)[subjects.ExecutionRunning] == 1 })
		kill()
		b.execSQL(t, "UPDATE executions SET parent_id = ?, parent_call = '1' WHERE id = ?", parent, child)
		b.host = b.start(t)
		b.awaitStatus(t, child, subjects.ExecutionCancelled)
		b.awaitStatus(t, parent, subjects.ExecutionWaiting)
		close(b.release)
	})
}

// TestChild runs a workflow inside another one. The child's output or fault is the task's, and it is cancelled with the parent.
func TestChild(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		child := func(name, do string) {
			t.Helper()
			call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{
				Definition: yaml(t, strings.Replace(workflowOf(do), "name: story", "name: "+name, 1)),
			})
		}
		child("twice", "- say: {set: {n: '${ .n * 2 }'}}\n")
		child("fails", "- say: {raise: {error: {type: 'https://example.com/sad', status: 418, title: Sad}}}\n")
		child("holds", "- hold: {call: github.hold}\n")
		run := func(name string) string {
			return "- inner: {run: {workflow: {namespace: test, name: " + name + ", version: latest, input: {n: 21}}}}\n"
		}
		wantOutput(t, b.run(t, run("twice"), `{}`), `{"n":42}`)
		if e := b.run(t, run("fails"), `{}`); e.Status != subjects.ExecutionFaulted || e.Error.Status != 418 || e.Error.Instance != "/do/0/inner" {
			t.Errorf("the child's fault is %+v", e.Error)
		}
		if e := b.run(t, run("nobody"), `{}`); e.Status != subjects.ExecutionFaulted || e.Error.Status != 404 {
			t.Errorf("a child that does not exist: %+v", e.Error)
		}
		parent := b.startNew(t, run("holds"), `{}`)
		<-b.reached
		b.awaitStatus(t, parent.ID, subjects.ExecutionWaiting)
		call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: parent.ID})
		eventually(t, "the child is cancelled too", func() bool {
			return len(call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{Status: "cancelled"}).Items) == 2
		})
		close(b.release)
	})
}

// TestChildEndsAfterCrash: a child that ends after a crash completes its parent's call, and is not started again.
func TestChildEndsAfterCrash(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{
			Definition: yaml(t, strings.Replace(workflowOf("- hold: {call: github.hold}\n"), "name: story", "name: holds", 1)),
		})
		_ = b.host.Stop(t)
		kill := b.startKillable(t)
		parent := b.startNew(t, "- inner: {run: {workflow: {namespace: test, name: holds, version: latest}}, output: {as: '${ .action }'}}\n", `{}`)
		<-b.reached
		b.awaitStatus(t, parent.ID, subjects.ExecutionWaiting)
		kill()
		b.start(t)
		<-b.reached
		close(b.release)
		wantOutput(t, b.awaitStatus(t, parent.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"hold"`)
		if n := len(call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{}).Items); n != 2 {
			t.Errorf("%d executions, want the parent and one child", n)
		}
	})
}

// TestAmbiguousNamesAreRefused: a name that several workflows have is a conflict that names them, for run and for workflow.start.
func TestAmbiguousNamesAreRefused(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, actortest.Quiet())
		create := func(version string) string {
			source := strings.Replace(string(named(t, "twin", "", "- a: {set: {x: 1}}\n")), "1.0.0", version, 1)
			return call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: json.RawMessage(source)}).ID
		}
		first := create("1.0.0")
		const run, start = "- c: {run: {workflow: {namespace: tests, name: twin, version: '%'}}}\n", "- c: {call: workflow.start, with: {namespace: tests, name: twin, version: '%'}}\n"
		wantStatus(t, b.run(t, strings.Replace(run, "%", "1.0.0", 1), `{}`), "completed")
		second := create("1.0.0")
		other := create("2.0.0")
		for _, tasks := range []string{run, start} {
			e := b.run(t, strings.Replace(tasks, "%", "1.0.0", 1), `{}`)
			wantFault(t, e, "communication", 409)
			if e.Error == nil || !strings.Contains(e.Error.Detail, first) || !strings.Contains(e.Error.Detail, second) || strings.Contains(e.Error.Detail, other) {
				t.Errorf("the error is %+v, want it to name %s and %s", e.Error, first, second)
			}
			wantStatus(t, b.run(t, strings.Replace(tasks, "%", "2.0.0", 1), `{}`), "completed")
		}
		wantFault(t, b.run(t, strings.Replace(run, "%", "latest", 1), `{}`), "communication", 409)
		call(t, b, subjects.DeleteWorkflow, subjects.DeleteWorkflowRequest{WorkflowID: first})
		wantStatus(t, b.run(t, strings.Replace(run, "%", "1.0.0", 1), `{}`), "completed")
	})
}
