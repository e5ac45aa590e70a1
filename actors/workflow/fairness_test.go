package workflow_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestFairnessBetweenUsers: however many executions of high priority one user has, another user's execution waits for at most one
// of them, for an execution slot as for a call slot.
func TestFairnessBetweenUsers(t *testing.T) {
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
				user, urgent := b.as, create(100)
				b.startExecution(t, urgent, `{"first": true}`)
				<-b.reached
				for range 5 {
					b.startExecution(t, urgent, `{"of": "ada"}`)
				}
				bob := actortest.User()
				b.mesh.Consent(t, bob, subjects.ScopeWorkflowsExecute, subjects.ScopeIntegrationsExecute)
				b.as = mesh.As{Token: b.mesh.Token(t, bob)}
				b.startExecution(t, create(-100), `{"of": "bob"}`)
				eventually(t, "the others wait", func() bool { return metric(t, b.host, test.waiting) == 6 })
				close(b.release)
				b.as = user
				eventually(t, "all are done", func() bool { return b.statuses(t, urgent)[subjects.ExecutionCompleted] == 6 })
				b.mu.Lock()
				defer b.mu.Unlock()
				var order []string
				for _, r := range b.actionCalls {
					if r.Action == "get" {
						order = append(order, string(r.Input))
					}
				}
				if at := slices.Index(order, `{"of":"bob"}`); at < 0 || at > 1 {
					t.Errorf("the order of the calls is %v, want the other user's among the first two", order)
				}
			})
		})
	}
}
