package embedded

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// errInUse is returned if another server runs from the folder.
var errInUse = errors.New("another server runs from this folder")

// lockFolder locks the folder, or fails with errInUse. The system releases the lock when the process ends.
func lockFolder(dir string) (*os.File, error) {
	f, err := lock(filepath.Join(dir, ".lock"), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		err = errInUse
	}
	return f, err
}

// lockFile waits for the lock of a file, which it creates if it does not exist.
func lockFile(path string) (*os.File, error) { return lock(path, windows.LOCKFILE_EXCLUSIVE_LOCK) }

func lock(path string, flags uint32) (*os.File, error) {
	f, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{}); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// syncFolder does nothing: Windows cannot sync a folder, and renames are journaled.
func syncFolder(string) error { return nil }
