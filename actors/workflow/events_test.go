package workflow_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const listener = `
- hear:
    listen: {to: {one: {with: {type: order.placed}, correlate: {order: {from: "${ .data.id }", expect: "${ .want }"}}}}}
    output: {as: "${ .[0].total }"}
`

// TestListen waits for an event that another execution emits; one of another user, and one of another order, is not taken.
func TestListen(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		e := b.begin(t, listener, `{"want":"7"}`)
		b.until(t, e.ID, subjects.ExecutionWaiting)
		eventually(t, "the listener is parked", func() bool { return gauge(t, b.host, "workflow_active_executions") == 0 })
		emit := b.create(t, "- say: {emit: {event: {with: {source: 'https://shop.example', type: order.placed, data: {id: '${ .id }', total: 9}}}}}\n")
		start := func(as mesh.As, workflow, input string) subjects.Execution {
			t.Helper()
			out, err := mesh.Call(t.Context(), b.caller, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{
				WorkflowID: workflow, Input: []byte(input),
			}, as)
			if err != nil || out.Status != subjects.ExecutionCompleted {
				t.Fatalf("emitting: %v, %+v", err, out)
			}
			return out
		}
		start(b.ada, emit, `{"id":"6"}`)
		eve := actortest.User()
		b.mesh.Consent(t, eve, subjects.ScopeWorkflowsExecute)
		asEve := mesh.As{Token: b.mesh.Token(t, eve)}
		hers, err := mesh.Call(t.Context(), b.caller, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{
			Definition: yaml(t, workflowOf("- say: {emit: {event: {with: {source: 'https://shop.example', type: order.placed, data: {id: '7', total: 1}}}}}\n")),
		}, asEve)
		if err != nil {
			t.Fatal(err)
		}
		start(asEve, hers.ID, `{}`)
		if s := b.status(t, e.ID); s.Status != subjects.ExecutionWaiting {
			t.Fatalf("another's event was taken: %+v", s)
		}
		start(b.ada, emit, `{"id":"7"}`)
		wantOutput(t, b.until(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `9`)
	})
}

// TestChild runs a workflow inside another one: its output, its fault and its cancelling are the task's.
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
			t.Errorf("a child that is not there: %+v", e.Error)
		}
		parent := b.begin(t, run("holds"), `{}`)
		<-b.held
		b.until(t, parent.ID, subjects.ExecutionWaiting)
		call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: parent.ID})
		eventually(t, "the child is cancelled too", func() bool {
			return len(call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{Status: "cancelled"}).Items) == 2
		})
		close(b.hold)
	})
}

// TestChildOutlivesItsParentsProcess ends a child while its parent is parked, over a restart of the process.
func TestChildOutlivesItsParentsProcess(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{
			Definition: yaml(t, strings.Replace(workflowOf("- hold: {call: github.hold}\n"), "name: story", "name: holds", 1)),
		})
		_ = b.host.Stop(t)
		kill := b.startMortal(t)
		parent := b.begin(t, "- inner: {run: {workflow: {namespace: test, name: holds, version: latest}}, output: {as: '${ .action }'}}\n", `{}`)
		<-b.held
		b.until(t, parent.ID, subjects.ExecutionWaiting)
		kill()
		b.start(t)
		<-b.held
		close(b.hold)
		wantOutput(t, b.until(t, parent.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"hold"`)
		if n := len(call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{}).Items); n != 2 {
			t.Errorf("%d executions, want the parent and one child", n)
		}
	})
}

// TestUnknown cuts an actor off in the middle of calls that must not be made twice: what became of them is unknown, and
// said so.
func TestUnknown(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		kill := b.startMortal(t)
		e := b.begin(t, "- pay: {call: github.hold_once}\n", `{}`)
		<-b.held
		kill()
		b.start(t)
		got := b.until(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted)
		if got.Status != subjects.ExecutionFaulted || got.Error.Type != "urn:weft:error:unknown-outcome" {
			t.Errorf("the execution is %s with %+v", got.Status, got.Error)
		}
		if n := len(b.actions("hold_once")); n != 1 {
			t.Errorf("the call was made %d times", n)
		}
		close(b.hold)
	})
}
