package workflow_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

func TestDefinitionFaults(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		broken := workflowOf("- a: {set: {x: 1}, thn: end}\n- b: {call: nosuchfunction}\n- c: {wait: soon}\n")
		err := wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.as,
			subjects.WorkflowDefinitionRequest{Definition: yaml(t, broken)})
		if len(err.Fields) == 0 || err.Fields[0].Line != 3 || err.Fields[0].Column == 0 || !strings.HasPrefix(err.Fields[0].Pointer, "/do/0/a") {
			t.Errorf("faults %+v", err.Fields)
		}
		v := call(t, b, subjects.ValidateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, broken)})
		if v.Valid || len(v.Faults) < 2 {
			t.Errorf("validated: %+v", v)
		}
		v = call(t, b, subjects.ValidateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, workflowOf("- b: {call: nosuchfunction}\n"))})
		if v.Valid || len(v.Faults) != 1 || v.Faults[0].Code != "reference" || v.Faults[0].Line != 3 || v.Faults[0].Pointer != "/do/0/b/call" {
			t.Errorf("validated: %+v", v)
		}
		for _, unsupported := range []string{
			"- a: {run: {shell: {command: ls}}}\n",
			"- a: {do: [{b: {call: grpc, with: {proto: {endpoint: 'https://a'}, service: {name: a, host: b}, method: c}}}]}\n",
		} {
			err := wantCode(t, b, subjects.CodeUnsupported, subjects.CreateWorkflow, b.as,
				subjects.WorkflowDefinitionRequest{Definition: yaml(t, workflowOf(unsupported))})
			if len(err.Fields) != 1 || err.Fields[0].Line != 3 || err.Fields[0].Code != "unsupported" {
				t.Errorf("%s: faults %+v", unsupported, err.Fields)
			}
		}
		wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.as,
			subjects.WorkflowDefinitionRequest{Definition: json.RawMessage(`[1]`)})
		if page := call(t, b, subjects.ListWorkflows, subjects.ListWorkflowsRequest{}); len(page.Items) != 0 {
			t.Errorf("stored in spite of faults: %+v", page.Items)
		}
	})
}

func TestVersions(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		text := workflowOf("- hold: {call: github.hold}\n- say: {call: echo, with: {version: 1}}\n")
		first := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, text)})
		if first.Version != 1 || first.Source != text || first.Name != "story" || first.Tasks != 2 {
			t.Errorf("created: %+v", first)
		}
		e := call(t, b, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: first.ID})
		<-b.reached
		second := call(t, b, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{
			WorkflowID: first.ID, Definition: json.RawMessage(strings.Replace(string(first.Document), `"version":1`, `"version":2`, 1)),
		})
		if second.Version != 2 || second.Source != "" || second.Digest == first.Digest {
			t.Errorf("updated: %+v", second)
		}
		same := call(t, b, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{WorkflowID: first.ID, Definition: second.Document})
		if same.Version != 2 {
			t.Errorf("the same definition became version %d", same.Version)
		}
		close(b.release)
		wantOutput(t, b.awaitStatus(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `{"version":1}`)
		run := func(version int) subjects.Execution {
			return call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: first.ID, Version: version})
		}
		wantOutput(t, run(0), `{"version":2}`)
		wantOutput(t, run(1), `{"version":1}`)
		versions := call(t, b, subjects.ListWorkflowVersions, subjects.ListWorkflowVersionsRequest{
			WorkflowRequest: subjects.WorkflowRequest{WorkflowID: first.ID}, PageRequest: subjects.PageRequest{Limit: 1},
		})
		if len(versions.Items) != 1 || versions.Items[0].Version != 2 || versions.NextCursor == "" || versions.Items[0].Document != nil {
			t.Errorf("versions: %+v", versions)
		}
		got := call(t, b, subjects.GetWorkflow, subjects.WorkflowVersionRequest{WorkflowID: first.ID, Version: 1})
		if got.Digest != first.Digest {
			t.Errorf("version 1 is now %+v", got)
		}
		wantCode(t, b, subjects.CodeNotFound, subjects.GetWorkflow, b.as, subjects.WorkflowVersionRequest{WorkflowID: first.ID, Version: 9})
		call(t, b, subjects.DeleteWorkflow, subjects.DeleteWorkflowRequest{WorkflowID: first.ID})
		wantCode(t, b, subjects.CodeNotFound, subjects.GetWorkflow, b.as, subjects.WorkflowVersionRequest{WorkflowID: first.ID})
		wantCode(t, b, subjects.CodeNotFound, subjects.ExecuteWorkflow, b.as, subjects.ExecuteWorkflowRequest{WorkflowID: first.ID})
		b.getExecution(t, e.ID)
	})
}

func TestListsPage(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		id := b.create(t, "- a: {set: {x: 1}}\n")
		b.create(t, "- b: {set: {x: 1}}\n")
		for range 5 {
			call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: id})
		}
		if page := call(t, b, subjects.ListWorkflows, subjects.ListWorkflowsRequest{}); len(page.Items) != 2 || page.Items[1].ID != id {
			t.Errorf("workflows: %+v", page.Items)
		}
		seen, cursor := map[string]bool{}, ""
		for {
			page := call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{
				PageRequest: subjects.PageRequest{Limit: 2, Cursor: cursor}, WorkflowID: id,
			})
			for _, e := range page.Items {
				seen[e.ID] = true
			}
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
		if len(seen) != 5 {
			t.Errorf("%d executions on all pages", len(seen))
		}
		wantCode(t, b, subjects.CodeInvalid, subjects.ListExecutions, b.as, subjects.ListExecutionsRequest{
			PageRequest: subjects.PageRequest{Cursor: "nonsense"},
		})
	})
}

func TestBounds(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		id := b.create(t, "- a: {set: {x: 1}}\n")
		large := json.RawMessage(`"` + strings.Repeat("x", b.config.MaxInput) + `"`)
		wantCode(t, b, subjects.CodeTooLarge, subjects.StartExecution, b.as, subjects.StartExecutionRequest{WorkflowID: id, Input: large})
		wide := b.run(t, "- spread: {for: {each: n, in: '${ [range(3000)] }'}, do: [{a: {set: {n: '${ $n }'}}}]}\n", `{}`)
		wantOutput(t, wide, `{"n":2999}`)
		if len(wide.Tasks) != 1000 || wide.TasksOmitted != 2001 {
			t.Errorf("%d tasks are shown and %d omitted, want 1000 and 2001", len(wide.Tasks), wide.TasksOmitted)
		}
		thick := b.run(t, "- a: {set: {text: '${ \"x\" * 200000 }'}}\n- b: {set: '${ . }'}\n- c: {set: '${ . }'}\n- d: {set: {n: 1}}\n", `{}`)
		seen, cursor := 0, ""
		for {
			page := call(t, b, subjects.GetExecutionHistory, subjects.ExecutionHistoryRequest{
				ExecutionRequest: subjects.ExecutionRequest{ExecutionID: thick.ID},
				Limit:            1000, Cursor: cursor,
			})
			seen += len(page.Items)
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
		if seen != 10 {
			t.Errorf("%d events on all pages, want 10", seen)
		}
	})
}
