package memory

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// idleCheck is the interval at which ReturnIdle looks.
	idleCheck = 5 * time.Second
	// idleAllocated is how many bytes a process allocates in idleCheck at most while it counts as idle.
	idleAllocated = 32 << 20
	// idleKept is how many bytes that no object needs an idle process may keep.
	idleKept = 32 << 20
)

// ReturnIdle returns memory to the operating system when a process has become idle after a load, until ctx ends: Go's runtime by itself keeps
// it for minutes, because it collects no garbage while nothing allocates.
func ReturnIdle(ctx context.Context) {
	ticker := time.NewTicker(idleCheck)
	defer ticker.Stop()
	last := readUsage()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := readUsage()
		if now.allocated-last.allocated < idleAllocated && now.kept > idleKept {
			debug.FreeOSMemory()
		}
		last = now
	}
}

// usage is what ReturnIdle looks at.
type usage struct {
	// allocated counts the bytes of all objects so far; kept are those of garbage and of free memory.
	allocated, kept uint64
}

func readUsage() usage {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	objects, free, live := samples[1].Value.Uint64(), samples[2].Value.Uint64(), samples[3].Value.Uint64()
	return usage{allocated: samples[0].Value.Uint64(), kept: free + objects - min(objects, live)}
}
