// Package wait has the ways in which weft's code waits without polling by hand: for a duration, for a notification, and at
// intervals. Every wait ends with its context and then returns the context's cause.
//
// It imports nothing of weft and starts no goroutine. Retries with growing delays are cenkalti/backoff's.
package wait

import (
	"context"
	"time"
)

// Sleep waits for d. The error is the cause of ctx's end, if ctx ends first.
func Sleep(ctx context.Context, d time.Duration) error { return Until(ctx, nil, d) }

// Until waits until ready is closed or yields a value, or limit has passed; it returns nil for both. The error is the cause of
// ctx's end, if ctx ends first. A nil channel is never ready.
func Until(ctx context.Context, ready <-chan struct{}, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ready:
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// Every calls f at each interval until ctx ends, and returns the cause of its end. The first call comes after one interval.
// Calls do not overlap; intervals that pass while f runs are dropped.
func Every(ctx context.Context, interval time.Duration, f func()) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		f()
	}
}

// Repeat calls f at once and then once per interval until ctx ends. It returns the first error of f, or nil if ctx has
// ended.
func Repeat(ctx context.Context, interval time.Duration, f func(context.Context) error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Signal wakes one waiting goroutine. Notifications are not counted: any number of them before a wait end that one wait, so a
// waiter must look for all the work there is. Make one with NewSignal.
type Signal struct{ notified chan struct{} }

// NewSignal returns a signal without a pending notification.
func NewSignal() Signal { return Signal{notified: make(chan struct{}, 1)} }

// Notify ends the current wait or, if there is none, the next one. It never blocks.
func (s Signal) Notify() {
	select {
	case s.notified <- struct{}{}:
	default:
	}
}

// C yields a value for a pending notification, for use in a select.
func (s Signal) C() <-chan struct{} { return s.notified }

// Wait waits for a notification, but not longer than limit; it returns nil for both. The error is the cause of ctx's end.
func (s Signal) Wait(ctx context.Context, limit time.Duration) error {
	return Until(ctx, s.notified, limit)
}
