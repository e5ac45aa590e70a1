package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// mostGarbage is how much garbage there may be, in per cent of what is alive: four times what Go allows, whose default is
	// made for larger heaps than weft's. A tenth of the processor time is saved for some megabytes.
	mostGarbage = 400
	// leastGarbage bounds how often collections come, however little they cost.
	leastGarbage = 50
	// freeGarbage is how many bytes there may be in any case, as long as they are no more than mostGarbage: executions by the
	// thousands a second make as many in a second, and would pay a twentieth more for collections that came at less.
	freeGarbage = 128 << 20
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
	next := garbagePercent(heap())
	if next != now {
		debug.SetGCPercent(next)
	}
	runtime.AddCleanup(new([64]byte), afterCollection, next)
}

// heap is how many bytes the last collection found alive, and how many of these may point at others.
func heap() (alive, pointing uint64) {
	found := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
	metrics.Read(found)
	return found[0].Value.Uint64(), found[1].Value.Uint64()
}

// garbagePercent is how much garbage there may be, in per cent of what is alive: mostGarbage of what may point at others, or
// freeGarbage. What points is what a collection has to read, and so costs; the blocks that JetStream keeps in memory while
// files come and go would allow four times themselves for nothing.
func garbagePercent(alive, pointing uint64) int {
	if alive == 0 {
		return mostGarbage
	}
	return int(min(max(mostGarbage*pointing/alive, freeGarbage*100/alive, leastGarbage), mostGarbage))
}
