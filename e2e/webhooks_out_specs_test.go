//go:build specs

package e2e_test

import (
	"os/exec"
	"testing"
)

// TestTypeScriptReceiverOfTheDocs runs the receiver of webhooks-out.md that needs node, and npm, which fetches the library of Standard Webhooks.
func TestTypeScriptReceiverOfTheDocs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	source := writeReceiver(t, dir, "receiver.ts", "typescript")
	for _, command := range [][]string{
		{"npm", "install", "--silent", "--no-audit", "--no-fund", "standardwebhooks@1.0.0", "esbuild@0.25.12"},
		{"node_modules/.bin/esbuild", source, "--format=esm", "--outfile=receiver.mjs"},
	} {
		run := exec.CommandContext(t.Context(), command[0], command[1:]...)
		run.Dir = dir
		if output, err := run.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, output)
		}
	}
	checkReceiver(t, startHooks(t), "v1", dir, "node", "receiver.mjs")
}
