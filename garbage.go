package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// mostGarbage is how many times what is alive there may be of garbage, in per cent: four times what Go allows. A tenth of the
	// processor time is saved for some megabytes, while the heap is small.
	mostGarbage = 400
	// leastGarbage is Go's own default, made for heaps larger than weft's.
	leastGarbage = 100
	// garbageBytes is how much there may be between these two: the blocks that JetStream keeps in memory while files come and go
	// would otherwise allow four times themselves.
	garbageBytes = 128 << 20
)

// collectLess lets the heap grow further between two collections than Go's default, as far as garbagePercent says after each.
// GOGC stands before it.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(mostGarbage)
		afterCollection(mostGarbage)
	}
}

// afterCollection sets the percentage for what has been found alive, and comes again after the next collection, which takes
// away the mark that is left here.
func afterCollection(now int) {
	alive := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(alive)
	next := garbagePercent(alive[0].Value.Uint64())
	if next != now {
		debug.SetGCPercent(next)
	}
	runtime.AddCleanup(new([64]byte), afterCollection, next)
}

// garbagePercent is how much garbage there may be beside so many bytes alive, in per cent of them.
func garbagePercent(alive uint64) int {
	return int(min(max(garbageBytes*100/max(alive, 1), leastGarbage), mostGarbage))
}
