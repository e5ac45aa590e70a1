//go:build conformance

package diagram

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// TestExamples renders every example of the specification.
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
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		w, faults := language.Parse(source)
		if len(faults) > 0 {
			t.Fatalf("%s: %v", file, faults)
		}
		if nodes := wellFormed(t, Definition(w)); len(nodes) < 3 {
			t.Errorf("%s: %d nodes", file, len(nodes))
		}
	}
}
