package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

// TestEdgeBlockRunsAsPasted pastes the block of edge.md into a shell: a hub, an enrolled box and an event at the box. Only the addresses are
// replaced.
func TestEdgeBlockRunsAsPasted(t *testing.T) {
	t.Parallel()
	weft, err := weftBinary()
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer("127.0.0.1:8080", freePort(t), "127.0.0.1:8081", freePort(t), "127.0.0.1:4222", freePort(t),
		"127.0.0.1:4223", freePort(t), "127.0.0.1:7422", freePort(t)).Replace(blockOf(t, "../docs/edge.md", "Try it"))
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(weft, filepath.Join(dir, "bin", "weft")); err != nil {
		t.Fatal(err)
	}
	paste(t, dir, script, "PATH="+filepath.Join(dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"), "WEFT_AUTH_BCRYPT_COST=4",
		"WEFT_DURABILITY=interval", "WEFT_METRICS_PORT=-1")
	text, err := os.ReadFile(filepath.Join(dir, "executions.json"))
	if err != nil {
		t.Fatal(err)
	}
	var page subjects.Page[subjects.Execution]
	if err := json.Unmarshal(text, &page); err != nil || len(page.Items) != 1 {
		t.Errorf("the executions at the edge are %s, %v", text, err)
	}
}
