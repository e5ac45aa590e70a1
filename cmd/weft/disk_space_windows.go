package main

import "golang.org/x/sys/windows"

// diskSpace returns the size of the volume of a folder and what of it this user may still write, in bytes.
func diskSpace(dir string) (size, free uint64, err error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, err
	}
	err = windows.GetDiskFreeSpaceEx(path, &free, &size, nil)
	return size, free, err
}
