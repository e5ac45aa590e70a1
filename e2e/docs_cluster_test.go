package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestClusterDocumentRunsAsPasted pastes the blocks of docs/cluster.md into a shell, in order. Only the addresses are replaced.
func TestClusterDocumentRunsAsPasted(t *testing.T) {
	t.Parallel()
	weft, err := weftBinary()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := natsServerBinary(); err != nil {
		t.Fatal(err)
	}
	gateway := freePort(t)
	addresses := []string{"127.0.0.1:8080", gateway}
	for _, port := range []string{"4223", "6223", "4224", "6224", "4225", "6225", "4226", "6226"} {
		addresses = append(addresses, port, portOf(freePort(t)))
	}
	replace := strings.NewReplacer(addresses...)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(weft, filepath.Join(dir, "bin", "weft")); err != nil {
		t.Fatal(err)
	}
	settings := []string{"PATH=" + binaries + string(os.PathListSeparator) + os.Getenv("PATH"), "WEFT_AUTH_BCRYPT_COST=4", "WEFT_METRICS_PORT=-1"}
	for _, heading := range []string{"Three servers", "TLS", "Balance", "Add or replace a server"} {
		paste(t, dir, replace.Replace(blockOf(t, "../docs/cluster.md", heading)), settings...)
		if t.Failed() {
			return
		}
		if heading != "Three servers" {
			continue
		}
		var body []byte
		for deadline := time.Now().Add(waitTimeout); body == nil && time.Now().Before(deadline); {
			body = ready200(t, "http://"+gateway+"/readyz")
		}
		if body == nil {
			t.Error("not ready")
		}
	}
}
