package engine

import (
	"context"
	"sync"
	"time"

	"github.com/weftmesh/weft/mesh/fair"
)

const (
	// slowAfter is how long a call holds a step slot. One that takes longer waits for a provider, and gives its slot back if its user has
	// few such calls.
	slowAfter = time.Second
	// maxSlowCalls bounds the slow calls of a process.
	maxSlowCalls = 2000
)

// callSlot is the place of a call in flight: a step slot, and after slowAfter a place among the slow calls.
type callSlot struct {
	r        *activityRunner
	userID   string
	priority int
	// slow is called when the call has given its step slot back.
	slow func()

	mu    sync.Mutex
	held  *fair.Semaphore
	timer *time.Timer
}

// acquire waits for a step slot; false: ctx or the process ended first.
func (s *callSlot) acquire(ctx context.Context) bool {
	if !s.r.slots.Acquire(ctx, s.r.stopping, s.userID, s.priority) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = &s.r.slots
	if s.r.slow.PerUser > 0 {
		s.timer = time.AfterFunc(slowAfter, s.giveBack)
	}
	return true
}

// giveBack exchanges the step slot for a place among the slow calls, where there is one.
func (s *callSlot) giveBack() {
	s.mu.Lock()
	if s.held != &s.r.slots || !s.r.slow.TryAcquire(s.userID) {
		s.mu.Unlock()
		return
	}
	s.held = &s.r.slow
	s.mu.Unlock()
	s.r.slots.Release(s.userID)
	s.slow()
}

// release gives back what the call holds.
func (s *callSlot) release() {
	s.mu.Lock()
	held := s.held
	s.held = nil
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	if held == nil {
		return
	}
	held.Release(s.userID)
	if held == &s.r.slow {
		s.r.slots.Recheck() // the user may have more step slots now
	}
}

// stepSlots is how many step slots a user may have: one, while the user has as many slow calls as one may have.
func (r *activityRunner) stepSlots(userID string) int {
	if r.slow.PerUser > 0 && r.slow.ActiveOf(userID) >= r.slow.PerUser {
		return 1
	}
	return r.slots.PerUser
}
