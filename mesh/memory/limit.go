package memory

import (
	"bufio"
	"bytes"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// Limit is a memory limit of a process.
type Limit struct {
	// Bytes is the limit of Go's runtime: it collects more often before it takes more.
	Bytes int64
	// Source is where it is from: GOMEMLIMIT or the file of the control group; empty if there is none.
	Source string
}

// goPart is the part of a container's memory, in percent, that Go's runtime may take. The rest is for what it does not count: the pages of
// files that the kernel caches for the container, and memory of threads.
const goPart = 85

// unlimited is the least value that a control group of version 1 has without a limit: the largest multiple of a page is written.
const unlimited = 1 << 60

// Apply sets the limit of Go's runtime to 85 % of the memory that the process's control group may use, unless the environment variable
// GOMEMLIMIT is set. It returns the limit that holds.
func Apply() Limit {
	if os.Getenv("GOMEMLIMIT") != "" {
		return Limit{Bytes: debug.SetMemoryLimit(-1), Source: "GOMEMLIMIT"}
	}
	container, file := ContainerLimit(os.DirFS("/"))
	if container == 0 {
		return Limit{}
	}
	limit := container / 100 * goPart
	debug.SetMemoryLimit(limit)
	return Limit{Bytes: limit, Source: file}
}

// AtMost returns n, or a fraction of the memory limit of Go's runtime if that is less.
func AtMost(n, fraction int64) int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return max(1, min(n, limit/fraction))
	}
	return n
}

// ContainerLimit returns the memory in bytes that the control group of this process may use, and the file that says so: the least limit of
// the group and the groups above it, of version 1 or 2. It is 0 without a limit or control groups. root is the file system from / on.
func ContainerLimit(root fs.FS) (limit int64, file string) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, ""
	}
	mounts, err := fs.ReadFile(root, "proc/self/mountinfo")
	if err != nil {
		return 0, ""
	}
	limit = math.MaxInt64
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path; version 2 has hierarchy 0 and no controllers (cgroups(7)).
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		name, v2 := "memory.limit_in_bytes", fields[0] == "0" && fields[1] == ""
		if v2 {
			name = "memory.max"
		} else if !slices.Contains(strings.Split(fields[1], ","), "memory") {
			continue
		}
		mount, within, ok := mountOf(mounts, v2)
		if !ok {
			continue
		}
		for group := below(fields[2], within); ; group = path.Dir(group) {
			at := path.Join(mount, group, name)
			if n, ok := limitIn(root, at); ok && n < limit {
				limit, file = n, at
			}
			if group == "/" || group == "." {
				break
			}
		}
	}
	if file == "" {
		return 0, ""
	}
	return limit, file
}

// below returns the path of a group under its mount. A container sees its own group as the root of the mount, while the path may be that
// which the host sees.
func below(group, within string) string {
	if within != "/" {
		rest, ok := strings.CutPrefix(group, within)
		if !ok || rest != "" && rest[0] != '/' {
			return "/"
		}
		group = rest
	}
	return path.Clean("/" + group)
}

// mountOf returns where the memory controller's hierarchy is mounted, and which of its groups is the root of the mount (proc(5), mountinfo).
func mountOf(mounts []byte, v2 bool) (mount, within string, ok bool) {
	scanner := bufio.NewScanner(bytes.NewReader(mounts))
	for scanner.Scan() {
		before, after, found := strings.Cut(scanner.Text(), " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		if !found || len(head) < 5 || len(tail) < 3 {
			continue
		}
		if v2 && tail[0] == "cgroup2" || !v2 && tail[0] == "cgroup" && slices.Contains(strings.Split(tail[2], ","), "memory") {
			return strings.TrimPrefix(head[4], "/"), head[3], true
		}
	}
	return "", "", false
}

// limitIn reads a limit; ok is false if the file is absent or has none.
func limitIn(root fs.FS, file string) (n int64, ok bool) {
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return 0, false
	}
	n, err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n <= 0 || n >= unlimited {
		return 0, false // "max" too
	}
	return n, true
}
