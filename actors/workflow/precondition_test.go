package workflow_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestWorkflowPrecondition: of 50 concurrent updates with the same If-Match one succeeds, and a workflow is deleted only at the version
// that the request names.
func TestWorkflowPrecondition(t *testing.T) {
	t.Parallel()
	for _, database := range actortest.Databases(t) {
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, database)
			id := b.create(t, "- a: {set: {x: 0}}\n")
			at := func(version int) subjects.Precondition {
				return subjects.Precondition{IfMatch: fmt.Sprintf(`"%d"`, version)}
			}
			for version := 1; version <= 3; version++ {
				var won atomic.Int64
				var writers sync.WaitGroup
				for n := range 50 {
					writers.Go(func() {
						r := subjects.UpdateWorkflowRequest{
							WorkflowID: id, Definition: yaml(t, workflowOf(fmt.Sprintf("- a: {set: {x: %d}}\n", version*100+n))), Precondition: at(version),
						}
						changed, err := mesh.Call(t.Context(), b.conn, subjects.UpdateWorkflow, r, b.as)
						switch {
						case err == nil && changed.Version == version+1:
							won.Add(1)
						case subjects.CodeOf(err) != subjects.CodePreconditionFailed:
							t.Errorf("version %d: %d, %v", version, changed.Version, err)
						}
					})
				}
				writers.Wait()
				now := call(t, b, subjects.GetWorkflow, subjects.WorkflowVersionRequest{WorkflowID: id})
				if won.Load() != 1 || now.Version != version+1 {
					t.Errorf("version %d: %d of 50 writers succeeded, and the version is %d", version, won.Load(), now.Version)
				}
			}
			wantCode(t, b, subjects.CodePreconditionFailed, subjects.DeleteWorkflow, b.as, subjects.DeleteWorkflowRequest{WorkflowID: id, Precondition: at(3)})
			wantCode(t, b, subjects.CodeInvalid, subjects.DeleteWorkflow, b.as, subjects.DeleteWorkflowRequest{
				WorkflowID: id, Precondition: subjects.Precondition{IfMatch: "4"},
			})
			call(t, b, subjects.DeleteWorkflow, subjects.DeleteWorkflowRequest{WorkflowID: id, Precondition: at(4)})
			wantCode(t, b, subjects.CodeNotFound, subjects.DeleteWorkflow, b.as, subjects.DeleteWorkflowRequest{WorkflowID: id, Precondition: at(4)})
		})
	}
}
