package kv

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Bounds of Mutate. Of eight concurrent writers of one key, 84 % of the first attempts fail; with jitter each succeeds within a
// few attempts.
const (
	mutateAttempts = 32
	jitterStart    = time.Millisecond
	jitterEnd      = 50 * time.Millisecond
)

// Mutate changes a key by compare-and-set until it succeeds. change gets the value and whether the key exists, and returns the new
// value and whether to keep the key. It is called once per attempt and must not have side effects. If it returns an error, Mutate
// returns that error unchanged and writes nothing. ttl is the new value's TTL, 0 for none.
//
// The result is the written entry without Created, or an Entry with only the key if the key was not kept. The error is ErrConflict
// after 32 failed attempts, ErrUnavailable if NATS cannot be reached; the change may then have been made.
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

// jitter waits a random time that grows with the number of failed attempts. It does not wait before the first one.
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
