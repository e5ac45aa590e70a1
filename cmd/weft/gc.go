package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh/memory"
)

const (
	// maxGOGC is four times Go's default, which suits larger heaps than weft's. It saves a tenth of the CPU time for a few
	// megabytes of heap.
	maxGOGC = 400
	// minGOGC bounds the frequency of collections.
	minGOGC = 50
	// minHeapGrowth is the heap growth in bytes between two collections that is always allowed, within maxGOGC. Thousands of
	// executions a second allocate about that much in a second; a smaller growth would cost them a twentieth of their CPU time.
	minHeapGrowth = 128 << 20
)

// tuneMemory sets the memory limit from the container's and raises GOGC.
func tuneMemory() memory.Limit {
	raiseGOGC()
	return memory.Apply()
}

// logMemory logs the limit of a process that has one.
func logMemory(log *zap.Logger, limit memory.Limit) {
	if limit.Source != "" {
		log.Info("memory limit of Go's runtime", zap.Int64("bytes", limit.Bytes), zap.String("source", limit.Source))
	}
}

// returnIdleMemory returns memory to the operating system after a load, until stop is called.
func (p *process) returnIdleMemory(ctx context.Context) (stop func()) {
	ctx, stop = context.WithCancel(ctx)
	go memory.ReturnIdle(ctx)
	return stop
}

// raiseGOGC raises GOGC and adapts it after every collection, see gogcFor. The environment variable GOGC overrides it.
func raiseGOGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(maxGOGC)
		adaptGOGC(maxGOGC)
	}
}

// adaptGOGC sets GOGC for the live heap. It runs again after the next collection, which frees the object that it
// registers a cleanup for.
func adaptGOGC(current int) {
	next := gogcFor(heapSize())
	if next != current {
		debug.SetGCPercent(next)
	}
	runtime.AddCleanup(new([64]byte), adaptGOGC, next)
}

// heapSize returns how many bytes the last collection found live, and how many bytes of the heap it had to scan for
// pointers.
func heapSize() (live, scannable uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}

// gogcFor returns the GOGC for a growth by maxGOGC percent of the scannable heap, or by minHeapGrowth if that is more. The cost of
// a collection depends on the scannable part. Memory without pointers, such as JetStream's block cache while files are
// transferred, would otherwise increase to five times its size without saving CPU time.
func gogcFor(live, scannable uint64) int {
	if live == 0 {
		return maxGOGC
	}
	return int(min(max(maxGOGC*scannable/live, minHeapGrowth*100/live, minGOGC), maxGOGC))
}
