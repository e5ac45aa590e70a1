package e2e_test

import (
	"os"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/integration"
)

// TestExampleManifestIsValid lints the example of docs/writing-a-provider.md.
func TestExampleManifestIsValid(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/writing-a-provider.md")
	if err != nil {
		t.Fatal(err)
	}
	var example []string
	for line := range strings.SplitSeq(string(page), "\n") {
		if code, indented := strings.CutPrefix(line, "    "); indented || line == "" && len(example) > 0 {
			example = append(example, code)
		} else if strings.HasPrefix(line, "## ") && len(example) > 0 {
			break
		}
	}
	source := strings.Join(example, "\n")
	if faults := integration.Lint("acme_shop.yaml", []byte(source)); len(faults) > 0 || len(example) < 100 {
		t.Errorf("the example of %d lines has the faults %v", len(example), faults)
	}
	if faults := integration.Lint("acme_shop.yaml", []byte(strings.Replace(source, "safety: read", "safety: perhaps", 1))); len(faults) != 1 {
		t.Errorf("the faults of an invalid safety: %v", faults)
	}
}
