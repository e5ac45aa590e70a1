package workflow_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// TestChildrenOfTheEnded: a child goes no further than the execution that waits for it, however that ends, and also where the
// process died that was about to tell it.
func TestChildrenOfTheEnded(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		document := strings.Replace(workflowOf("- rest: {wait: {hours: 1}}\n"), "name: story", "name: child", 1)
		child := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, document)}).ID
		parent := b.begin(t, `
- both:
    fork:
      branches:
      - inner: {run: {workflow: {namespace: test, name: child, version: '0.1.0'}}}
      - fail: {do: [{hold: {call: github.hold}}, {fail: {raise: {error: {type: 'https://example.com/sad', status: 500, title: Sad}}}}]}
`, `{}`)
		<-b.held
		eventually(t, "the child waits", func() bool { return b.statuses(t, child)[subjects.ExecutionWaiting] == 1 })
		close(b.hold)
		b.until(t, parent.ID, subjects.ExecutionFaulted)
		eventually(t, "the child is cancelled", func() bool { return b.statuses(t, child)[subjects.ExecutionCancelled] == 1 })

		orphan := b.startOf(t, child, "{}")
		b.until(t, orphan, subjects.ExecutionWaiting)
		_ = b.host.Stop(t)
		b.alter(t, "UPDATE executions SET parent_id = ?, parent_call = '1' WHERE id = ?", parent.ID, orphan)
		b.host = b.start(t)
		b.until(t, orphan, subjects.ExecutionCancelled)
	})
}

// TestChildrenGivenUp: a child that its parent has given up and gone on from ends, also where the process died that was about to
// tell it; one that is waited for goes on.
func TestChildrenGivenUp(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		kill := b.startMortal(t)
		document := strings.Replace(workflowOf("- rest: {wait: {hours: 1}}\n"), "name: story", "name: child", 1)
		child := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, document)}).ID
		const inner = "{run: {workflow: {namespace: test, name: child, version: '0.1.0'}}}"
		race := func(then string) string {
			return b.begin(t, "- first: {fork: {compete: true, branches: [{slow: "+inner+"}, {fast: {call: github.hold}}]}}\n- then: "+then+"\n", `{}`).ID
		}
		working, resting := race("{call: github.hold}"), race("{wait: {hours: 1}}")
		waits := b.begin(t, "- inner: "+inner+"\n", `{}`).ID
		for range 2 {
			<-b.held
		}
		eventually(t, "the children wait", func() bool { return b.statuses(t, child)[subjects.ExecutionWaiting] == 3 })
		for range 2 {
			b.hold <- struct{}{}
		}
		<-b.held
		b.until(t, resting, subjects.ExecutionWaiting)
		eventually(t, "the children are cancelled", func() bool { return b.statuses(t, child)[subjects.ExecutionCancelled] == 2 })

		orphan := b.startOf(t, child, "{}")
		b.until(t, orphan, subjects.ExecutionWaiting)
		kill()
		b.alter(t, "UPDATE executions SET parent_id = ?, parent_call = '9' WHERE id = ?", working, orphan)
		b.host = b.start(t)
		<-b.held
		b.until(t, orphan, subjects.ExecutionCancelled)
		if got := b.statuses(t, child); got[subjects.ExecutionWaiting] != 1 {
			t.Errorf("the children are %v, want one that goes on", got)
		}
		close(b.hold)
		b.until(t, working, subjects.ExecutionCompleted)
		b.until(t, waits, subjects.ExecutionWaiting)
	})
}

// TestChildrenBegunInVain: a child whose start was under way when its parent gave it up ends.
func TestChildrenBegunInVain(t *testing.T) {
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
			b.startOf(t, parent, "{}")
		}
		eventually(t, "the parents wait", func() bool { return b.statuses(t, parent)[subjects.ExecutionWaiting] == 30 })
		eventually(t, "no child goes on", func() bool {
			got := b.statuses(t, child)
			return got[subjects.ExecutionPending]+got[subjects.ExecutionRunning]+got[subjects.ExecutionWaiting] == 0
		})
	})
}

// TestChildOfOneThatStoodStill: a process stood still when it was about to have a child started, and the parent has gone on without
// meanwhile: the child is begun, and ends.
func TestChildOfOneThatStoodStill(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		parent := b.begin(t, "- rest: {wait: {hours: 1}}\n", `{}`).ID
		b.until(t, parent, subjects.ExecutionWaiting)
		resting, child := b.create(t, "- rest: {wait: {hours: 2}}\n"), actortest.User()
		command, err := json.Marshal(map[string]any{"operation": "start", "arguments": map[string]any{"row": map[string]any{
			"id": child, "user_id": b.user, "workflow_id": resting, "version": 1, "name": "story", "input": "{}",
			"parent_id": parent, "parent_call": "1", "created_at": time.Now().UnixMicro(),
		}}})
		if err != nil {
			t.Fatal(err)
		}
		asks := b.mesh.Conn(t, "workflow") // in whatever partition a limited workflow has its executions
		if _, err := asks.Forward(t.Context(), subjects.WorkflowPartitionSubject(0), nats.Header{}, command); err != nil {
			t.Fatal(err)
		}
		b.until(t, child, subjects.ExecutionCancelled)
		b.until(t, parent, subjects.ExecutionWaiting)
	})
}

// TestParentsOwnerStandsStill: a child that ends is told to whoever has its parent next, where who has it now stands still.
func TestParentsOwnerStandsStill(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		line := newLine(t, strings.TrimPrefix(b.mesh.URL(), "nats://"))
		still, other := b.startOver(t, line), b.start(t)
		eventually(t, "both have their share", func() bool {
			return gauge(t, still, "workflow_partitions") == gauge(t, other, "workflow_partitions")
		})
		document := strings.Replace(workflowOf("- hold: {call: github.hold}\n"), "name: story", "name: child", 1)
		call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, document)})
		parent := b.create(t, "- inner: {run: {workflow: {namespace: test, name: child, version: '0.1.0'}}}\n")
		const parents = 12 // some are of the one and their children of the other
		for range parents {
			b.startOf(t, parent, "{}")
		}
		for range parents {
			<-b.held
		}
		line.freeze()
		close(b.hold)
		eventually(t, "all go on", func() bool { return b.statuses(t, parent)[subjects.ExecutionCompleted] == parents })
		line.thaw()
	})
}

// TestChildOfOneThatDied: who began a child died before it had asked whether the child is waited for; who follows asks.
func TestChildOfOneThatDied(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		kill := b.startMortal(t)
		parent := b.begin(t, "- rest: {wait: {hours: 1}}\n", `{}`).ID
		b.until(t, parent, subjects.ExecutionWaiting)
		holding := b.create(t, "- hold: {call: github.hold}\n")
		child := b.startOf(t, holding, "{}")
		<-b.held
		eventually(t, "the child goes on", func() bool { return b.statuses(t, holding)[subjects.ExecutionRunning] == 1 })
		kill()
		b.alter(t, "UPDATE executions SET parent_id = ?, parent_call = '1' WHERE id = ?", parent, child)
		b.host = b.start(t)
		b.until(t, child, subjects.ExecutionCancelled)
		b.until(t, parent, subjects.ExecutionWaiting)
		close(b.hold)
	})
}
