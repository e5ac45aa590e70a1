package engine

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxHold is how long a loop over many executions may hold a partition's lock before it lets others have it.
const maxHold = 500 * time.Microsecond

// lock is a mutex that measures how long it is held.
type lock struct {
	mu    sync.Mutex
	since time.Time
	held  prometheus.Observer
}

// Lock acquires the lock.
func (l *lock) Lock() {
	l.mu.Lock()
	l.since = time.Now()
}

// TryLock acquires the lock if it is free.
func (l *lock) TryLock() bool {
	if !l.mu.TryLock() {
		return false
	}
	l.since = time.Now()
	return true
}

// Unlock releases the lock.
func (l *lock) Unlock() {
	l.held.Observe(time.Since(l.since).Seconds())
	l.mu.Unlock()
}

// yield lets others have the lock if it has been held for long. What the lock guards may have changed afterwards.
func (l *lock) yield() {
	if time.Since(l.since) > maxHold {
		l.Unlock()
		l.Lock()
	}
}
