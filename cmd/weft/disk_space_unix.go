//go:build !windows

package main

import "golang.org/x/sys/unix"

// diskSpace returns the size of the file system of a folder and what of it an ordinary user may still write, in bytes.
func diskSpace(dir string) (size, free uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	block := uint64(s.Bsize)
	return s.Blocks * block, s.Bavail * block, nil
}
