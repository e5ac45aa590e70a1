package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// shellExample is a block of a document with the answer that it shows.
type shellExample struct{ script, answer string }

// shellExamples returns the blocks of shell commands of a document, each followed by a block of JSON.
func shellExamples(t *testing.T, file string) (examples []shellExample) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(text), "\n```sh\n")[1:] {
		script, rest, _ := strings.Cut(part, "\n```\n")
		answer, found := strings.CutPrefix(rest, "```json\n")
		answer, _, closed := strings.Cut(answer, "\n```")
		if !found || !closed {
			t.Fatalf("%s: no answer follows %s", file, script)
		}
		examples = append(examples, shellExample{script, answer})
	}
	return examples
}

// TestExamplesOfNotifications runs every example of docs/notifications.md and compares the answer with the one that is shown.
func TestExamplesOfNotifications(t *testing.T) {
	t.Parallel()
	_, settings := mailServer(t)
	weft := startWeft(t, t.TempDir(), settings...)
	c, _ := signUp(t, weft.ready.HTTP)
	c.grant(t, "notifications.send")
	examples := shellExamples(t, "../docs/notifications.md")
	if len(examples) < 10 {
		t.Fatalf("only %d examples", len(examples))
	}
	id := ""
	for _, example := range examples {
		output := runExample(t, weft, example.script, "WEFT="+weft.ready.HTTP, "TOKEN="+c.token, "ID="+id)
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
		if answer, ok := got.(map[string]any); ok && answer["notification_id"] != nil {
			id, _ = answer["notification_id"].(string)
		}
	}
}

// runExample runs a block as a shell does, and returns what it prints. A request by the nats CLI is made by the Go client.
func runExample(t *testing.T, weft *running, script string, environment ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", `nats() { printf 'nats\0'; printf '%s\0' "$@"; }`+"\n"+script)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stderr = os.Stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	if arguments, ok := strings.CutPrefix(string(output), "nats\x00req\x00"); ok {
		return natsExample(t, weft, strings.Split(strings.TrimSuffix(arguments, "\x00"), "\x00"))
	}
	return output
}

// natsExample makes the request of `nats req SUBJECT [BODY] -H HEADER`, the arguments in any order.
func natsExample(t *testing.T, weft *running, arguments []string) []byte {
	t.Helper()
	conn := connectAs(t, weft, "operator")
	m := nats.NewMsg(arguments[0])
	for i := 1; i < len(arguments); i++ {
		if arguments[i] != "-H" {
			m.Data = []byte(arguments[i])
			continue
		}
		i++
		name, value, _ := strings.Cut(arguments[i], ":")
		m.Header.Set(name, strings.TrimSpace(value))
	}
	reply, err := conn.RequestMsg(m, waitTimeout)
	if err != nil {
		t.Fatalf("%q: %v", arguments, err)
	}
	return reply.Data
}

// shown compares an answer with what a document shows of it: members may be missing there, and "…" stands for any text. It returns the
// difference, or nothing.
func shown(want, got any, path string) string {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		for name, value := range want {
			if !ok || object[name] == nil && value != nil {
				return fmt.Sprintf("%s.%s is missing", path, name)
			}
			if difference := shown(value, object[name], path+"."+name); difference != "" {
				return difference
			}
		}
		return ""
	case []any:
		list, _ := got.([]any)
		if len(list) != len(want) {
			return fmt.Sprintf("%s has %d items, and %d are shown", path, len(list), len(want))
		}
		for i := range want {
			if difference := shown(want[i], list[i], fmt.Sprintf("%s[%d]", path, i)); difference != "" {
				return difference
			}
		}
		return ""
	}
	if text, ok := got.(string); want == "…" && ok && text != "" || want == got {
		return ""
	}
	return fmt.Sprintf("%s is %v, and %v is shown", path, got, want)
}
