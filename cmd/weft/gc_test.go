package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
)

func TestGarbageCostsWhatItIsWorth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		alive, pointing uint64
		want            int
	}{{0, 0, 400}, {30 << 20, 30 << 20, 400}, {240 << 20, 250 << 20, 400}, {32 << 20, 1 << 20, 400}, {100 << 20, 25 << 20, 128}, {200 << 20, 50 << 20, 100}, {8 << 30, 1 << 20, 50}} {
		if got := garbagePercent(c.alive, c.pointing); got != c.want {
			t.Errorf("beside %d MiB alive, %d of them pointing: %d %%, want %d", c.alive>>20, c.pointing>>20, got, c.want)
		}
	}
}

// TestGarbageFollowsWhatIsAlive: bytes without pointers come and go, and each collection sets the percentage anew. From then
// on this process keeps to it.
func TestGarbageFollowsWhatIsAlive(t *testing.T) {
	debug.SetGCPercent(mostGarbage)
	afterCollection(mostGarbage)
	percent := func() int {
		runtime.GC()
		now := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(now)
		return int(now[0].Value.Uint64())
	}
	var before int
	actortest.Eventually(t, "what points may have garbage", func() bool { before = percent(); return before > 2*leastGarbage })
	blocks := make([]byte, 1<<30)
	actortest.Eventually(t, "what does not point has less", func() bool { return percent() < before/2 })
	runtime.KeepAlive(blocks)
	actortest.Eventually(t, "and more again", func() bool { return percent() > before/2 })
}
