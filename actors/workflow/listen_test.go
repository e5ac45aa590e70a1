package workflow_test

import (
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const listenTasks = `
- hear:
    listen: {to: {one: {with: {type: order.placed}, correlate: {order: {from: "${ .data.id }", expect: "${ .want }"}}}}}
    output: {as: "${ .[0].total }"}
`

// TestListen: an execution takes the event that another one emits if it correlates, and not an event of another user.
func TestListen(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		e := b.startNew(t, listenTasks, `{"want":"7"}`)
		b.awaitStatus(t, e.ID, subjects.ExecutionWaiting)
		eventually(t, "the listener is evicted", func() bool { return metric(t, b.host, "workflow_active_executions") == 0 })
		emit := b.create(t, "- say: {emit: {event: {with: {source: 'https://shop.example', type: order.placed, data: {id: '${ .id }', total: 9}}}}}\n")
		start := func(as mesh.As, workflow, input string) subjects.Execution {
			t.Helper()
			out, err := mesh.Call(t.Context(), b.conn, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{
				WorkflowID: workflow, Input: []byte(input),
			}, as)
			if err != nil || out.Status != subjects.ExecutionCompleted {
				t.Fatalf("emitting: %v, %+v", err, out)
			}
			return out
		}
		start(b.as, emit, `{"id":"6"}`)
		eve := actortest.User()
		b.mesh.Consent(t, eve, subjects.ScopeWorkflowsExecute)
		asEve := mesh.As{Token: b.mesh.Token(t, eve)}
		hers, err := mesh.Call(t.Context(), b.conn, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{
			Definition: yaml(t, workflowOf("- say: {emit: {event: {with: {source: 'https://shop.example', type: order.placed, data: {id: '7', total: 1}}}}}\n")),
		}, asEve)
		if err != nil {
			t.Fatal(err)
		}
		start(asEve, hers.ID, `{}`)
		if s := b.getExecution(t, e.ID); s.Status != subjects.ExecutionWaiting {
			t.Fatalf("an event that does not correlate, or another user's, was taken: %+v", s)
		}
		start(b.as, emit, `{"id":"7"}`)
		wantOutput(t, b.awaitStatus(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `9`)
	})
}
