//go:build unix

package seal

import (
	"io/fs"
	"os"
	"syscall"
)

// allowedMode returns the bits that the mode of a keyset file may have. A file of root's may be readable by its group, as PostgreSQL allows
// for its keys: so Kubernetes mounts Secrets for a process that is not root.
func allowedMode(info fs.FileInfo) fs.FileMode {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid == 0 && os.Geteuid() != 0 {
		return 0o640
	}
	return 0o600
}
