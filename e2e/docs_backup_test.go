package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBackupBlocksRunAsPasted pastes the blocks of backup.md into a shell, beside a running weft.
func TestBackupBlocksRunAsPasted(t *testing.T) {
	t.Parallel()
	weft, err := weftBinary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	original := startWeft(t, filepath.Join(dir, "weft-data"), backupSettings()...)
	signUp(t, original.ready.HTTP)
	file, gateway := "../docs/backup.md", freePort(t)
	script := blockOf(t, file, "One machine") + "\n" + blockOf(t, file, "Restore")
	script = strings.NewReplacer("127.0.0.1:8081", gateway, "127.0.0.1:4223", freePort(t)).Replace(script)
	path := "PATH=" + filepath.Dir(weft) + string(os.PathListSeparator) + os.Getenv("PATH")
	paste(t, dir, script, append(backupSettings(), path)...)
	if err := eventually(func() (bool, string) {
		a, err := newClient("http://"+gateway).do(t.Context(), "GET", "/readyz", nil)
		if err != nil {
			return false, err.Error()
		}
		return a.status == 200, a.String()
	}); err != nil {
		t.Error(err)
	}
}
