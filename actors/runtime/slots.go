package runtime

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// queueFactor is how many requests may wait for each that an endpoint handles.
const queueFactor = 8

// slots bounds one endpoint: so many at work, and a bounded queue behind them.
type slots struct {
	entered atomic.Int64
	most    int64
	working chan struct{}
}

func newSlots(concurrency int) *slots {
	return &slots{most: int64(concurrency) * (1 + queueFactor), working: make(chan struct{}, concurrency)}
}

// enter takes a place in the queue, or tells that there is none.
func (s *slots) enter() bool {
	if s.entered.Add(1) > s.most {
		s.entered.Add(-1)
		return false
	}
	return true
}

func (s *slots) leave() { s.entered.Add(-1) }

// begin waits for a free slot until ctx ends.
func (s *slots) begin(ctx context.Context) error {
	select {
	case s.working <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.working <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "too much to do", RetryAfter: time.Second, Cause: ctx.Err(),
		}
	}
}

func (s *slots) end() { <-s.working }
