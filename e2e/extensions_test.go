package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// priced is a workflow that calls a function of the examples of extensions.
const priced = `{"definition":{"document":{"dsl":"1.0.3","namespace":"shop","name":"looked-up","version":"1.0.0"},
	"do":[{"look":{"call":"acme.price","with":{"sku":"${ .sku }"}}}]}}`

// enrollExtension enrolls the extension acme with the command, and returns the file of its key.
func enrollExtension(t *testing.T, weft *running, data string) string {
	t.Helper()
	key := filepath.Join(t.TempDir(), "acme.nk")
	enroll := exec.CommandContext(t.Context(), weft.path, "extension", "enroll", "acme", "--data", data, "--out", key)
	enroll.Env = cleanEnvironment(testSettings()...)
	if out, err := enroll.CombinedOutput(); err != nil {
		t.Fatalf("weft extension enroll: %v\n%s", err, out)
	}
	return key
}

// startExtension runs an example until the test ends: command with the server's address and the key's file. A failed test logs its output.
func startExtension(t *testing.T, dir string, command ...string) {
	t.Helper()
	log, err := os.CreateTemp(binaries, "extension-*.log")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), command[0], command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("%s: %s", command[0], text)
		}
	})
}

// usePrices creates a workflow that calls acme.price once the extension serves it, and runs it.
func usePrices(t *testing.T, user *client) {
	t.Helper()
	var created answer
	err := eventually(func() (bool, string) {
		var err error
		created, err = user.do(t.Context(), "POST", "/v1/workflows", []byte(priced))
		return err == nil && created.status == http.StatusCreated, fmt.Sprint(created.status, " ", string(created.body), err)
	})
	if err != nil {
		t.Fatalf("creating the workflow: %v", err)
	}
	execute := func(sku string) answer {
		return user.must(t, 200, "POST", "/v1/workflows/"+created.text(".id")+"/execute", map[string]any{"input": map[string]any{"sku": sku}})
	}
	if got := execute("a1"); got.text(".status") != "completed" || !strings.Contains(string(got.body), `"price":12.5`) {
		t.Errorf("the execution is %s", got.body)
	}
	if got := execute("b1"); got.text(".status") != "faulted" || !strings.Contains(string(got.body), "there is no article b1") {
		t.Errorf("the execution is %s", got.body)
	}
}

// runPage makes the requests of docs/extensions.md that show an answer, in order, and compares the answers.
func runPage(t *testing.T, weft *running, token string) {
	t.Helper()
	page, err := os.ReadFile("../docs/extensions.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := answeredExamples(string(page))
	if len(examples) != 3 {
		t.Fatalf("the page has %d examples, want 3", len(examples))
	}
	workflow := ""
	for _, example := range examples {
		output := runExample(t, weft, example.script, "WEFT="+weft.ready.HTTP, "TOKEN="+token, "WORKFLOW_ID="+workflow)
		var got, want any
		if err := json.Unmarshal(output, &got); err != nil {
			t.Fatalf("%s\nanswers %s: %v", example.script, output, err)
		}
		if err := json.Unmarshal([]byte(example.answer), &want); err != nil {
			t.Fatalf("%s: %v", example.answer, err)
		}
		if difference := shown(want, got, ""); difference != "" {
			t.Errorf("%s\nanswers %s\n%s", example.script, output, difference)
		}
		if object, ok := got.(map[string]any); ok && workflow == "" {
			workflow, _ = object["id"].(string)
		}
	}
}

// TestExtensionInGo enrolls an extension at a running weft and serves its functions with the example in Go. Revoked, they cannot be called.
func TestExtensionInGo(t *testing.T) {
	t.Parallel()
	example, err := build("extension-go", "github.com/weftmesh/weft/examples/extensions/go")
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	weft := startWeft(t, data)
	user, _ := signUp(t, weft.ready.HTTP)
	user.grant(t, subjects.ScopeWorkflowsExecute)
	startExtension(t, "", example, weft.ready.NATS, enrollExtension(t, weft, data))
	usePrices(t, user)
	runPage(t, weft, user.token)
	// A function that takes longer than its heartbeat interval, whose end is an event.
	user.must(t, 201, "POST", "/v1/workflows", `{"definition":{"document":{"dsl":"1.0.3","namespace":"shop","name":"told","version":"1.0.0"},
		"schedule":{"on":{"one":{"with":{"type":"ext.acme.reported"}}}},"do":[{"keep":{"set":"${ .[0].data }"}}]}}`)
	report := user.must(t, 201, "POST", "/v1/workflows", `{"definition":{"document":{"dsl":"1.0.3","namespace":"shop","name":"report","version":"1.0.0"},
		"do":[{"make":{"call":"acme.report","with":{"seconds":3.5}}}]}}`)
	if got := user.must(t, 200, "POST", "/v1/workflows/"+report.text(".id")+"/execute", "{}"); !strings.Contains(string(got.body), `"pages":3`) {
		t.Errorf("the execution is %s", got.body)
	}
	err = eventually(func() (bool, string) {
		list, err := user.do(t.Context(), "GET", "/v1/executions?limit=50", nil)
		return strings.Count(string(list.body), `"completed"`) == 4, fmt.Sprint(string(list.body), err)
	})
	if err != nil {
		t.Errorf("the event has started nothing: %v", err)
	}
	revoke := exec.CommandContext(t.Context(), weft.path, "extension", "revoke", "acme", "--data", data)
	revoke.Env = cleanEnvironment(testSettings()...)
	if out, err := revoke.CombinedOutput(); err != nil {
		t.Fatalf("weft extension revoke: %v\n%s", err, out)
	}
	err = eventually(func() (bool, string) {
		// The server may be reloading, and then drops the answers of requests under way.
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		got, err := user.do(ctx, "POST", "/v1/workflows/"+report.text(".id")+"/execute", []byte(`{"input":{"seconds":0}}`))
		return strings.Contains(string(got.body), "is not enrolled any more"), fmt.Sprint(string(got.body), err)
	})
	if err != nil {
		t.Errorf("after it was revoked: %v", err)
	}
}
