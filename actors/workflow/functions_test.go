package workflow_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// TestListFunctions: weft's own functions have valid schemas; a provider's actions take a connection.
func TestListFunctions(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	list := call(t, b, subjects.ListFunctions, subjects.ListFunctionsRequest{})
	var names []string
	for _, f := range list.Items {
		names = append(names, f.Name)
		for _, schema := range []map[string]any{f.Input, f.Output} {
			compiler := jsonschema.NewCompiler()
			if err := compiler.AddResource("schema.json", schema); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			if _, err := compiler.Compile("schema.json"); err != nil || f.Doc == "" {
				t.Errorf("%s has the description %q and a schema with the error %v", f.Name, f.Doc, err)
			}
		}
	}
	if want := []string{"approval.request", "consent.require", "echo", "notification.send", "workflow.start"}; !slices.Equal(names, want) {
		t.Errorf("the functions are %v, want %v", names, want)
	}
	list = call(t, b, subjects.ListFunctions, subjects.ListFunctionsRequest{Provider: "github"})
	if len(list.Items) != len(stubActions["github"]) || list.Items[0].Name != "github.get" || list.Items[0].Safety != "read" {
		t.Fatalf("the provider's functions are %+v", list.Items)
	}
	properties, _ := list.Items[0].Input["properties"].(map[string]any)
	if properties["connection"] == nil || properties["repo"] == nil {
		t.Errorf("the arguments are %v", list.Items[0].Input)
	}
	wantCode(t, b, subjects.CodeNotFound, subjects.ListFunctions, b.as, subjects.ListFunctionsRequest{Provider: "nobody"})
}

func TestWorkflowStart(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		target := b.create(t, "- say: {call: echo, with: {got: '${ .n }'}}\n")
		byID := b.run(t, fmt.Sprintf("- go: {call: workflow.start, with: {workflow_id: %s, input: {n: 1}}}\n", target), `{}`)
		call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: named(t, "target", "", "- say: {call: echo, with: {got: '${ .n }'}}\n")})
		byName := b.run(t, "- go: {call: workflow.start, with: {namespace: tests, name: target, version: '1.0.0', input: {n: 2}}}\n", `{}`)
		var started struct {
			ExecutionID string `json:"execution_id"`
		}
		if err := json.Unmarshal(byID.Output, &started); err != nil {
			t.Fatalf("output %s, %+v: %v", byID.Output, byID.Error, err)
		}
		wantOutput(t, b.awaitStatus(t, started.ExecutionID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `{"got":1}`)
		if byName.Status != subjects.ExecutionCompleted {
			t.Errorf("starting by name failed with %+v", byName.Error)
		}
		for _, with := range []string{"{}", "{workflow_id: here}", "{workflow_id: " + target + ", name: story}", "{name: story}"} {
			wantFault(t, b.run(t, "- go: {call: workflow.start, with: "+with+"}\n", `{}`), "validation", 400)
		}
		wantFault(t, b.run(t, "- go: {call: workflow.start, with: {workflow_id: "+actortest.User()+"}}\n", `{}`), "communication", 404)
	})
}
