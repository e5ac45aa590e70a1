package kv

import (
	"context"
	"errors"
	"time"
)

const (
	// blockShare: a block is limit/blockShare tokens.
	blockShare = 50
	// firstSweep is how many cells a shard has before it is swept the first time.
	firstSweep = 64
	// fetchAttempts bounds the compare-and-sets of one fetch.
	fetchAttempts = 64
)

// cell is what a process knows of one key's window. The shard's lock guards it.
type cell struct {
	period time.Duration
	// left is the tokens in hand. They may be spent until life has passed since sent.
	left int
	sent time.Time
	life time.Duration
	// record is the bucket's value as last seen, at revision; 0 when not known, or when nothing more may be taken
	// of the record's window, whatever the bucket holds.
	record   windowRecord
	revision uint64
	flight   *flight
	waiting  int
	touched  time.Time
}

// flight is one fetch that several takers wait for. err is written before done is closed.
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

// cell returns the key's cell, making it if need be. The caller holds mu.
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

// sweep drops the cells that nobody asked for during two windows, so that their number stays within twice what is
// in use.
func (s *limiterShard) sweep(now time.Time) {
	for id, c := range s.cells {
		if c.flight == nil && c.waiting == 0 && elapsed(now, c.touched) > 2*id.period {
			delete(s.cells, id)
		}
	}
	s.sweepAt = max(firstSweep, 2*len(s.cells))
}

// spend takes one token in hand, if there is one whose window certainly has not ended. A limit that was lowered meanwhile
// holds at once: tokens taken under a higher one are not spent past it.
func (c *cell) spend(now time.Time, limit int) bool {
	if c.left == 0 || elapsed(now, c.sent) >= c.life || c.record.Taken-c.left >= limit {
		return false
	}
	c.left--
	return true
}

// exhausted reports whether the window last seen has nothing left to take, here or in the bucket.
func (c *cell) exhausted(limit int) bool {
	return c.record.Taken >= limit
}

// take puts a fetched block in hand in place of what is left of the last.
func (c *cell) take(got block) {
	c.left, c.sent, c.life = got.tokens, got.sent, got.life
	c.record, c.revision = got.record, got.revision
}

// refill is what a fetch is asked for.
type refill struct {
	id    cellKey
	limit int
	// want is how many takers wait.
	want     int
	record   windowRecord
	revision uint64
}

// block is what a fetch brings: tokens, none when the window is exhausted, and what the bucket holds.
type block struct {
	tokens   int
	sent     time.Time
	life     time.Duration
	record   windowRecord
	revision uint64
}

// fetch takes a block by compare-and-set, or finds that there is none to take.
func (l *Limiter) fetch(ctx context.Context, ask refill) (block, error) {
	if l.server.stale(l.now()) {
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

// attempt tries once; done is false when another was faster or the window turned meanwhile. What it learns of the bucket
// it leaves in ask.
func (l *Limiter) attempt(ctx context.Context, key string, ask *refill) (_ block, done bool, _ error) {
	sent := l.now()
	start := windowOf(l.server.earliest(sent), ask.id.period)
	taken := 0
	if ask.revision != 0 && ask.record.Start > start {
		// A sample of the server's time that was slow on its way lags behind an earlier one, so that a window already
		// seen seems to lie ahead. Asked now, the server's time is past every write that was read before.
		if err := l.askTime(ctx); err != nil {
			return block{}, false, err
		}
		sent = l.now()
		start = windowOf(l.server.earliest(sent), ask.id.period)
	}
	if ask.revision != 0 && ask.record.Start > start {
		// Somebody whose clock ran ahead wrote a window that the server has not reached. His block is void, but how much was
		// taken of the present window is forgotten with it: nothing more is admitted in it.
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
		_, err = l.look(ctx, key, ask, 0)
		return block{}, false, err
	}
	if err != nil {
		return block{}, false, err
	}
	// When did the server store that? The entry read may be another's later one; its time is later too, which only
	// shortens the block's life.
	stored, err := l.look(ctx, key, ask, wrote)
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

// look reads the key's record into ask and returns when the server stored it, in nanoseconds since 1970; 0 when there is
// none. Its time tells what the server's clock shows now if it is the revision just written, and otherwise only that the
// clock has come that far.
func (l *Limiter) look(ctx context.Context, key string, ask *refill, wrote uint64) (int64, error) {
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

// windowOf is the beginning of the window that the time lies in, both in nanoseconds since 1970.
func windowOf(at int64, period time.Duration) int64 { return at - at%int64(period) }
