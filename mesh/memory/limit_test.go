package memory_test

import (
	"testing"
	"testing/fstest"

	"github.com/weftmesh/weft/mesh/memory"
)

// Mounts as proc(5) has them.
const (
	v1Mount        = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
	v1InContainer  = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro,nosuid master:15 - cgroup cgroup rw,memory\n"
	v2Mount        = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	v2InContainer  = "29 23 0:26 /../../.. /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
	otherV1        = "31 23 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
	v1Limit        = "memory.limit_in_bytes"
	v1Unlimited    = "9223372036854771712\n"
	memoryOfV1     = "sys/fs/cgroup/memory/"
	memoryOfHybrid = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)

func TestTheLimitOfTheContainerIsTheLeastOfItsGroups(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		groups, mounts string
		files          map[string]string
		want           int64
		from           string
	}{
		"version 1": {
			"5:memory:/a/b\n1:cpu:/\n", otherV1 + v1Mount,
			map[string]string{memoryOfV1 + "a/b/" + v1Limit: "536870912\n", memoryOfV1 + "a/" + v1Limit: v1Unlimited},
			512 << 20, memoryOfV1 + "a/b/" + v1Limit,
		},
		"version 1, a group above has less": {
			"5:memory:/a/b\n", v1Mount,
			map[string]string{memoryOfV1 + "a/b/" + v1Limit: "536870912\n", memoryOfV1 + "a/" + v1Limit: "268435456\n"},
			256 << 20, memoryOfV1 + "a/" + v1Limit,
		},
		"version 1 in a container": {
			"5:memory:/docker/abc\n", v1InContainer, map[string]string{memoryOfV1 + v1Limit: "1073741824\n"}, 1 << 30, memoryOfV1 + v1Limit,
		},
		"version 1, another group's path": {
			"5:memory:/kubepods/pod1\n", v1InContainer, map[string]string{memoryOfV1 + v1Limit: "1073741824\n"}, 1 << 30, memoryOfV1 + v1Limit,
		},
		"version 1 without a limit": {
			"5:memory:/a\n", v1Mount, map[string]string{memoryOfV1 + "a/" + v1Limit: v1Unlimited}, 0, "",
		},
		"version 2": {
			"0::/system.slice/weft.service\n", v2Mount,
			map[string]string{"sys/fs/cgroup/system.slice/weft.service/memory.max": "max\n", "sys/fs/cgroup/system.slice/memory.max": "800000000\n"},
			800_000_000, "sys/fs/cgroup/system.slice/memory.max",
		},
		"version 2 in a container": {
			"0::/\n", v2InContainer, map[string]string{"sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20, "sys/fs/cgroup/memory.max",
		},
		"both, memory is in version 1": {
			"4:memory:/a\n0::/\n", memoryOfHybrid + v1Mount, map[string]string{memoryOfV1 + "a/" + v1Limit: "536870912\n"},
			512 << 20, memoryOfV1 + "a/" + v1Limit,
		},
		"no control groups": {"", "", nil, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := fstest.MapFS{
				"proc/self/cgroup": {Data: []byte(c.groups)}, "proc/self/mountinfo": {Data: []byte(c.mounts)},
			}
			for file, text := range c.files {
				root[file] = &fstest.MapFile{Data: []byte(text)}
			}
			if got, from := memory.ContainerLimit(root); got != c.want || from != c.from {
				t.Errorf("got %d from %q, want %d from %q", got, from, c.want, c.from)
			}
		})
	}
	if got, from := memory.ContainerLimit(fstest.MapFS{}); got != 0 || from != "" {
		t.Errorf("without /proc: got %d from %q", got, from)
	}
}
