//go:build !windows

package edge

import "os"

// onlyOwner reports whether only the owner may access a file.
func onlyOwner(info os.FileInfo) bool { return info.Mode().Perm()&0o077 == 0 }
