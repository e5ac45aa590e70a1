package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamplesOfConsent runs weft with the settings of docs/consent.md, makes every request of the page that shows an answer, in order, and
// compares the answers.
func TestExamplesOfConsent(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/consent.md")
	if err != nil {
		t.Fatal(err)
	}
	settings, _, found := strings.Cut(strings.SplitN(string(page), "```yaml\n", 2)[1], "```")
	if !found {
		t.Fatal("the page has no settings")
	}
	data := t.TempDir()
	file := filepath.Join(data, "weft.yaml")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	program := upProgram(t, data)
	program.args = append(program.args, "--config", file)
	weft := startProgram(t, program)
	if err := weft.stop(); err != nil {
		t.Fatal(err)
	}
	create := exec.CommandContext(t.Context(), weft.path, "admin", "create", "root@example.com", "--data", data)
	create.Env, create.Stdin = cleanEnvironment(testSettings()...), strings.NewReader(password+"\n")
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("weft admin create: %v\n%s", err, out)
	}
	weft = startProgram(t, program)
	admin := newClient(weft.ready.HTTP)
	admin.token = admin.must(t, 200, "POST", "/v1/auth/login", map[string]any{"email": "root@example.com", "password": password}).text(".access_token")
	user, _ := signUp(t, weft.ready.HTTP)
	environment := map[string]string{"WEFT": weft.ready.HTTP, "TOKEN": user.token, "ADMIN": admin.token, "NOTICE_TOKEN": "", "CONSENT_ID": ""}
	examples := answeredExamples(string(page))
	if len(examples) < 10 {
		t.Fatalf("only %d examples", len(examples))
	}
	for _, example := range examples {
		var variables []string
		for name, value := range environment {
			variables = append(variables, name+"="+value)
		}
		output := runExample(t, weft, example.script, variables...)
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
		answer, _ := got.(map[string]any)
		if token, ok := answer["notice_token"].(string); ok {
			environment["NOTICE_TOKEN"] = token
		}
		if id, ok := answer["id"].(string); ok && answer["status"] == "active" {
			environment["CONSENT_ID"] = id
		}
	}
}

// answeredExamples returns the blocks of shell commands that a block of JSON follows.
func answeredExamples(page string) (examples []shellExample) {
	for _, part := range strings.Split(page, "\n```sh\n")[1:] {
		script, rest, _ := strings.Cut(part, "\n```\n")
		if answer, shown := strings.CutPrefix(rest, "```json\n"); shown {
			answer, _, _ = strings.Cut(answer, "\n```")
			examples = append(examples, shellExample{script, answer})
		}
	}
	return examples
}
