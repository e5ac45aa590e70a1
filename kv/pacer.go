package kv

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nuid"
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
	// said is paceRecord.Said when the token was taken.
	said int64
}

// Pacer admits at most limit calls per key in any time span of length period, over all processes that share the bucket. It is for
// limits that a third party enforces with windows whose position is unknown: what it admits satisfies fixed windows, rolling
// windows and token buckets alike. In return it leaves a small share of the limit unused (two slots in fifty).
//
// The record of a key counts tokens in slots of a forty-eighth of the period, by the server's clock. Tokens are taken by
// compare-and-set, for all waiters of a process at once, and some in advance. A process spends tokens in hand for tokenLease; then
// it reads the record again, and gives them up if there is a new hold.
//
// Hold applies what the enforcer reports about the remaining calls to every process. Each report is kept as it is, a number of
// calls and the time for which it holds; nothing is admitted that one of them excludes.
//
// Every error admits fewer calls, never more, with one exception: the bucket is Volatile, so a crash of its only server resets it.
// Pacer is safe for concurrent use.
type Pacer struct {
	// id identifies the pacer among those of other processes.
	id     string
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
	// left is the number of tokens in hand. They are counted in slot and expire at the end of the next one. They were taken, or
	// confirmed, by a request sent at checked, when the record's Said was said.
	left     int
	slot     int64
	said     int64
	checked  time.Time
	record   paceRecord
	revision uint64
	known    bool
	flight   *flight
	waiting  int
	touched  time.Time
}

// PacerClock replaces time.Now for carrying the server's time forward. Leases of tokens always go by the machine's clocks.
func PacerClock(now func() time.Time) func(*Pacer) {
	return func(p *Pacer) { p.now = now }
}

// OpenPacer opens a bucket as its owner and reads the server's time.
func OpenPacer(ctx context.Context, js JetStream, spec Spec, options ...func(*Pacer)) (*Pacer, error) {
	bucket, err := Open[paceRecord](ctx, js, spec)
	if err != nil {
		return nil, err
	}
	p := &Pacer{id: nuid.Next(), bucket: bucket, now: time.Now, cells: map[cellKey]*paceCell{}, sweepAt: firstSweep}
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
		jumped := p.server.jumped(p.now())
		inHand := c.left > 0 && slot <= c.slot+1 && !jumped
		if inHand && c.leased() {
			pace := c.spend(at, slot, limit)
			p.mu.Unlock()
			return pace, nil
		}
		if free := c.record.free(at, slot, limit); !inHand && c.known && free == 0 && !jumped {
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
		ask := paceAsk{id: id, limit: limit, want: 1 + c.waiting, last: *c}
		if !inHand {
			ask.last.left = 0
		}
		p.mu.Unlock()
		pace, err := p.lead(ctx, c, ask)
		if errors.Is(err, errTokenLate) {
			continue
		}
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

// GiveBack returns the unused token of a Take, which can be taken again until it expires or there is a new hold.
func (p *Pacer) GiveBack(key string, period time.Duration, unused Pace) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.cells[cellKey{key, period}]
	if c != nil && unused.Allowed && c.said == unused.said && slotOf(p.server.earliest(p.now()), period) <= c.slot+1 {
		c.left++
	}
}
