//go:build unix

package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// errInUse is returned if another server runs from the folder.
var errInUse = errors.New("another server runs from this folder")

// lockFolder locks the folder, or fails with errInUse. The kernel releases the lock when the process ends.
func lockFolder(dir string) (*os.File, error) {
	f, err := lock(filepath.Join(dir, ".lock"), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errInUse
	}
	return f, err
}

// lockFile waits for the lock of a file, which it creates if it does not exist.
func lockFile(path string) (*os.File, error) { return lock(path, syscall.LOCK_EX) }

func lock(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// syncFolder makes a rename in the folder survive a power failure.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
