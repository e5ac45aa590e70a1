//go:build conformance

package language

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// later tells whether an example is of what weft does not run yet. run-return-* run containers.
func later(name string) bool {
	for _, construct := range []string{"call-asyncapi", "call-grpc", "call-mcp", "run-container", "run-script", "run-shell", "run-return"} {
		if strings.HasPrefix(name, construct) {
			return true
		}
	}
	return false
}

// TestExamples loads every example of the specification: each of them is valid.
func TestExamples(t *testing.T) {
	t.Parallel()
	root := os.Getenv("WEFT_CONFORMANCE")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "conformance")
	}
	files, err := filepath.Glob(filepath.Join(root, "open-workflow", "examples", "*.yaml"))
	if err != nil || len(files) != 68 {
		t.Fatalf("%d examples are there, want 68; set WEFT_CONFORMANCE (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			w, faults := Parse(source)
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			if refused := w.Unsupported(); (len(refused) > 0) != later(filepath.Base(file)) && len(w.References()) == 0 {
				t.Errorf("what is not run: %v", refused)
			}
			again, faults := Parse(w.Canonical)
			if len(faults) > 0 || again.Digest != w.Digest {
				t.Fatalf("the canonical form reads as another definition: %v", faults)
			}
		})
	}
}
