package e2e_test

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBackupFaults: a backup that is killed, or whose disk is full, leaves no archive, nothing that the next one does not remove, and a weft that serves on. A
// stopped weft can be backed up too.
func TestBackupFaults(t *testing.T) {
	t.Parallel()
	data, passphrase, dir := t.TempDir(), passphraseFile(t), t.TempDir()
	weft := startWeft(t, data, backupSettings()...)
	c, _ := signUp(t, weft.ready.HTTP)
	for range 2 {
		killBackup(t, weft.path, time.Duration(rand.IntN(400))*time.Millisecond, "--data", data, "--passphrase-file", passphrase, filepath.Join(dir, "killed.tar"))
	}
	// A process that may write files of 100 KiB only gets the same errors as on a full disk.
	limited := exec.CommandContext(t.Context(), "bash", "-c", `ulimit -f 100 && exec "$@"`, "bash", weft.path, "backup", "--data", data, "--without-keys",
		filepath.Join(dir, "full.tar"))
	limited.Env = cleanEnvironment()
	if out, err := limited.CombinedOutput(); err == nil || limited.ProcessState.ExitCode() != 1 {
		t.Errorf("with a full disk: %v, %s", err, out)
	}
	c.must(t, 200, "GET", "/v1/users/me", nil)
	c.must(t, 200, "PATCH", "/v1/users/me", map[string]any{"first_name": "Ada"})
	mustWeft(t, nil, "backup", "--data", data, "--passphrase-file", passphrase, filepath.Join(dir, "running.tar"))
	if err := weft.stop(); err != nil {
		t.Fatal(err)
	}
	mustWeft(t, nil, "backup", "--data", data, "--without-keys", "--json", filepath.Join(dir, "stopped.tar"))
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
	for _, file := range []string{"running.tar", "stopped.tar"} {
		mustWeft(t, nil, "backup", "verify", filepath.Join(dir, file))
	}
	restored := filepath.Join(t.TempDir(), "data")
	if out, code := runWeft(t, nil, "restore", "--data", restored, filepath.Join(dir, "stopped.tar")); code != 5 || !strings.Contains(out, "--keys-from") {
		t.Errorf("restoring an archive without keys: %d, %s", code, out)
	}
	mustWeft(t, nil, "restore", "--data", restored, "--keys-from", data, filepath.Join(dir, "stopped.tar"))
	again := startWeft(t, restored, backupSettings()...)
	c.url = again.ready.HTTP
	if name := c.must(t, 200, "GET", "/v1/users/me", nil).text(".first_name"); name != "Ada" {
		t.Errorf("the name is %q", name)
	}
}

// killBackup starts a backup and kills it after some time. If it has not ended before, there is no archive.
func killBackup(t *testing.T, path string, after time.Duration, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), path, append([]string{"backup"}, args...)...)
	cmd.Env = cleanEnvironment()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-time.After(after)
	_ = cmd.Process.Kill()
	file := args[len(args)-1]
	if _, exists := os.Stat(file); cmd.Wait() != nil && exists == nil {
		mustWeft(t, nil, "backup", "verify", file) // it was killed between the name and its end
	}
	_ = os.Remove(file)
}
