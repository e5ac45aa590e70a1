//go:build conformance

package language

import (
	"os"
	"path/filepath"
	"testing"
)

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
			again, faults := Parse(w.Canonical)
			if len(faults) > 0 || again.Digest != w.Digest {
				t.Fatalf("the canonical form reads as another definition: %v", faults)
			}
		})
	}
}
