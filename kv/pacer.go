package kv

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Bounds of the period of Pacer.Take.
const (
	minPace = 250 * time.Millisecond
	maxPace = 31 * 24 * time.Hour
)

// Pace is the result of Take or Peek.
type Pace struct {
	Allowed bool
	// Remaining is how many more may be admitted now, as far as this process knows.
	Remaining int
	// Wait is when a retry makes sense; 0 if Allowed.
	Wait time.Duration
}

// Pacer admits at most limit calls per key in any time span of length period, over all processes that share the bucket. It is for
// limits that a third party enforces with windows whose position is unknown: what it admits satisfies fixed windows, rolling
// windows and token buckets alike. In return it leaves a small share of the limit unused (two slots in fifty).
//
// The record of a key counts tokens in slots of a forty-eighth of the period, by the server's clock. Tokens are taken by
// compare-and-set, for all waiters of a process at once. Hold applies what the enforcer reports about the remaining calls to every
// process.
//
// Every error admits fewer calls, never more, with one exception: the bucket is Volatile, so a crash of its only server resets it.
// Pacer is safe for concurrent use.
type Pacer struct {
	bucket *Bucket[paceRecord]
	now    func() time.Time
	server serverClock
	mu     sync.Mutex
	cells  map[cellKey]*paceCell
	// sweepAt is the number of cells at which unused ones are dropped.
	sweepAt int
}

// paceCell is the local state of a key. The pacer's lock guards it.
type paceCell struct {
	// left is the number of tokens in hand. They are counted in slot and expire at the end of the next one.
	left     int
	slot     int64
	record   paceRecord
	revision uint64
	known    bool
	flight   *flight
	waiting  int
	touched  time.Time
}

// PacerClock replaces time.Now for measuring elapsed time.
func PacerClock(now func() time.Time) func(*Pacer) {
	return func(p *Pacer) { p.now = now }
}

// OpenPacer opens a bucket as its owner and reads the server's time.
func OpenPacer(ctx context.Context, js JetStream, spec Spec, options ...func(*Pacer)) (*Pacer, error) {
	bucket, err := Open[paceRecord](ctx, js, spec)
	if err != nil {
		return nil, err
	}
	p := &Pacer{bucket: bucket, now: time.Now, cells: map[cellKey]*paceCell{}, sweepAt: firstSweep}
	for _, option := range options {
		option(p)
	}
	if err := p.askTime(ctx); err != nil {
		return nil, translate("asking for the server's time", err)
	}
	return p, nil
}

// Take requests to admit one call under key. The error is ErrUnavailable if the bucket cannot be reached, ErrInvalidArgument for a
// limit below 1 or a period outside 250 ms to 31 days.
func (p *Pacer) Take(ctx context.Context, key string, limit int, period time.Duration) (Pace, error) {
	if limit < 1 || period < minPace || period > maxPace {
		return Pace{}, fmt.Errorf("%w: limit %d in %s", ErrInvalidArgument, limit, period)
	}
	id := cellKey{key, period}
	for {
		p.mu.Lock()
		c := p.cell(id)
		at := p.server.earliest(p.now())
		slot := slotOf(at, period)
		if c.left > 0 && slot <= c.slot+1 {
			c.left--
			pace := Pace{Allowed: true, Remaining: c.left + c.record.free(at, slot, limit)}
			p.mu.Unlock()
			return pace, nil
		}
		if free := c.record.free(at, slot, limit); c.known && free == 0 {
			pace := Pace{Wait: c.record.wait(at, slot, limit, period)}
			if pace.Wait > 0 && !p.server.older(p.now(), clockLife) {
				p.mu.Unlock()
				return pace, nil
			}
		}
		if running := c.flight; running != nil {
			c.waiting++
			p.mu.Unlock()
			err := running.wait(ctx)
			p.mu.Lock()
			c.waiting--
			p.mu.Unlock()
			if err != nil {
				return Pace{}, translate("waiting for a token", err)
			}
			continue
		}
		c.flight = &flight{done: make(chan struct{})}
		want := 1 + c.waiting
		p.mu.Unlock()
		pace, err := p.lead(ctx, c, id, limit, want)
		if err != nil {
			return Pace{}, translate("taking a token", err)
		}
		return pace, nil
	}
}

// Peek returns how much is left under key according to the bucket, without taking a token.
func (p *Pacer) Peek(ctx context.Context, key string, limit int, period time.Duration) (Pace, error) {
	found, err := p.bucket.last(ctx, paceKey(cellKey{key, period}))
	switch {
	case errors.Is(classify(err), ErrNotFound), err == nil && found.gone:
		return Pace{Allowed: true, Remaining: limit}, nil
	case err != nil:
		return Pace{}, translate("looking at a limit", err)
	}
	at := p.server.earliest(p.now())
	slot := slotOf(at, period)
	record := found.entry.Value
	free := record.free(at, slot, limit)
	pace := Pace{Allowed: free > 0, Remaining: free}
	if free == 0 {
		pace.Wait = record.wait(at, slot, limit, period)
	}
	return pace, nil
}

// GiveBack returns an unused token, which can be taken again until it expires.
func (p *Pacer) GiveBack(key string, period time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.cells[cellKey{key, period}]
	if c != nil && slotOf(p.server.earliest(p.now()), period) <= c.slot+1 {
		c.left++
	}
}

// Hold applies the enforcer's statement that it admits at most left more calls for the time lasts. It only ever lowers what is
// admitted, and applies to every process.
func (p *Pacer) Hold(ctx context.Context, key string, limit int, period time.Duration, left int, lasts time.Duration) error {
	id := cellKey{key, period}
	lasts = min(lasts, maxPace)
	if left > 0 && p.alreadyWithin(id, limit, left) {
		return nil
	}
	for attempt := range fetchAttempts {
		if err := jitter(ctx, attempt); err != nil {
			return translate("holding a limit", err)
		}
		record, revision, err := p.read(ctx, id)
		if err != nil {
			return translate("holding a limit", err)
		}
		at := p.server.earliest(p.now())
		until := at + int64(lasts)
		free := max(0, limit-record.used(slotOf(at, period)))
		if at < record.HoldUntil {
			free = record.HoldLeft
			left, until = min(left, record.HoldLeft), max(until, record.HoldUntil)
			if left == free && until == record.HoldUntil {
				return nil
			}
		}
		if left > free || until <= at {
			return nil
		}
		record.HoldLeft, record.HoldUntil = max(0, left), until
		revision, err = p.bucket.write(ctx, paceKey(id), record, write{ttl: record.life(at, period), conditional: true, expect: revision})
		if errors.Is(classify(err), ErrConflict) {
			continue
		}
		if err != nil {
			return translate("holding a limit", err)
		}
		p.mu.Lock()
		c := p.cell(id)
		c.record, c.revision, c.known, c.left = record, revision, true, 0
		p.mu.Unlock()
		return nil
	}
	return translate("holding a limit", ErrUnavailable)
}

// alreadyWithin reports, without a request, that at most left more calls would be admitted: other processes can only have taken more.
func (p *Pacer) alreadyWithin(id cellKey, limit, left int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.cells[id]
	at := p.server.earliest(p.now())
	return c != nil && c.known && left >= limit-c.record.used(slotOf(at, id.period))
}
