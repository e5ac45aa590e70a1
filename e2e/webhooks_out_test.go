package e2e_test

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// webhooksDocument holds the receivers that the tests run.
const webhooksDocument = "../docs/webhooks-out.md"

// codeIn returns the first fenced block of a language in a document.
func codeIn(t *testing.T, file, language string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, block, opened := strings.Cut(string(text), "\n```"+language+"\n")
	block, _, closed := strings.Cut(block, "\n```\n")
	if !opened || !closed {
		t.Fatalf("%s has no block in %s", file, language)
	}
	return block
}

// writeReceiver writes the receiver of a language to a file and returns its path.
func writeReceiver(t *testing.T, dir, name, language string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(codeIn(t, webhooksDocument, language)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestGoReceiverOfTheDocs runs the receiver in Go of webhooks-out.md, as it is there, against deliveries of weft.
func TestGoReceiverOfTheDocs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	binary := filepath.Join(dir, "receiver")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, writeReceiver(t, dir, "main.go", "go"))
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the receiver: %v\n%s", err, output)
	}
	checkReceiver(t, startHooks(t), "v1", dir, binary)
}

// startHooks starts weft, whose calls may reach this machine.
func startHooks(t *testing.T) *running {
	t.Helper()
	return startProgram(t, upProgram(t, t.TempDir(), "WEFT_METRICS_PORT=-1", "WEFT_EGRESS_ALLOW=127.0.0.0/8", "WEFT_EGRESS_ALLOW_HTTP=true"))
}

// checkReceiver runs a receiver of the docs. It must accept deliveries that are signed with its key, by their ids, also in the overlap of a
// rotation, and refuse those that are signed with another key.
func checkReceiver(t *testing.T, weft *running, signature, dir string, command ...string) {
	t.Helper()
	ada, _ := signUp(t, weft.ready.HTTP)
	listen := freePort(t)
	register := `{"url": "http://` + listen + `/weft", "signature": "` + signature + `"}`
	hook, other := ada.must(t, 201, "POST", "/v1/webhooks", register), ada.must(t, 201, "POST", "/v1/webhooks", register)
	variable, field := "WEBHOOK_SECRET=", ".secret"
	if signature == "v1a" {
		variable, field = "WEBHOOK_PUBLIC_KEY=", ".public_key"
	}
	lines := runReceiver(t, listen, dir, append(os.Environ(), "LISTEN="+listen, variable+hook.text(field)), command)

	path := "/v1/webhooks/" + hook.text(".id")
	for range 2 {
		test := ada.must(t, 200, "POST", path+"/test", `{}`)
		if ok, err := test.holds(".succeeded and .attempt.status == 204"); !ok || err != nil {
			t.Fatalf("a delivery was answered %s", test)
		}
		if line := nextLine(t, lines); line != "verified "+test.text(".event_id") {
			t.Errorf("the receiver wrote %q for %s", line, test)
		}
		ada.must(t, 200, "POST", path+"/secret", `{}`) // the previous key signs along
	}
	refused := ada.must(t, 200, "POST", "/v1/webhooks/"+other.text(".id")+"/test", `{}`)
	if ok, err := refused.holds(".succeeded == false and .attempt.status == 401"); !ok || err != nil {
		t.Errorf("a delivery with another key was answered %s", refused)
	}
}

// runReceiver starts a receiver and returns the lines that it writes.
func runReceiver(t *testing.T, listen, dir string, environ, command []string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	receiver := exec.CommandContext(ctx, command[0], command[1:]...)
	receiver.Dir, receiver.Env, receiver.Stderr = dir, environ, os.Stderr
	output, err := receiver.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 100)
	go func() {
		for scanner := bufio.NewScanner(output); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		cancel()
		_ = receiver.Wait()
	})
	for deadline := time.Now().Add(waitTimeout); ; {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listen)
		if err == nil {
			_ = conn.Close()
			return lines
		}
		if time.Now().After(deadline) {
			t.Fatalf("the receiver does not listen: %v", err)
		}
	}
}

func nextLine(t *testing.T, lines <-chan string) string {
	t.Helper()
	select {
	case line := <-lines:
		return line
	case <-time.After(waitTimeout):
		t.Fatal("the receiver wrote nothing")
		return ""
	}
}
