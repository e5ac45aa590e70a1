package workflow_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// TestDocs runs every example of docs/workflows.md.
func TestDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "workflows.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)<!-- run: ([^\n]*) -->\n```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(examples) < 3 || len(examples) != strings.Count(string(page), "```yaml") {
		t.Fatalf("%d of %d examples have a line that says how to run them", len(examples), strings.Count(string(page), "```yaml"))
	}
	b := setup(t, actortest.Databases(t)[0])
	b.putSecret(t, "shop", `{"username": "ada", "password": "open-sesame"}`)
	b.putSecret(t, "key", `"open-sesame"`)
	for _, example := range examples {
		example[2] = strings.ReplaceAll(example[2], "https://api.example.com", b.api.URL)
		var want struct {
			Input, Output json.RawMessage
			Fault         int
		}
		if err := json.Unmarshal([]byte(example[1]), &want); err != nil {
			t.Fatalf("%s: %v", example[1], err)
		}
		w := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, example[2])})
		e := call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: w.ID, Input: want.Input})
		if want.Fault != 0 {
			if e.Status != subjects.ExecutionFaulted || e.Error.Status != want.Fault {
				t.Errorf("%s: the execution is %s: %+v", w.Name, e.Status, e.Error)
			}
			continue
		}
		var output, wanted any
		if err := errors.Join(json.Unmarshal(e.Output, &output), json.Unmarshal(want.Output, &wanted)); err != nil || !reflect.DeepEqual(output, wanted) {
			t.Errorf("%s: the execution is %s: %+v, with output %s, want %s", w.Name, e.Status, e.Error, e.Output, want.Output)
		}
	}
}
