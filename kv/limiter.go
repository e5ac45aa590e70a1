package kv

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

// Bounds of the period of Limiter.Take. A block must outlive the round trips that take it, hence minPeriod.
const (
	minPeriod = 100 * time.Millisecond
	maxPeriod = 24 * time.Hour
)

// Decision is the result of Take.
type Decision struct {
	Allowed bool
	// Limit is the requested limit.
	Limit int
	// Remaining is how many more this process can certainly admit in the window: a lower bound.
	Remaining int
	// Estimate is the limit less everything known to be taken, for display: exact while one process serves the key, otherwise at
	// most one block old and too high by what other processes took since.
	Estimate int
	// ResetAfter is the time until the window ends by the server's clock. It is never too short while clocks run evenly.
	ResetAfter time.Duration
}

// Limiter admits at most limit requests per key and window, over all processes that share the bucket GatewayLimits.
//
// Windows are fixed on the server's clock: [k·period, (k+1)·period) since 1970. A process takes a block of a window's tokens (a
// fiftieth of the limit, at least one) by compare-and-set and spends it locally. No local wall clock is involved: the server's
// timestamp of the write that took the block says in which window it was taken. A block taken in another window than intended is
// void, and a block expires with its window, counted from before the write was sent. Every error therefore admits fewer requests,
// never more.
//
// The bucket is Volatile: after a crash of its only server the current windows may be admitted again in part, after an orderly
// restart they are not. Tokens of a block that is not used up (because the process died, or another one now serves the key) are
// lost for their window.
//
// Limiter is safe for concurrent use.
type Limiter struct {
	bucket *Bucket[windowRecord]
	now    func() time.Time
	seed   maphash.Seed
	server serverClock
	shards [limiterShards]limiterShard
}

// windowRecord is the value of a key in the bucket.
type windowRecord struct {
	// Start is the start of the window in nanoseconds since 1970.
	Start int64 `json:"start"`
	// Taken is the number of its tokens that are in blocks.
	Taken int `json:"taken"`
}

const limiterShards = 64

type limiterShard struct {
	mu    sync.Mutex
	cells map[cellKey]*cell
	// sweepAt is the number of cells at which expired ones are dropped.
	sweepAt int
	_       [32]byte // keeps the locks of two shards on different cache lines
}

type cellKey struct {
	key    string
	period time.Duration
}

// LimiterClock replaces time.Now for measuring elapsed time.
func LimiterClock(now func() time.Time) func(*Limiter) {
	return func(l *Limiter) { l.now = now }
}

// OpenLimiter opens the bucket GatewayLimits as its owner and reads the server's time.
func OpenLimiter(ctx context.Context, js JetStream, options ...func(*Limiter)) (*Limiter, error) {
	bucket, err := Open[windowRecord](ctx, js, GatewayLimits)
	if err != nil {
		return nil, err
	}
	l := &Limiter{bucket: bucket, now: time.Now, seed: maphash.MakeSeed()}
	for _, option := range options {
		option(l)
	}
	for i := range l.shards {
		l.shards[i].cells = map[cellKey]*cell{}
		l.shards[i].sweepAt = firstSweep
	}
	if err := l.askTime(ctx); err != nil {
		return nil, translate("asking for the server's time", err)
	}
	return l, nil
}

// Take requests to admit one request under key in the current window. Limits with different periods on one key are counted
// separately; limits with the same period on one key share their count. With a block in hand it takes a lock and no round trip;
// otherwise concurrent calls for the key share one compare-and-set.
//
// The error is ErrUnavailable if no block is in hand and the bucket cannot be reached, ErrInvalidArgument for a limit below 1 or a
// period outside 100 ms to 24 h.
func (l *Limiter) Take(ctx context.Context, key string, limit int, period time.Duration) (Decision, error) {
	if limit < 1 || period < minPeriod || period > maxPeriod {
		return Decision{}, fmt.Errorf("%w: limit %d in %s", ErrInvalidArgument, limit, period)
	}
	shard := &l.shards[maphash.String(l.seed, key)%limiterShards]
	id := cellKey{key, period}
	for {
		now := l.now()
		jumped := l.server.jumped(now)
		shard.mu.Lock()
		c := shard.cell(id, now)
		if jumped {
			c.left = 0
		}
		if c.spend(now, limit) {
			decision := l.decide(c, now, limit, true)
			shard.mu.Unlock()
			return decision, nil
		}
		if !jumped && c.exhausted(limit) && l.server.earliest(now) < c.record.Start+int64(period) {
			decision := l.decide(c, now, limit, false)
			shard.mu.Unlock()
			return decision, nil
		}
		if running := c.flight; running != nil {
			c.waiting++
			shard.mu.Unlock()
			err := running.wait(ctx)
			shard.mu.Lock()
			c.waiting--
			shard.mu.Unlock()
			if err != nil {
				return Decision{}, translate("waiting for a block", err)
			}
			continue
		}
		c.flight = &flight{done: make(chan struct{})}
		ask := refill{id: id, limit: limit, want: 1 + c.waiting, record: c.record, revision: c.revision}
		shard.mu.Unlock()
		decision, err := l.lead(ctx, shard, c, ask)
		if errors.Is(err, errBlockExpired) {
			continue
		}
		if err != nil {
			return Decision{}, translate("taking a block", err)
		}
		return decision, nil
	}
}

// lead fetches a block for every waiter of the cell and takes its first token.
func (l *Limiter) lead(ctx context.Context, shard *limiterShard, c *cell, ask refill) (Decision, error) {
	got, err := l.fetch(ctx, ask)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	running := c.flight
	c.flight = nil
	defer close(running.done)
	if err != nil {
		c.revision, c.record = 0, windowRecord{}
		// If the leader's own context ended, that does not concern the other waiters: one of them leads next.
		if ctx.Err() == nil {
			running.err = err
		}
		return Decision{}, err
	}
	c.take(got)
	now := l.now()
	allowed := c.spend(now, ask.limit)
	if !allowed && got.tokens > 0 {
		return Decision{}, errBlockExpired
	}
	return l.decide(c, now, ask.limit, allowed), nil
}

// errBlockExpired: a block arrived so late that its window may have ended. Take then retries in the next window.
var errBlockExpired = errors.New("the block expired in transit")

// decide builds a Decision from the cell. The caller holds the shard's lock.
func (l *Limiter) decide(c *cell, now time.Time, limit int, allowed bool) Decision {
	d := Decision{Allowed: allowed, Limit: limit}
	if allowed {
		d.Remaining = c.left
		d.Estimate = max(0, limit-c.record.Taken) + c.left
	}
	d.ResetAfter = max(0, time.Duration(c.record.Start+int64(c.period)-l.server.earliest(now)))
	return d
}

// askTime takes a new sample of the server's time.
func (l *Limiter) askTime(ctx context.Context) error {
	stream, err := l.bucket.js.Stream(ctx, l.bucket.spec.Stream())
	if err != nil {
		return err
	}
	l.server.learn(stream.CachedInfo().TimeStamp, l.now())
	return nil
}
