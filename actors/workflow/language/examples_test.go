//go:build conformance

package language

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runsLater reports whether an example uses a construct that weft does not implement. The run-return examples use
// containers.
func runsLater(name string) bool {
	for _, construct := range []string{"call-asyncapi", "call-grpc", "call-mcp", "run-container", "run-script", "run-shell", "run-return"} {
		if strings.HasPrefix(name, construct) {
			return true
		}
	}
	return false
}

// TestExamples parses every example of the specification, all of which are valid.
func TestExamples(t *testing.T) {
	t.Parallel()
	root := os.Getenv("WEFT_CONFORMANCE")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "conformance")
	}
	files, err := filepath.Glob(filepath.Join(root, "open-workflow", "examples", "*.yaml"))
	if err != nil || len(files) != 68 {
		t.Fatalf("%d examples, want 68; set WEFT_CONFORMANCE (%v)", len(files), err)
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
			if refused := w.Unsupported(); (len(refused) > 0) != runsLater(filepath.Base(file)) && len(w.References()) == 0 {
				t.Errorf("unsupported: %v", refused)
			}
			again, faults := Parse(w.Canonical)
			if len(faults) > 0 || again.Digest != w.Digest {
				t.Fatalf("the canonical form parses as a different definition: %v", faults)
			}
		})
	}
}
