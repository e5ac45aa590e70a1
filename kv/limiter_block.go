package kv

import (
	"context"
	"errors"
	"time"
)

const (
	// blockShare: a block has limit/blockShare tokens.
	blockShare = 50
	// firstSweep is the number of cells at which a shard is first swept.
	firstSweep = 64
	// fetchAttempts is the maximum number of compare-and-sets of one fetch.
	fetchAttempts = 64
)

// cell is the local state of one key's window. The shard's lock guards it.
type cell struct {
	period time.Duration
	// left is the number of tokens in hand. They may be used until life has passed since sent.
	left int
	sent time.Time
	life time.Duration
	// record is the bucket's value as last seen, at revision. revision is 0 if the value is unknown, or if nothing more may be
	// taken in the record's window, whatever the bucket says.
	record   windowRecord
	revision uint64
	flight   *flight
	waiting  int
	touched  time.Time
}

// flight is a fetch that several callers wait for. err is written before done is closed.
type flight struct {
	done chan struct{}
	err  error
}

func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cell returns the cell of a key and creates it if necessary. The caller holds mu.
func (s *limiterShard) cell(id cellKey, now time.Time) *cell {
	c := s.cells[id]
	if c == nil {
		if len(s.cells) >= s.sweepAt {
			s.sweep(now)
		}
		c = &cell{period: id.period}
		s.cells[id] = c
	}
	c.touched = now
	return c
}

// sweep drops cells that were not used for two windows, which bounds their number to about twice those in use.
func (s *limiterShard) sweep(now time.Time) {
	for id, c := range s.cells {
		if c.flight == nil && c.waiting == 0 && elapsed(now, c.touched) > 2*id.period {
			delete(s.cells, id)
		}
	}
	s.sweepAt = max(firstSweep, 2*len(s.cells))
}

// spend takes one token in hand, unless its window may have ended. If the limit was lowered in between, tokens taken under the
// higher limit are not used beyond the lower one.
func (c *cell) spend(now time.Time, limit int) bool {
	if c.left == 0 || elapsed(now, c.sent) >= c.life || c.record.Taken-c.left >= limit {
		return false
	}
	c.left--
	return true
}

// exhausted reports whether nothing is left of the window last seen, neither here nor in the bucket.
func (c *cell) exhausted(limit int) bool {
	return c.record.Taken >= limit
}

// take replaces the tokens in hand by a fetched block.
func (c *cell) take(got block) {
	c.left, c.sent, c.life = got.tokens, got.sent, got.life
	c.record, c.revision = got.record, got.revision
}

// refill is the input of a fetch.
type refill struct {
	id    cellKey
	limit int
	// want is the number of waiters.
	want     int
	record   windowRecord
	revision uint64
}

// block is the result of a fetch: tokens, 0 if the window is exhausted, and the bucket's value.
type block struct {
	tokens   int
	sent     time.Time
	life     time.Duration
	record   windowRecord
	revision uint64
}

// fetch takes a block by compare-and-set, or finds that none is left.
func (l *Limiter) fetch(ctx context.Context, ask refill) (block, error) {
	if l.server.stale(l.now()) || l.server.jumped(l.now()) {
		if err := l.askTime(ctx); err != nil {
			return block{}, err
		}
	}
	key := EncodeKey(ask.id.key, ask.id.period.String())
	for attempt := range fetchAttempts {
		if err := jitter(ctx, attempt); err != nil {
			return block{}, err
		}
		got, done, err := l.attempt(ctx, key, &ask)
		if err != nil || done {
			return got, err
		}
	}
	return block{}, ErrUnavailable
}

// attempt tries once to take a block. done is false if another process was faster or the window ended meanwhile. It updates ask to
// the bucket's value.
func (l *Limiter) attempt(ctx context.Context, key string, ask *refill) (_ block, done bool, _ error) {
	sent := l.now()
	start := windowOf(l.server.earliest(sent), ask.id.period)
	taken := 0
	if ask.revision != 0 && ask.record.Start > start {
		// A sample of the server's time that was delayed in transit can lag behind an earlier one, so that a window seen
		// before appears to be in the future. A new sample is later than every write read before.
		if err := l.askTime(ctx); err != nil {
			return block{}, false, err
		}
		sent = l.now()
		start = windowOf(l.server.earliest(sent), ask.id.period)
	}
	if ask.revision != 0 && ask.record.Start > start {
		// A process whose clock ran ahead wrote a window that the server has not reached. Its block is void, but it overwrote
		// how much of the current window is taken, so nothing more is admitted in it.
		return block{record: windowRecord{Start: start, Taken: ask.limit}}, true, nil
	}
	if ask.revision != 0 && ask.record.Start == start {
		taken = ask.record.Taken
	}
	if taken >= ask.limit {
		return block{record: ask.record, revision: ask.revision}, true, nil
	}
	tokens := min(max(1, ask.limit/blockShare, ask.want), ask.limit-taken)
	how := write{ttl: 2 * ask.id.period, conditional: true, expect: ask.revision}
	wrote, err := l.bucket.write(ctx, key, windowRecord{Start: start, Taken: taken + tokens}, how)
	if errors.Is(classify(err), ErrConflict) {
		_, err = l.readRecord(ctx, key, ask, 0)
		return block{}, false, err
	}
	if err != nil {
		return block{}, false, err
	}
	// The entry read may be a later write of another process. Its later timestamp only shortens the block's life.
	stored, err := l.readRecord(ctx, key, ask, wrote)
	if err != nil {
		return block{}, false, err
	}
	if ask.record.Start != start || windowOf(stored, ask.id.period) != start {
		return block{}, false, nil
	}
	life := time.Duration(start + int64(ask.id.period) - stored)
	life -= life / 1000 * drift
	return block{tokens: tokens, sent: sent, life: life, record: ask.record, revision: ask.revision}, true, nil
}

// readRecord reads the key's record into ask and returns when the server stored it, in nanoseconds since 1970; 0 if there is none.
// If that is the revision just written, its time is a sample of the server's clock; otherwise it is only a lower bound.
func (l *Limiter) readRecord(ctx context.Context, key string, ask *refill, wrote uint64) (int64, error) {
	found, err := l.bucket.last(ctx, key)
	if errors.Is(classify(err), ErrNotFound) {
		ask.record, ask.revision = windowRecord{}, 0
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	ask.record, ask.revision = found.entry.Value, found.entry.Revision
	stored, now := found.entry.Created, l.now()
	if ask.revision == wrote || stored.UnixNano() > l.server.earliest(now) {
		l.server.learn(stored, now)
	}
	return stored.UnixNano(), nil
}

// windowOf returns the start of the window that contains a time, both in nanoseconds since 1970.
func windowOf(at int64, period time.Duration) int64 { return at - at%int64(period) }
