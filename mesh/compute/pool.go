// Package compute bounds the goroutines of a process that compute for long at once: that evaluate users' code, parse definitions, or
// decode large bodies. One processor is left for everything else, which then need not wait for a time slice of the scheduler at each step.
package compute

import (
	"context"
	"runtime"
	"slices"
	"sync"
)

// Large is the size, in bytes, from which data is decoded, and users' code parsed, in a pool.
const Large = 16 << 10

// Pool runs a bounded number of computations at a time. Callers whose computations wait take turns.
type Pool struct {
	mu   sync.Mutex
	free int
	// order are the callers with computations that wait, the next one first.
	order   []string
	waiting map[string][]chan struct{}
	queued  int
}

// Default is the pool of the process.
var Default = NewPool()

// NewPool returns a pool with a place less than there are processors, and at least one.
func NewPool() *Pool {
	return &Pool{free: max(1, runtime.GOMAXPROCS(0)-1), waiting: map[string][]chan struct{}{}}
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
	if err := p.acquire(ctx, caller); err != nil {
		return err
	}
	defer p.release()
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

func (p *Pool) acquire(ctx context.Context, caller string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.mu.Lock()
	if p.free > 0 {
		p.free--
		p.mu.Unlock()
		return nil
	}
	mine := make(chan struct{})
	if len(p.waiting[caller]) == 0 {
		p.order = append(p.order, caller)
	}
	p.waiting[caller] = append(p.waiting[caller], mine)
	p.queued++
	p.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	if !p.withdraw(caller, mine) {
		p.release() // the place came at the same time
	}
	return context.Cause(ctx)
}

// withdraw removes a computation that waits; false: it has a place.
func (p *Pool) withdraw(caller string, mine chan struct{}) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.Index(p.waiting[caller], mine)
	if at < 0 {
		return false
	}
	p.remove(caller, at)
	return true
}

// remove takes a computation from the queue of its caller, who leaves the order with the last one.
func (p *Pool) remove(caller string, at int) {
	p.queued--
	if p.waiting[caller] = slices.Delete(p.waiting[caller], at, at+1); len(p.waiting[caller]) > 0 {
		return
	}
	delete(p.waiting, caller)
	p.order = slices.DeleteFunc(p.order, func(other string) bool { return other == caller })
}

// release passes the place on to the caller who has waited longest for a turn, or frees it.
func (p *Pool) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queued == 0 {
		p.free++
		return
	}
	caller := p.order[0]
	p.order = append(p.order[1:], caller)
	next := p.waiting[caller][0]
	p.remove(caller, 0)
	close(next)
}

// Queued is how many computations wait.
func (p *Pool) Queued() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queued
}

// Free is how many places are free.
func (p *Pool) Free() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.free
}
