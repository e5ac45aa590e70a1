//go:build conformance

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

// TestExtensionsInOtherLanguages serves a function with the examples in JavaScript, whose clients of NATS npm fetches, and in Python, which
// needs python3 with the package cryptography.
func TestExtensionsInOtherLanguages(t *testing.T) {
	for language, start := range map[string]func(t *testing.T, url, key string){
		"javascript": func(t *testing.T, url, key string) {
			dir := t.TempDir()
			install := exec.CommandContext(t.Context(), "npm", "install", "--silent", "--no-audit", "--no-fund", "@nats-io/transport-node@3.4.0", "@nats-io/services@3.0.0-25")
			install.Dir = dir
			if out, err := install.CombinedOutput(); err != nil {
				t.Fatalf("npm install: %v\n%s", err, out)
			}
			example, err := os.ReadFile("../examples/extensions/js/price.mjs")
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "price.mjs"), example, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			startExtension(t, dir, "node", "price.mjs", url, key)
		},
		"python": func(t *testing.T, url, key string) {
			startExtension(t, "../examples/extensions/python", "python3", "-B", "price.py", strings.TrimPrefix(url, "nats://"), key)
		},
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			weft := startWeft(t, data)
			user, _ := signUp(t, weft.ready.HTTP)
			user.grant(t, subjects.ScopeWorkflowsExecute)
			start(t, weft.ready.NATS, enrollExtension(t, weft, data))
			usePrices(t, user)
		})
	}
}
