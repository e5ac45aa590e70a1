package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
)

func TestGOGCDependsOnTheScannableHeap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		live, scannable uint64
		want            int
	}{{0, 0, 400}, {30 << 20, 30 << 20, 400}, {240 << 20, 250 << 20, 400}, {32 << 20, 1 << 20, 400}, {100 << 20, 25 << 20, 128}, {200 << 20, 50 << 20, 100}, {8 << 30, 1 << 20, 50}} {
		if got := gogcFor(c.live, c.scannable); got != c.want {
			t.Errorf("%d MiB live, %d MiB scannable: got %d, want %d", c.live>>20, c.scannable>>20, got, c.want)
		}
	}
}

// TestGOGCFollowsTheHeap allocates and frees memory without pointers. GOGC stays adaptive in this test process.
func TestGOGCFollowsTheHeap(t *testing.T) {
	debug.SetGCPercent(maxGOGC)
	adaptGOGC(maxGOGC)
	gogc := func() int {
		runtime.GC()
		samples := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(samples)
		return int(samples[0].Value.Uint64())
	}
	var before int
	actortest.Eventually(t, "GOGC is raised for a small heap", func() bool { before = gogc(); return before > 2*minGOGC })
	blocks := make([]byte, 1<<30)
	actortest.Eventually(t, "GOGC falls for memory without pointers", func() bool { return gogc() < before/2 })
	runtime.KeepAlive(blocks)
	actortest.Eventually(t, "GOGC rises once the memory is freed", func() bool { return gogc() > before/2 })
}
