//go:build unix

package database

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// LockFile takes an exclusive lock on the file at path, which it creates if needed. The kernel releases the lock when the
// process ends. The file is never removed, because two processes could then lock two different files of the same name. The
// error matches ErrInUse if the lock is taken, by this process or another one.
func LockFile(path string) (release func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening lock file: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", path, ErrInUse)
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return f.Close, nil
}
