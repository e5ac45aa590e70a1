package workflow_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestDiagrams: a workflow is drawn in the requested version, an execution with its progress; both only for their owner.
func TestDiagrams(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	running := b.startNew(t, "- ask: {call: github.hold}\n- say: {call: echo, with: {n: 1}}\n", `{}`)
	<-b.reached
	workflow := subjects.WorkflowVersionRequest{WorkflowID: running.WorkflowID}
	wantDrawn(t, call(t, b, subjects.GetWorkflowDiagram, workflow), `n1["ask<br/>github.hold"]`, `n2["say<br/>echo"]`)
	execution := subjects.ExecutionRequest{ExecutionID: running.ID}
	wantDrawn(t, call(t, b, subjects.GetExecutionDiagram, execution), `n1["ask<br/>github.hold<br/>running"]`, `n2["say<br/>echo"]`)
	close(b.release)
	b.awaitStatus(t, running.ID, subjects.ExecutionCompleted)
	wantDrawn(t, call(t, b, subjects.GetExecutionDiagram, execution), `n2["say<br/>echo<br/>completed"]`, "class start,n1,n2,done completed")

	call(t, b, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{
		WorkflowID: running.WorkflowID, Definition: yaml(t, workflowOf("- other: {set: {x: 1}}\n")),
	})
	wantDrawn(t, call(t, b, subjects.GetWorkflowDiagram, workflow), `n1["other<br/>set x"]`)
	workflow.Version = 1
	wantDrawn(t, call(t, b, subjects.GetWorkflowDiagram, workflow), `github.hold`)
	call(t, b, subjects.DeleteWorkflow, subjects.DeleteWorkflowRequest{WorkflowID: running.WorkflowID})
	wantDrawn(t, call(t, b, subjects.GetExecutionDiagram, execution), `n2["say<br/>echo<br/>completed"]`)

	workflow.Version = 3
	wantCode(t, b, subjects.CodeNotFound, subjects.GetWorkflowDiagram, b.as, workflow)
	eve := mesh.As{Token: b.mesh.Token(t, actortest.User())}
	workflow.Version = 1
	wantCode(t, b, subjects.CodeNotFound, subjects.GetWorkflowDiagram, eve, workflow)
	wantCode(t, b, subjects.CodeNotFound, subjects.GetExecutionDiagram, eve, execution)
}

func wantDrawn(t *testing.T, drawn subjects.Document, texts ...string) {
	t.Helper()
	text := string(drawn.Body)
	if drawn.ContentType != "text/plain; charset=utf-8" || !strings.HasPrefix(text, "flowchart TD\n") {
		t.Errorf("the diagram has the type %s:\n%s", drawn.ContentType, text)
	}
	for _, want := range texts {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not drawn:\n%s", want, text)
		}
	}
}
