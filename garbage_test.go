package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
)

func TestGarbageIsBounded(t *testing.T) {
	t.Parallel()
	for alive, want := range map[uint64]int{0: 400, 1 << 20: 400, 32 << 20: 400, 64 << 20: 200, 100 << 20: 128, 128 << 20: 100, 8 << 30: 100} {
		if got := garbagePercent(alive); got != want {
			t.Errorf("beside %d MiB alive: %d %%, want %d", alive>>20, got, want)
		}
	}
}

// TestGarbageFollowsWhatIsAlive: a heap that grows and shrinks again has its percentage after each collection. From then on
// this process keeps to it.
func TestGarbageFollowsWhatIsAlive(t *testing.T) {
	debug.SetGCPercent(mostGarbage)
	afterCollection(mostGarbage)
	const much = 256 << 20
	collected := func() (alive uint64, percent int) {
		runtime.GC()
		now := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/gogc:percent"}}
		metrics.Read(now)
		return now[0].Value.Uint64(), int(now[1].Value.Uint64())
	}
	large := make([]byte, much)
	actortest.Eventually(t, "a large heap has less", func() bool {
		alive, percent := collected()
		return alive >= much && percent == leastGarbage
	})
	runtime.KeepAlive(large)
	actortest.Eventually(t, "and a small one more again", func() bool {
		alive, percent := collected()
		return alive < much && percent > leastGarbage && percent == garbagePercent(alive)
	})
}
