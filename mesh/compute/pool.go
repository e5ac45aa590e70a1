// Package compute bounds the goroutines of a process that compute for long at once: that evaluate users' code, parse definitions, or
// decode large bodies. One processor is left for everything else, which then need not wait for a time slice of the scheduler at each step.
package compute

import (
	"context"
	"runtime"

	"github.com/weftmesh/weft/mesh/fair"
)

// Large is the size, in bytes, from which data is decoded, and users' code parsed, in a pool.
const Large = 16 << 10

// Pool runs a bounded number of computations at a time. Callers whose computations wait take turns.
type Pool struct{ places fair.Semaphore }

// Default is the pool of the process.
var Default = NewPool()

// NewPool returns a pool with a place less than there are processors, and at least one.
func NewPool() *Pool {
	return &Pool{fair.Semaphore{Limit: max(1, runtime.GOMAXPROCS(0)-1)}}
}

type insideKey struct{}

// Inside returns a context whose computations have a place already: Do runs them at once.
func Inside(ctx context.Context) context.Context { return context.WithValue(ctx, insideKey{}, true) }

// Do runs work, which must not wait for anything, when the pool has a place for the caller. Its error is that of ctx, and work was not run
// then.
func (p *Pool) Do(ctx context.Context, caller string, work func()) error {
	if ctx.Value(insideKey{}) != nil {
		work()
		return nil
	}
	if !p.places.Acquire(ctx, nil, caller, 0) {
		return context.Cause(ctx)
	}
	defer p.places.Release(caller)
	work()
	return nil
}

// DoLarge is Do for work on data of a size; small data needs no place.
func (p *Pool) DoLarge(ctx context.Context, caller string, size int, work func()) error {
	if size < Large {
		work()
		return nil
	}
	return p.Do(ctx, caller, work)
}

// Queued is how many computations wait.
func (p *Pool) Queued() int { return p.places.Queued() }

// Free is how many places are free.
func (p *Pool) Free() int { return p.places.Free() }
