package database_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/actors/database"
)

func TestLockFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.lock")
	release, err := database.LockFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := database.LockFile(path); !errors.Is(err, database.ErrInUse) {
		t.Errorf("a second lock: %v, want ErrInUse", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the lock file was removed: %v", err)
	}
	release, err = database.LockFile(path)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	_ = release()
	if _, err := database.LockFile(filepath.Join(t.TempDir(), "missing", "x.lock")); err == nil || errors.Is(err, database.ErrInUse) {
		t.Errorf("in a directory that does not exist: %v", err)
	}
}

func TestLockFileExcludes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.lock")
	var holders, locked atomic.Int64
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for range 50 {
				release, err := database.LockFile(path)
				if errors.Is(err, database.ErrInUse) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				locked.Add(1)
				if holders.Add(1) != 1 {
					t.Error("two hold the lock")
				}
				holders.Add(-1)
				_ = release()
			}
		})
	}
	group.Wait()
	if locked.Load() == 0 {
		t.Error("the lock was never taken")
	}
}
