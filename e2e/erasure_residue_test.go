package e2e_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

// TestNothingOfADeletedAccountIsLeft: once the erasure of an account has settled, nothing that its user wrote is in any file of weft's, databases,
// streams and buckets, nor in a backup taken then; and the ledger, which keeps its entries and verifies, does not have the user's id.
func TestNothingOfADeletedAccountIsLeft(t *testing.T) {
	t.Parallel()
	data, backup, key := t.TempDir(), filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "weft.key")
	weft := startWeft(t, data, "WEFT_AUTH_ERASURE_SETTLE=1s", "WEFT_AUTH_ERASURE_RETRY=1s")
	c, userID := signUp(t, weft.ready.HTTP)
	canaries := []string{"canary-of-a-purpose", "canary-of-a-reason", "canary-of-a-name"}
	c.must(t, 200, "PATCH", "/v1/users/me", map[string]any{"first_name": canaries[2]})
	var revoked string
	for range 2 {
		revoked = c.must(t, 201, "POST", "/v1/consents", map[string]any{"scope": subjects.ScopeWorkflowsRead, "purpose": canaries[0]}).text(".id")
	}
	c.must(t, 200, "POST", "/v1/consents/"+revoked+"/revoke", map[string]any{"reason": canaries[1]})
	entry := c.must(t, 200, "GET", "/v1/consents/"+revoked+"/history", nil).text(".items[0].id")
	anyone := newClient(weft.ready.HTTP)
	proven := func(id string) func() (bool, string) {
		return func() (bool, string) {
			a, err := anyone.do(t.Context(), "GET", "/v1/consents/ledger/proof?entry_id="+id, nil)
			return err == nil && a.status == 200, a.String()
		}
	}
	if err := eventually(proven(entry)); err != nil {
		t.Fatal(err)
	}
	erasure := c.must(t, 202, "DELETE", "/v1/users/me", map[string]any{"password": password})
	err := eventually(func() (bool, string) {
		a, err := anyone.do(t.Context(), "GET", "/v1/auth/erasures/"+erasure.text(".erasure_id"), nil, "Weft-Erasure-Token: "+erasure.text(".token"))
		return err == nil && (a.status == 404 || a.status == 200 && a.text(".settled_at") != "null" && a.text(".settled_at") != ""), a.String()
	})
	if err != nil {
		t.Fatal(err)
	}
	// The files have it until the second round of the erasure has ended and the write-ahead logs are emptied.
	err = eventually(func() (bool, string) {
		found := residue(data, append(canaries, userID)...)
		return found == "", found
	})
	if err != nil {
		t.Error(err)
	}
	if err := eventually(proven(entry)); err != nil {
		t.Errorf("the proof of an erased consent's entry: %v", err)
	}
	if err := os.WriteFile(key, anyone.must(t, 200, "GET", "/v1/consents/ledger/key", nil).body, 0o600); err != nil {
		t.Fatal(err)
	}
	verify := exec.CommandContext(t.Context(), weft.path, "ledger", "verify", weft.ready.HTTP, "--key", key)
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("after the erasure: %v\n%s", err, out)
	}
	if err := weft.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(backup, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{data, backup} {
		if found := residue(place, append(canaries, userID)...); found != "" {
			t.Errorf("%s: %s", place, found)
		}
	}
}

// residue names the first file below a directory that has one of some texts. The last text, the user's id, is looked for in everything but the
// other streams: EVENTS and AUDIT name it until they expire, when no person can be linked to it.
func residue(dir string, texts ...string) (found string) {
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil //nolint:nilerr // a file may be removed while it is listed
		}
		content, _ := os.ReadFile(path)
		for i, text := range texts {
			if i == len(texts)-1 && strings.Contains(path, "jetstream") && !strings.Contains(path, subjects.Ledger.Name) {
				continue
			}
			if strings.Contains(string(content), text) {
				found = fmt.Sprintf("%s has %q", strings.TrimPrefix(path, dir), text)
				return fs.SkipAll
			}
		}
		return nil
	})
	return found
}
