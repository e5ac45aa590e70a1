package engine

import (
	"context"
	"time"
)

// signal wakes one goroutine. Several sets before the goroutine receives are one.
type signal struct{ c chan struct{} }

func newSignal() signal { return signal{c: make(chan struct{}, 1)} }

// set wakes the goroutine that receives from c, now or when it receives next.
func (s signal) set() {
	select {
	case s.c <- struct{}{}:
	default:
	}
}

// sleep returns after d, when early receives, or when ctx ends.
func sleep(ctx context.Context, d time.Duration, early <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-ctx.Done():
	}
}
