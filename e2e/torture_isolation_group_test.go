//go:build torture

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
)

// memoryLimit bounds the memory of a process under attack.
const memoryLimit = 512 << 20

// memoryGroup is a control group of memoryLimit without swap: of version 1 of cgroups (Documentation/admin-guide/cgroup-v1/memory.rst) or of
// version 2 (cgroup-v2.rst). A nil group is none.
type memoryGroup struct {
	dir string
	// events is the file that counts the kills.
	events string
}

// newMemoryGroup creates a group. Without the right to do so it returns nil and logs it; the process's memory is then only watched.
func newMemoryGroup(t testing.TB) *memoryGroup {
	t.Helper()
	name := "weft-torture-" + uuid.NewString()
	var refused []string
	for _, c := range []struct{ parent, limit, swap, swapLimit, events string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", strconv.Itoa(memoryLimit), "memory.oom_control"},
		{ownGroup(), "memory.max", "memory.swap.max", "0", "memory.events"},
		{"/sys/fs/cgroup", "memory.max", "memory.swap.max", "0", "memory.events"},
	} {
		g := &memoryGroup{dir: filepath.Join(c.parent, name), events: filepath.Join(c.parent, name, c.events)}
		if err := os.Mkdir(g.dir, 0o755); err != nil {
			refused = append(refused, err.Error())
			continue
		}
		if err := os.WriteFile(filepath.Join(g.dir, c.limit), []byte(strconv.Itoa(memoryLimit)), 0); err != nil {
			refused = append(refused, err.Error())
			g.remove()
			continue
		}
		// Kernels without swap accounting have no such file.
		_ = os.WriteFile(filepath.Join(g.dir, c.swap), []byte(c.swapLimit), 0)
		return g
	}
	t.Logf("no control group can be created (%s): a process is killed by this test once it has %d MB", strings.Join(refused, "; "), memoryLimit>>20)
	return nil
}

// ownGroup is the directory of the group of this process in the hierarchy of version 2.
func ownGroup() string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "/sys/fs/cgroup"
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return "/sys/fs/cgroup" + path
		}
	}
	return "/sys/fs/cgroup"
}

// remove removes the group, which has no process any more.
func (g *memoryGroup) remove() {
	if g == nil {
		return
	}
	for range 100 {
		if err := os.Remove(g.dir); err == nil || os.IsNotExist(err) {
			return
		}
		<-time.After(10 * time.Millisecond) // the kernel empties the group a moment after the process has exited
	}
}

// confine returns the program in the group: a shell enters it and becomes the program.
func (g *memoryGroup) confine(p program) program {
	if g == nil {
		return p
	}
	p.args = append([]string{"-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(g.dir, "cgroup.procs"), p.path}, p.args...)
	p.path = "/bin/sh"
	return p
}

// kills returns how many processes of the group the kernel has killed for their memory.
func (g *memoryGroup) kills() int {
	if g == nil {
		return 0
	}
	text, err := os.ReadFile(g.events)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			n, _ := strconv.Atoi(count)
			return n
		}
	}
	return 0
}

// confined is a running process whose memory is bounded and watched.
type confined struct {
	*running
	group *memoryGroup
	// peak is the highest resident size in bytes; exceeded says that the process was killed for its memory, by this test where there is no group.
	peak     atomic.Int64
	exceeded atomic.Bool
	// killed says that the test has killed the process on purpose.
	killed atomic.Bool
}

// startConfined starts a program with bounded memory.
func startConfined(t testing.TB, p program) (*confined, error) {
	t.Helper()
	c := &confined{group: newMemoryGroup(t)}
	r, err := start(c.group.confine(p))
	if r == nil {
		c.group.remove()
		return nil, err
	}
	c.running = r
	if err != nil {
		c.note()
		c.group.remove()
		return c, err
	}
	go c.watch()
	return c, nil
}

// watch records the process's memory until it exits.
func (c *confined) watch() {
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		c.note()
		if c.group == nil && c.peak.Load() > memoryLimit {
			c.exceeded.Store(true)
			_ = c.cmd.Process.Kill()
		}
		select {
		case <-c.exited:
			tick.Stop()
			c.note()
			return
		case <-tick.C:
		}
	}
}

func (c *confined) note() {
	if peak := statusBytes(c.cmd.Process.Pid, "VmHWM:"); peak > c.peak.Load() {
		c.peak.Store(peak)
	}
	if c.group.kills() > 0 {
		c.exceeded.Store(true)
	}
}

// resident is the process's resident size in bytes; 0 if it has exited.
func (c *confined) resident() int64 { return statusBytes(c.cmd.Process.Pid, "VmRSS:") }

// alive reports whether the process is running.
func (c *confined) alive() bool {
	select {
	case <-c.exited:
		return false
	default:
		return true
	}
}

// end kills the process if it still runs and removes its group.
func (c *confined) end() {
	c.kill()
	c.group.remove()
}

// fate says how a process that has exited ended.
func (c *confined) fate() string {
	switch {
	case c.exceeded.Load():
		return fmt.Sprintf("%s was killed at %d MB", c.name, memoryLimit>>20)
	case c.alive():
		return c.name + " runs"
	}
	text := c.stderr()
	for _, sign := range []string{"fatal error: ", "panic: ", "goroutine stack exceeds"} {
		if at := strings.Index(text, sign); at >= 0 {
			line, _, _ := strings.Cut(text[at:], "\n")
			return fmt.Sprintf("%s exited: %.200s", c.name, line)
		}
	}
	return fmt.Sprintf("%s exited: %v", c.name, c.err)
}

// statusBytes returns a size of /proc/PID/status, in bytes; 0 if there is none.
func statusBytes(pid int, field string) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, field); ok {
			kb, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}
