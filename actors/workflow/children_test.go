package workflow_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// TestChildrenOfTheEnded: a child goes no further than the execution that waits for it, however that ends, and also where the
// process died that was about to tell it.
func TestChildrenOfTheEnded(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, database actortest.Database) {
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
