package kv

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Bounds of Mutate. Eight writers on one key lose 84 % of their first attempts; with the jitter each is through within
// a handful.
const (
	mutateAttempts = 32
	jitterStart    = time.Millisecond
	jitterEnd      = 50 * time.Millisecond
)

// Mutate changes a key by compare-and-set until it holds. change gets the value and whether there is one, and returns
// the new value and whether to keep the key; it runs once per attempt and must have no effect of its own. Its error
// ends Mutate and is returned as it is, nothing written. ttl is the new value's, 0 for none.
//
// It returns what was written, with Created left zero (a zero Entry but for the key when it was not kept).
// ErrConflict after 32 attempts lost in a row; ErrUnavailable when NATS cannot be reached: then the change may have been made.
func (b *Bucket[T]) Mutate(
	ctx context.Context, key string, change func(old T, exists bool) (new T, keep bool, err error), ttl time.Duration,
) (Entry[T], error) {
	for attempt := range mutateAttempts {
		if err := jitter(ctx, attempt); err != nil {
			return Entry[T]{}, translate("mutating in "+b.spec.Name, err)
		}
		found, err := b.last(ctx, key)
		if err != nil && !errors.Is(classify(err), ErrNotFound) {
			return Entry[T]{}, translate("mutating in "+b.spec.Name, err)
		}
		exists := err == nil && !found.gone
		next, keep, err := change(found.entry.Value, exists)
		if err != nil {
			return Entry[T]{}, err
		}
		result := Entry[T]{Key: key}
		how := write{ttl: ttl, conditional: true, expect: found.entry.Revision}
		switch {
		case keep:
			result.Value = next
			result.Revision, err = b.write(ctx, key, next, how)
		case exists:
			err = b.remove(ctx, key, how)
		}
		if err == nil {
			return result, nil
		}
		if !errors.Is(classify(err), ErrConflict) {
			return Entry[T]{}, translate("mutating in "+b.spec.Name, err)
		}
	}
	return Entry[T]{}, translate("mutating in "+b.spec.Name, ErrConflict)
}

// jitter waits a random time that grows with the attempts lost; the first attempt does not wait.
func jitter(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return ctx.Err()
	}
	bound := min(jitterEnd, jitterStart<<min(attempt, 10))
	timer := time.NewTimer(rand.N(bound))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
