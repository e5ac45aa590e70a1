package outbox

import (
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// blockedRetryMin and blockedRetryMax bound the delay between two batches of retries.
	blockedRetryMin = 50 * time.Millisecond
	blockedRetryMax = time.Second
	// blockedBatch bounds the blocked keys that one pass tries again, so that any number of refused messages costs a bounded
	// share of the relay.
	blockedBatch = 100
)

// blockedKeys are the keys whose next message was refused: by its stream, or because no stream takes its subject. Their rows are
// passed over, so that other keys continue at full speed. Batches of blocked keys are tried again with growing delays. Once one
// of them succeeds, the next batch is due at once: the fault has probably ended for all of them.
type blockedKeys struct {
	keys      map[string]bool
	queue     []string // keys, in the order in which they are tried again
	delays    *backoff.ExponentialBackOff
	due       time.Time // of the next batch
	retrying  map[string]bool
	succeeded bool // a key of the present batch
}

func newBlockedKeys() *blockedKeys {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval, delays.Multiplier = blockedRetryMin, blockedRetryMax, 2
	return &blockedKeys{keys: map[string]bool{}, delays: delays}
}

// begin begins a pass: it admits the next batch if it is due.
func (b *blockedKeys) begin(now time.Time) {
	b.retrying, b.succeeded = map[string]bool{}, false
	if now.Before(b.due) {
		return
	}
	for range min(blockedBatch, len(b.queue)) {
		delete(b.keys, b.queue[0])
		b.retrying[b.queue[0]] = true
		b.queue = b.queue[1:]
	}
}

// block passes over the messages of key until its next batch.
func (b *blockedKeys) block(key string) {
	if !b.keys[key] {
		b.keys[key] = true
		b.queue = append(b.queue, key)
	}
}

// published reports that a message of key was stored.
func (b *blockedKeys) published(key string) { b.succeeded = b.succeeded || b.retrying[key] }

// end ends a pass and returns the delay until the next batch, at most limit.
func (b *blockedKeys) end(now time.Time, limit time.Duration) time.Duration {
	if b.succeeded {
		b.delays.Reset()
		b.due = now
	}
	switch {
	case len(b.queue) == 0:
		return limit
	case !b.succeeded && !now.Before(b.due):
		b.due = now.Add(b.delays.NextBackOff())
	}
	return min(limit, b.due.Sub(now))
}
