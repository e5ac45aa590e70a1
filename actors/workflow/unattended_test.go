package workflow_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestUnattendedFailures: what fails while nobody waits for its end is published with its error's type: a start without waiting, a retry, and a
// child that its parent does not await. A request that waits is a request as any other in lists and events.
func TestUnattendedFailures(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		sad := b.createNamed(t, "sad", "- stop: {raise: {error: {type: 'https://example.com/sad', status: 500, title: Sad, detail: private}}}\n")
		fine := b.createNamed(t, "fine", "- done: {set: {ok: true}}\n")
		parent := b.createNamed(t, "parent", "- wait: {run: {workflow: {namespace: test, name: sad, version: '0.1.0'}}}\n")
		detached := b.createNamed(t, "detached", "- go: {run: {workflow: {namespace: test, name: sad, version: '0.1.0'}, await: false}}\n- done: {set: {ok: true}}\n")

		attended := call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: sad})
		if attended.Status != subjects.ExecutionFaulted {
			t.Fatalf("executed: %+v", attended)
		}
		call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: parent})
		call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: detached})
		started := call(t, b, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: sad})
		call(t, b, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: fine})
		retried := call(t, b, subjects.RetryExecution, subjects.RetryExecutionRequest{ExecutionID: attended.ID})

		stream, err := b.mesh.Conn(t, mesh.UserOperator).JS.Stream(t.Context(), subjects.Events.Name)
		if err != nil {
			t.Fatal(err)
		}
		var failures []subjects.ExecutionFailure
		seen := uint64(0)
		actortest.Eventually(t, "three are published", func() bool {
			info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(subjects.ExecutionsFailed.Subject))
			if err != nil {
				t.Fatal(err)
			}
			n := info.State.Subjects[subjects.ExecutionsFailed.Subject]
			if n == seen { // each look at the messages takes a consumer of the stream
				return false
			}
			seen = n
			failures = nil
			for _, data := range b.mesh.Messages(t, subjects.Events.Name, subjects.ExecutionsFailed.Subject) {
				var e subjects.Envelope[subjects.ExecutionFailures]
				if err := json.Unmarshal(data, &e); err != nil || e.UserID != b.user {
					t.Fatalf("event %s: %v", data, err)
				}
				failures = append(failures, e.Data.Executions...)
			}
			return len(failures) >= 3
		})
		var ids []string
		for _, f := range failures {
			ids = append(ids, f.ExecutionID)
			if f.WorkflowID != sad || f.Name != "sad" || f.ErrorType != "https://example.com/sad" || f.EndedAt.IsZero() {
				t.Errorf("failure: %+v", f)
			}
		}
		if len(failures) != 3 || !slices.Contains(ids, started.ID) || !slices.Contains(ids, retried.ID) || slices.Contains(ids, attended.ID) {
			t.Errorf("published %+v", failures)
		}
		for _, f := range b.listFailures(t, subjects.ListFailuresRequest{}) {
			if f.ID == attended.ID && f.Trigger != "" {
				t.Errorf("the trigger of a request that waits is %q", f.Trigger)
			}
		}
	})
}
