package workflow_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestUsersTakeTurns: whatever priority one user gives to how many executions, another's waits for one of them at most, for a
// slot and for a call.
func TestUsersTakeTurns(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, waiting string
		change        func(*bundle)
	}{
		{"slot", "workflow_queued_executions", func(b *bundle) { b.config.MaxConcurrent = 1 }},
		{"step", "workflow_queued_steps", func(b *bundle) { b.config.MaxSteps = 1 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
				b := setup(t, database)
				_ = b.host.Stop(t)
				test.change(b)
				b.host = b.start(t)
				create := func(priority int) string {
					return b.createLimited(t, fmt.Sprintf("{priority: %d}", priority), "- first: {if: .first, call: github.hold, then: end}\n- work: {call: github.get, with: {of: '${ .of }'}}\n")
				}
				ada, urgent := b.ada, create(100)
				b.startOf(t, urgent, `{"first": true}`)
				<-b.held
				for range 5 {
					b.startOf(t, urgent, `{"of": "ada"}`)
				}
				bob := actortest.User()
				b.mesh.Consent(t, bob, subjects.ScopeWorkflowsExecute, subjects.ScopeIntegrationsExecute)
				b.ada = mesh.As{Token: b.mesh.Token(t, bob)}
				b.startOf(t, create(-100), `{"of": "bob"}`)
				eventually(t, "the others wait", func() bool { return gauge(t, b.host, test.waiting) == 6 })
				close(b.hold)
				b.ada = ada
				eventually(t, "all are done", func() bool { return b.statuses(t, urgent)[subjects.ExecutionCompleted] == 6 })
				b.mu.Lock()
				defer b.mu.Unlock()
				var order []string
				for _, r := range b.acted {
					if r.Action == "get" {
						order = append(order, string(r.Input))
					}
				}
				if at := slices.Index(order, `{"of":"bob"}`); at < 0 || at > 1 {
					t.Errorf("begun in the order %v", order)
				}
			})
		})
	}
}
