package kv

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Bounds of Limiter.Take. A period is at least minPeriod: a block's life must outlast the round trips that take it.
const (
	minPeriod = 100 * time.Millisecond
	maxPeriod = 24 * time.Hour
)

// Decision is the answer to one Take.
type Decision struct {
	Allowed bool
	// Limit is the limit that was asked for.
	Limit int
	// Remaining is how many more this process may certainly admit in the window: a lower bound.
	Remaining int
	// Estimate is the limit less all that is known to be taken: exact while one process serves the key, otherwise at
	// most one block old and too high by what others took since. The number to show to a caller.
	Estimate int
	// ResetAfter is the time until the window ends by the server's clock, never too short while clocks run evenly.
	ResetAfter time.Duration
}

// Limiter admits at most so many per key and window, over all processes that share the bucket GatewayLimits.
//
// Windows are fixed and lie on the server's clock: [k·period, (k+1)·period) since 1970. A process takes a block of
// a window's tokens (a fiftieth of the limit, at least one) by compare-and-set and spends it locally; no local wall
// clock decides anything. The server's timestamp on the very write that took the block tells in which window it was taken;
// a block taken in another window than meant is void, and a block ends with its window, counted from before
// the write was sent. Every error therefore admits fewer, never more.
//
// What it does not survive: the bucket is Volatile, so after a crash of its only server the windows of that moment may be
// admitted again in part; after an orderly restart they are not. And tokens in a block that is not spent (a process that
// died, a key that moved on to another process) are lost to that window.
//
// It is safe for concurrent use.
type Limiter struct {
	bucket *Bucket[windowRecord]
	now    func() time.Time
	seed   maphash.Seed
	server serverClock
	shards [limiterShards]limiterShard
}

// windowRecord is what the bucket holds for a key.
type windowRecord struct {
	// Start is when the window begins, in nanoseconds since 1970.
	Start int64 `json:"start"`
	// Taken is how many tokens of it are in somebody's block.
	Taken int `json:"taken"`
}

const limiterShards = 64

type limiterShard struct {
	mu    sync.Mutex
	cells map[cellKey]*cell
	// sweepAt is the number of cells at which dead ones are dropped.
	sweepAt int
	_       [32]byte // keeps two shards' locks off one cache line
}

type cellKey struct {
	key    string
	period time.Duration
}

// LimiterClock has the limiter measure elapsed time by now instead of time.Now.
func LimiterClock(now func() time.Time) func(*Limiter) {
	return func(l *Limiter) { l.now = now }
}

// OpenLimiter binds to the bucket GatewayLimits, as its owner, and asks the server for its time.
func OpenLimiter(ctx context.Context, js jetstream.JetStream, options ...func(*Limiter)) (*Limiter, error) {
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

// Take asks to admit one more under key in the present window. A limit of another period on the same key is counted apart;
// two limits of one period on one key share their count. While a block is in hand it takes a lock and no round trip;
// without one, concurrent takers of the key share one compare-and-set.
//
// ErrUnavailable when no block is in hand and the bucket cannot be reached, ErrInvalidArgument for a limit below
// one or a period outside 100 ms to 24 h.
func (l *Limiter) Take(ctx context.Context, key string, limit int, period time.Duration) (Decision, error) {
	if limit < 1 || period < minPeriod || period > maxPeriod {
		return Decision{}, fmt.Errorf("%w: limit %d in %s", ErrInvalidArgument, limit, period)
	}
	shard := &l.shards[maphash.String(l.seed, key)%limiterShards]
	id := cellKey{key, period}
	for {
		now := l.now()
		shard.mu.Lock()
		c := shard.cell(id, now)
		if c.spend(now, limit) {
			decision := l.decide(c, now, limit, true)
			shard.mu.Unlock()
			return decision, nil
		}
		if c.exhausted(limit) && l.server.earliest(now) < c.record.Start+int64(period) {
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
		if errors.Is(err, errDied) {
			continue
		}
		if err != nil {
			return Decision{}, translate("taking a block", err)
		}
		return decision, nil
	}
}

// lead fetches a block for everybody who waits for the cell, and takes the first token of it.
func (l *Limiter) lead(ctx context.Context, shard *limiterShard, c *cell, ask refill) (Decision, error) {
	got, err := l.fetch(ctx, ask)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	running := c.flight
	c.flight = nil
	defer close(running.done)
	if err != nil {
		c.revision, c.record = 0, windowRecord{}
		// A leader whose own time is up says nothing about the others': one of them leads next.
		if ctx.Err() == nil {
			running.err = err
		}
		return Decision{}, err
	}
	c.take(got)
	now := l.now()
	allowed := c.spend(now, ask.limit)
	if !allowed && got.tokens > 0 {
		return Decision{}, errDied
	}
	return l.decide(c, now, ask.limit, allowed), nil
}

// errDied: a block came so late that its window may have ended meanwhile. The next window has another one.
var errDied = errors.New("the block has died on its way")

// decide words what is known of the cell's window. The caller holds the shard's lock.
func (l *Limiter) decide(c *cell, now time.Time, limit int, allowed bool) Decision {
	d := Decision{Allowed: allowed, Limit: limit}
	if allowed {
		d.Remaining = c.left
		d.Estimate = max(0, limit-c.record.Taken) + c.left
	}
	d.ResetAfter = max(0, time.Duration(c.record.Start+int64(c.period)-l.server.earliest(now)))
	return d
}

// askTime learns the server's time anew.
func (l *Limiter) askTime(ctx context.Context) error {
	stream, err := l.bucket.js.Stream(ctx, l.bucket.spec.Stream())
	if err != nil {
		return err
	}
	l.server.learn(stream.CachedInfo().TimeStamp, l.now())
	return nil
}

// serverClock bounds the server's time from below.
type serverClock struct {
	sample atomic.Pointer[clockSample]
}

// clockSample says that the server's clock showed server no later than local.
type clockSample struct {
	server int64
	local  time.Time
}

// drift is the share by which a local clock is taken to run fast or slow, in thousandths: twice what NTP slews.
const drift = 1

// learn takes a fresh sample: the server's time, received at local.
func (s *serverClock) learn(server, local time.Time) {
	s.sample.Store(&clockSample{server: server.UnixNano(), local: local})
}

// earliest is the earliest time that the server's clock can show at now, in nanoseconds since 1970.
func (s *serverClock) earliest(now time.Time) int64 {
	sample := s.sample.Load()
	passed := now.Sub(sample.local)
	return sample.server + int64(passed-passed/1000*drift)
}

// stale reports whether the sample is so old that drift matters.
func (s *serverClock) stale(now time.Time) bool { return s.older(now, 30*time.Second) }

// older reports whether the sample is older than that.
func (s *serverClock) older(now time.Time, than time.Duration) bool {
	return elapsed(now, s.sample.Load().local) > than
}
