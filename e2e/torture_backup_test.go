//go:build torture

package e2e_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
)

// TestBackupStorm backs up and restores a weft under load again and again for WEFT_TORTURE_DURATION, each time from the restored copy.
func TestBackupStorm(t *testing.T) {
	passphrase, dir, data := passphraseFile(t), t.TempDir(), t.TempDir()
	rounds := 0
	for end := time.Now().Add(tortureDuration(t)); rounds == 0 || time.Now().Before(end); rounds++ {
		weft := startWeft(t, data, backupSettings()...)
		load := startBackupLoad(t, weft.ready.HTTP)
		actortest.Eventually(t, "load", func() bool { return load.count() > backupLoaded || t.Failed() })
		began := time.Now()
		file := filepath.Join(dir, fmt.Sprint(rounds, ".tar"))
		mustWeft(t, nil, "backup", "--data", data, "--passphrase-file", passphrase, file)
		load.stop()
		weft.kill()
		data = filepath.Join(t.TempDir(), "data")
		mustWeft(t, nil, "restore", "--data", data, "--passphrase-file", passphrase, file)
		again := startWeft(t, data, backupSettings()...)
		load.verify(t, again.ready.HTTP, began)
		verifyLedger(t, again.ready.HTTP)
		again.kill()
		if t.Failed() {
			return
		}
	}
	t.Logf("%d rounds", rounds)
}

// TestBackupMemory backs up a stream of some hundred MiB, and verifies and restores the archive: the memory of these commands does not grow with it.
func TestBackupMemory(t *testing.T) {
	const messages, size, limit = 300, 1 << 20, 400 << 20
	data, passphrase, file := t.TempDir(), passphraseFile(t), filepath.Join(t.TempDir(), "weft.tar")
	weft := startWeft(t, data, append(backupSettings(), "WEFT_DURABILITY=interval")...)
	dir := filepath.Join(data, "nats")
	seed, err := embedded.LoadSeed(dir, "auth")
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := embedded.LoadKeyring(dir)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := mesh.Connect(t.Context(), mesh.Options{URL: weft.ready.NATS, User: "auth", Seed: seed, Keyring: keyring})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	block := make([]byte, size)
	for n := range block {
		block[n] = byte(n*n + n>>8) // little that compresses
	}
	for range messages {
		if _, err := conn.JS.Publish(t.Context(), "weft.audit.v1.auth.large", block); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"backup", "--data", data, "--passphrase-file", passphrase, file}, {"backup", "verify", file},
		{"restore", "--data", filepath.Join(t.TempDir(), "data"), "--passphrase-file", passphrase, file},
	} {
		began := time.Now()
		cmd := exec.CommandContext(t.Context(), weft.path, args...)
		cmd.Env = cleanEnvironment()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		usage, _ := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		peak := usage.Maxrss << 10
		t.Logf("weft %s %s: %d MiB at most, %s", args[0], args[1], peak>>20, time.Since(began).Round(time.Millisecond))
		if peak > limit {
			t.Errorf("weft %s took %d MiB for a stream of %d MiB", args[0], peak>>20, messages)
		}
	}
}
