package runtime

import (
	"context"
	"sync/atomic"

	"github.com/weftmesh/weft/subjects"
)

// queueFactor is the number of requests that may wait for each one that an endpoint handles concurrently.
const queueFactor = 8

// boundedSemaphore limits the requests of one endpoint: how many are handled concurrently, and how many wait.
type boundedSemaphore struct {
	admitted atomic.Int64 // handled and waiting
	limit    int64
	handling chan struct{}
}

func newBoundedSemaphore(concurrency int) *boundedSemaphore {
	return &boundedSemaphore{limit: int64(concurrency) * (1 + queueFactor), handling: make(chan struct{}, concurrency)}
}

// admit takes a place among the requests that wait. It returns false if there is none. leave must follow true.
func (s *boundedSemaphore) admit() bool {
	if s.admitted.Add(1) > s.limit {
		s.admitted.Add(-1)
		return false
	}
	return true
}

func (s *boundedSemaphore) leave() { s.admitted.Add(-1) }

// acquire waits until an admitted request may be handled, or until ctx ends, which is CodeUnavailable. release must follow nil.
func (s *boundedSemaphore) acquire(ctx context.Context) error {
	select {
	case s.handling <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.handling <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &subjects.Error{
			Code: subjects.CodeUnavailable, Reason: subjects.ReasonOverloaded, Detail: "overloaded", RetryAfter: subjects.RetrySoon, Cause: ctx.Err(),
		}
	}
}

func (s *boundedSemaphore) release() { <-s.handling }
