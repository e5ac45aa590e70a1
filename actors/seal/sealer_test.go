package seal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/seal"
)

func TestConcurrentOpensShareOneKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys", "auth.json")
	sealers := make([]*seal.Sealer, 8)
	var group sync.WaitGroup
	for n := range sealers {
		group.Go(func() {
			s, err := seal.Open(path)
			if err != nil {
				t.Error(err)
			}
			sealers[n] = s
		})
	}
	group.Wait()
	plain, row := []byte("the answer"), []byte("row 1")
	sealed, err := sealers[0].Seal(plain, row)
	if err != nil || bytes.Contains(sealed, plain) {
		t.Fatalf("sealing: %v", err)
	}
	for _, s := range sealers {
		if got, err := s.Open(sealed, row); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("opening: %q, %v", got, err)
		}
	}
	if _, err := sealers[0].Open(sealed, []byte("row 2")); err == nil {
		t.Error("it can be opened in another row")
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := sealers[0].Open(sealed, row); err == nil {
		t.Error("a changed value can be opened")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("the directory contains %v (%v), want the keyset only", left, err)
	}
}

func TestOpenRefusesFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keyset.json")
	if _, err := seal.Open(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Open(path); err == nil {
		t.Error("a keyset that other users can read was accepted")
	}
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Open(path); err == nil {
		t.Error("an empty keyset was accepted")
	}
}

// A running process seals with the file's present primary key and opens values that other processes have sealed with it.
func TestSealerFollowsItsFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keyset.json")
	running, err := seal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	sealWith := func(s *seal.Sealer) []byte {
		t.Helper()
		sealed, err := s.Seal([]byte("the answer"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	before := sealWith(running)
	db := actortest.Databases(t)[0].Open(t, "auth")
	r := seal.Rotation{DB: db, KeysetFile: path, Step: true, Now: time.Now, Say: func(string) {}}
	for range 2 { // add a key, make it primary
		if err := r.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	fresh, err := seal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	after := sealWith(fresh)
	if bytes.Equal(after[:5], before[:5]) {
		t.Error("the new key does not seal")
	}
	for name, sealed := range map[string][]byte{"before": before, "after": after} {
		if got, err := running.Open(sealed, nil); err != nil || string(got) != "the answer" {
			t.Errorf("opening the value sealed %s: %q, %v", name, got, err)
		}
	}
	if sealed := sealWith(running); !bytes.Equal(sealed[:5], after[:5]) {
		t.Error("a running process seals with the old key")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := running.Seal([]byte("x"), nil); err == nil {
		t.Error("it seals although the file cannot be read and the key may have been replaced")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	sealWith(running)
}
