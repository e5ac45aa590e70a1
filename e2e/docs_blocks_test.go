package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// blockOf returns the first fenced block below a heading of a document.
func blockOf(t *testing.T, file, heading string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, below, found := strings.Cut(string(text), "\n## "+heading+"\n")
	_, block, opened := strings.Cut(below, "\n```\n")
	block, _, closed := strings.Cut(block, "\n```")
	if !found || !opened || !closed {
		t.Fatalf("%s has no block below %q", file, heading)
	}
	return block
}

// TestBlocksForManyProcessesRunAsPasted pastes the blocks of README and operations.md into a shell. Only the addresses are replaced, so
// that they are free here; the metrics ports are the defaults.
func TestBlocksForManyProcessesRunAsPasted(t *testing.T) {
	t.Parallel()
	weft, err := weftBinary()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := natsServerBinary(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, heading string }{{"../README.md", "On a cluster"}, {"../docs/operations.md", "Many processes"}} {
		t.Run(filepath.Base(c.file), func(t *testing.T) {
			t.Parallel()
			nats, gateway := freePort(t), freePort(t)
			script := strings.NewReplacer("127.0.0.1:4222", nats, ":8080", gateway).Replace(blockOf(t, c.file, c.heading))
			if strings.Contains(script, "#") {
				t.Error("the block has a comment, which an interactive zsh takes for arguments")
			}
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "bin"), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(weft, filepath.Join(dir, "bin", "weft")); err != nil {
				t.Fatal(err)
			}
			paste(t, dir, script, "PATH="+binaries+string(os.PathListSeparator)+os.Getenv("PATH"), "WEFT_NATS_LISTEN="+nats,
				"WEFT_NATS_URL=nats://"+nats, "WEFT_AUTH_BCRYPT_COST=4")
			var body []byte
			for deadline := time.Now().Add(waitTimeout); time.Now().Before(deadline); {
				if body = ready200(t, "http://"+gateway+"/readyz"); body != nil {
					break
				}
			}
			var readiness struct {
				Actors map[string]any `json:"actors"`
			}
			if err := json.Unmarshal(body, &readiness); err != nil || len(readiness.Actors) != len(subjects.Actors()) {
				t.Errorf("not ready: %s, %v", body, err)
			}
		})
	}
}

// paste runs a script whose programs run in the background, and ends them with the test.
func paste(t *testing.T, dir, script string, settings ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), "bash", "-euo", "pipefail")
	cmd.Stdin, cmd.Dir, cmd.Env = strings.NewReader(script), dir, cleanEnvironment(settings...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("the log: %s", text[max(0, len(text)-8000):])
		}
	})
	if err := cmd.Wait(); err != nil {
		t.Errorf("a command of the block failed: %v", err)
	}
}

// ready200 returns the body of an answer with status 200, otherwise nil.
func ready200(t *testing.T, url string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		<-time.After(20 * time.Millisecond)
		return nil
	}
	defer func() { _ = response.Body.Close() }()
	var body bytes.Buffer
	_, _ = body.ReadFrom(response.Body)
	if response.StatusCode != http.StatusOK {
		<-time.After(20 * time.Millisecond)
		return nil
	}
	return body.Bytes()
}
