package workflow_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestLifecycleEvents: executions publish the specification's lifecycle events to their user's workflows that name these types,
// and to nobody else's.
func TestLifecycleEvents(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, actortest.Quiet())
		const heard = "- hear: {listen: {to: {one: {with: {type: io.serverlessworkflow.workflow.completed.v1, data: '${ .output.n == 7 }'}}}, read: envelope}}\n"
		listener := b.startNew(t, heard, `{}`)
		every := b.startNew(t, "- hear: {listen: {to: {any: []}}}\n", `{}`)
		user := actortest.User()
		other := mesh.As{Token: b.mesh.Token(t, user)}
		b.mesh.Consent(t, user, subjects.ScopeWorkflowsExecute)
		var stranger subjects.Execution
		b.with(other, func() {
			stranger = b.startNew(t, heard, `{}`)
			b.awaitStatus(t, stranger.ID, "waiting")
		})
		b.awaitStatus(t, listener.ID, "waiting")
		done := b.run(t, "- a: {set: {n: 7}}\n", `{}`)
		wantStatus(t, done, "completed")
		e := b.awaitStatus(t, listener.ID, "completed", "faulted")
		var events []struct {
			Subject string          `json:"subject"`
			Data    json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(e.Output, &events); err != nil || len(events) != 1 || events[0].Subject != done.ID ||
			!strings.Contains(string(events[0].Data), `"name":"story-`+done.ID+`.test"`) || !strings.Contains(string(events[0].Data), `"completedAt":"`) {
			t.Errorf("received %s, %v", e.Output, err)
		}
		for id, as := range map[string]mesh.As{every.ID: b.as, stranger.ID: other} {
			b.with(as, func() { wantStatus(t, b.getExecution(t, id), "waiting") })
		}
	})
}

// TestLifecycleEventsDoNotRunAway: a workflow that lifecycle events start, those of its own executions included, runs once for
// each execution that something else started.
func TestLifecycleEventsDoNotRunAway(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0], actortest.Quiet())
	const types = "schedule: {on: {any: [{with: {type: io.serverlessworkflow.workflow.started.v1}}, {with: {type: io.serverlessworkflow.workflow.completed.v1}}]}}\n"
	observer := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{
		Definition: named(t, "observer", types, "- again: {run: {workflow: {namespace: tests, name: helper, version: '1.0.0'}}}\n"),
	}).ID
	call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: named(t, "helper", "", "- a: {set: {x: 1}}\n")})
	runs := func() int {
		return len(call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{WorkflowID: observer}).Items)
	}
	wantStatus(t, b.run(t, "- a: {set: {n: 7}}\n", `{}`), "completed")
	eventually(t, "the observer has run for start and end", func() bool { return runs() == 2 })
	// Whatever the observer's executions and their children published would have been routed before the events of this one.
	wantStatus(t, b.run(t, "- a: {set: {n: 8}}\n", `{}`), "completed")
	eventually(t, "the observer has run for start and end of the second", func() bool { return runs() >= 4 })
	if n := runs(); n != 4 {
		t.Errorf("the observer ran %d times, want 4", n)
	}
}
