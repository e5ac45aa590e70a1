//go:build conformance

package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestOperatorUsesTheNATSCLI runs the scripts of an operator and of the user backup with the nats CLI of the version that tools/go.mod pins.
func TestOperatorUsesTheNATSCLI(t *testing.T) {
	t.Parallel()
	cli := filepath.Join(binaries, "nats")
	cmd := exec.CommandContext(context.Background(), "go", "-C", "../tools", "build", "-trimpath", "-o", cli, "github.com/nats-io/natscli/nats")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("building the nats CLI: %v", err)
	}
	runStories(t, []string{"testdata/natscli/operator.txt", "testdata/natscli/backup.txt"}, "SHAPE=one")
}
