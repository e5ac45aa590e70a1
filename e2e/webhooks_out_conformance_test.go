//go:build conformance

package e2e_test

import "testing"

// TestReceiversOfTheDocs runs the receivers of webhooks-out.md that need python3 and node.
func TestReceiversOfTheDocs(t *testing.T) {
	weft := startHooks(t)
	t.Run("python", func(t *testing.T) {
		dir := t.TempDir()
		checkReceiver(t, weft, "v1", dir, "python3", writeReceiver(t, dir, "receiver.py", "python"))
	})
	t.Run("javascript", func(t *testing.T) {
		dir := t.TempDir()
		checkReceiver(t, weft, "v1a", dir, "node", writeReceiver(t, dir, "receiver.mjs", "javascript"))
	})
}
