package workflow_test

import (
	"encoding/json"
	"os"
	"path/filepath"
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
		t.Fatalf("%d examples are run of %d", len(examples), strings.Count(string(page), "```yaml"))
	}
	b := setup(t, actortest.Databases(t)[0])
	b.putSecret(t, "shop", `{"username": "ada", "password": "open-sesame"}`)
	b.putSecret(t, "key", `"open-sesame"`)
	for _, example := range examples {
		example[2] = strings.ReplaceAll(example[2], "https://api.example.com", b.api.URL)
		var want struct{ Input, Output json.RawMessage }
		if err := json.Unmarshal([]byte(example[1]), &want); err != nil {
			t.Fatalf("%s: %v", example[1], err)
		}
		w := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, example[2])})
		e := call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: w.ID, Input: want.Input})
		wantOutput(t, e, strings.ReplaceAll(string(want.Output), ": ", ":"))
	}
}
