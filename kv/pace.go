package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// paceSlots is how many slots a period has.
	paceSlots = 48
	// paceSlack is how many more slots than a period has must pass before a token is free again: one because a slot is
	// counted as a whole, one for what lies between a token and the call that it was for.
	paceSlack = 2
	// paceSpan is how many slots count.
	paceSpan = paceSlots + paceSlack
	// paceShare: while less than half of a limit is taken, a process takes limit/paceShare tokens at a time.
	paceShare = 100
	// clockLife is how long a sample of the server's time is good for, in pacing.
	clockLife = time.Second
)

// Bounds of Pacer.Take's period.
const (
	minPace = 250 * time.Millisecond
	maxPace = 31 * 24 * time.Hour
)

// Pace is the answer to one Take or Peek.
type Pace struct {
	Allowed bool
	// Remaining is how many more may be admitted now, as far as is known.
	Remaining int
	// Wait is when it makes sense to ask again; zero where Allowed.
	Wait time.Duration
}

// Pacer admits at most so many per key in any span of a period, wherever the span begins, over all processes that share the
// bucket. It is for limits that somebody else enforces, by windows that nobody here knows: what it admits satisfies fixed
// windows, rolling ones and token buckets alike. The price is a small share of the limit (two slots in fifty).
//
// A key's record counts tokens by slots of a forty-eighth of the period, on the server's clock; tokens are taken by
// compare-and-set, for all who wait in the process at once. What is known from elsewhere (the enforcer said that nothing, or
// only so much, is left) is laid over the count by Hold, for every process.
//
// Every error admits fewer, never more, except this: the bucket is Volatile, and a crash of its only server forgets.
// It is safe for concurrent use.
type Pacer struct {
	bucket *Bucket[paceRecord]
	now    func() time.Time
	server serverClock
	mu     sync.Mutex
	cells  map[cellKey]*paceCell
	// sweepAt is the number of cells at which those that nobody asks for are dropped.
	sweepAt int
}

// paceRecord is what the bucket holds for a key.
type paceRecord struct {
	// Slot is the number of the newest slot that is counted, Counts its tokens and those of the slots before it, the newest
	// first.
	Slot   int64 `json:"slot"`
	Counts []int `json:"counts"`
	// Until HoldUntil, in nanoseconds since 1970, at most HoldLeft more are admitted.
	HoldUntil int64 `json:"hold_until,omitempty"`
	HoldLeft  int   `json:"hold_left,omitempty"`
}

// paceCell is what a process knows of a key. The pacer's lock guards it.
type paceCell struct {
	// left are tokens in hand, counted in slot and to be spent before the end of the next.
	left     int
	slot     int64
	record   paceRecord
	revision uint64
	known    bool
	flight   *flight
	waiting  int
	touched  time.Time
}

// PacerClock has the pacer measure elapsed time by now instead of time.Now.
func PacerClock(now func() time.Time) func(*Pacer) {
	return func(p *Pacer) { p.now = now }
}

// OpenPacer binds to a bucket, as its owner, and asks the server for its time.
func OpenPacer(ctx context.Context, js jetstream.JetStream, spec Spec, options ...func(*Pacer)) (*Pacer, error) {
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

// Take asks to admit one more under key. ErrUnavailable when the bucket cannot be reached, ErrInvalidArgument for a limit
// below one or a period outside 250 ms to 31 days.
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

// Peek tells how much is left under key, as the bucket has it.
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

// GiveBack returns a token that was taken and not used; it may be spent again while its slot lasts.
func (p *Pacer) GiveBack(key string, period time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.cells[cellKey{key, period}]
	if c != nil && slotOf(p.server.earliest(p.now()), period) <= c.slot+1 {
		c.left++
	}
}

// Hold says that the enforcer lets at most left more through for a while. It only ever lowers what is admitted, in every
// process.
func (p *Pacer) Hold(ctx context.Context, key string, limit int, period time.Duration, left int, lasts time.Duration) error {
	id := cellKey{key, period}
	lasts = min(lasts, maxPace)
	if left > 0 && p.holdsAnyway(id, limit, left) {
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

// holdsAnyway tells, without a round trip, that no more than left would be admitted: others can only have taken more.
func (p *Pacer) holdsAnyway(id cellKey, limit, left int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.cells[id]
	at := p.server.earliest(p.now())
	return c != nil && c.known && left >= limit-c.record.used(slotOf(at, id.period))
}

// lead takes tokens for everybody who waits for the cell, and spends the first.
func (p *Pacer) lead(ctx context.Context, c *paceCell, id cellKey, limit, want int) (Pace, error) {
	got, err := p.fetch(ctx, c, id, limit, want)
	p.mu.Lock()
	defer p.mu.Unlock()
	running := c.flight
	c.flight = nil
	defer close(running.done)
	if err != nil {
		c.known = false
		// A leader whose own time is up says nothing about the others': one of them leads next.
		if ctx.Err() == nil {
			running.err = err
		}
		return Pace{}, err
	}
	c.left, c.slot = got.left, got.slot
	c.record, c.revision, c.known = got.record, got.revision, true
	at := p.server.earliest(p.now())
	slot := slotOf(at, id.period)
	if c.left == 0 {
		return Pace{Wait: max(time.Millisecond, c.record.wait(at, slot, limit, id.period))}, nil
	}
	c.left--
	return Pace{Allowed: true, Remaining: c.left + c.record.free(at, slot, limit)}, nil
}

// fetch takes tokens by compare-and-set, or finds that there are none.
func (p *Pacer) fetch(ctx context.Context, c *paceCell, id cellKey, limit, want int) (paceCell, error) {
	record, revision := c.record, c.revision
	fresh := c.known
	for attempt := range fetchAttempts {
		if err := jitter(ctx, attempt); err != nil {
			return paceCell{}, err
		}
		if p.server.older(p.now(), clockLife) {
			if err := p.askTime(ctx); err != nil {
				return paceCell{}, err
			}
		}
		if !fresh {
			var err error
			if record, revision, err = p.read(ctx, id); err != nil {
				return paceCell{}, err
			}
		}
		at := p.server.earliest(p.now())
		slot := slotOf(at, id.period)
		free := record.free(at, slot, limit)
		if free == 0 {
			if fresh {
				fresh = false // somebody may have learnt better
				continue
			}
			return paceCell{record: record, revision: revision, slot: slot}, nil
		}
		if free > limit/2 {
			want = max(want, limit/paceShare)
		}
		taken := record.take(at, slot, min(want, free))
		wrote, err := p.bucket.write(ctx, paceKey(id), taken, write{ttl: taken.life(at, id.period), conditional: true, expect: revision})
		if errors.Is(classify(err), ErrConflict) {
			fresh = false
			continue
		}
		if err != nil {
			return paceCell{}, err
		}
		record, revision, fresh = taken, wrote, true
		// Tokens that took longer than their slot to get are counted too early to be spent.
		if slotOf(p.server.earliest(p.now()), id.period) > slot+1 {
			continue
		}
		return paceCell{left: min(want, free), slot: slot, record: taken, revision: wrote}, nil
	}
	return paceCell{}, ErrUnavailable
}

// read is the bucket's record, at revision 0 where there is none.
func (p *Pacer) read(ctx context.Context, id cellKey) (paceRecord, uint64, error) {
	found, err := p.bucket.last(ctx, paceKey(id))
	if errors.Is(classify(err), ErrNotFound) {
		return paceRecord{}, 0, nil
	}
	if err != nil {
		return paceRecord{}, 0, err
	}
	if found.gone {
		return paceRecord{}, found.entry.Revision, nil
	}
	return found.entry.Value, found.entry.Revision, nil
}

func paceKey(id cellKey) string { return EncodeKey(id.key, id.period.String()) }

// askTime learns the server's time anew.
func (p *Pacer) askTime(ctx context.Context) error {
	stream, err := p.bucket.js.Stream(ctx, p.bucket.spec.Stream())
	if err != nil {
		return err
	}
	p.server.learn(stream.CachedInfo().TimeStamp, p.now())
	return nil
}

// cell returns the key's cell, making it if need be. The caller holds mu.
func (p *Pacer) cell(id cellKey) *paceCell {
	now := p.now()
	c := p.cells[id]
	if c == nil {
		if len(p.cells) >= p.sweepAt {
			for other, old := range p.cells {
				if old.flight == nil && old.waiting == 0 && elapsed(now, old.touched) > 2*other.period {
					delete(p.cells, other)
				}
			}
			p.sweepAt = max(firstSweep, 2*len(p.cells))
		}
		c = &paceCell{}
		p.cells[id] = c
	}
	c.touched = now
	return c
}

// slotOf is the number of the slot that a time lies in, in nanoseconds since 1970.
func slotOf(at int64, period time.Duration) int64 { return at / (int64(period) / paceSlots) }

// used is how many tokens count in a slot.
func (r paceRecord) used(slot int64) int {
	n := 0
	for i, count := range r.Counts {
		if r.Slot-int64(i) > slot-paceSpan {
			n += count
		}
	}
	return n
}

// free is how many may be taken.
func (r paceRecord) free(at, slot int64, limit int) int {
	free := max(0, limit-r.used(slot))
	if at < r.HoldUntil {
		free = min(free, r.HoldLeft)
	}
	return free
}

// wait is how long nothing can be taken that cannot be taken now; zero where that is not so.
func (r paceRecord) wait(at, slot int64, limit int, period time.Duration) time.Duration {
	if at < r.HoldUntil && r.HoldLeft == 0 {
		return time.Duration(r.HoldUntil - at)
	}
	excess := r.used(slot) - limit + 1
	if excess <= 0 {
		return 0
	}
	for i := len(r.Counts) - 1; i >= 0; i-- {
		number := r.Slot - int64(i)
		if number <= slot-paceSpan {
			continue
		}
		if excess -= r.Counts[i]; excess <= 0 {
			// The slot after the last in which it counts.
			return time.Duration((number+paceSpan)*(int64(period)/paceSlots) - at)
		}
	}
	return 0
}

// take counts tokens in a slot.
func (r paceRecord) take(at, slot int64, n int) paceRecord {
	made := paceRecord{Slot: max(slot, r.Slot), HoldUntil: r.HoldUntil, HoldLeft: r.HoldLeft}
	if at >= r.HoldUntil {
		made.HoldUntil, made.HoldLeft = 0, 0
	} else {
		made.HoldLeft -= n
	}
	ahead := min(made.Slot-r.Slot, paceSpan)
	if len(r.Counts) == 0 {
		ahead = 0
	}
	made.Counts = append(make([]int, ahead), r.Counts...)
	made.Counts = made.Counts[:min(len(made.Counts), paceSpan)]
	if len(made.Counts) == 0 {
		made.Counts = []int{0}
	}
	made.Counts[0] += n
	for len(made.Counts) > 1 && made.Counts[len(made.Counts)-1] == 0 {
		made.Counts = made.Counts[:len(made.Counts)-1]
	}
	made.Counts = slices.Clip(made.Counts)
	return made
}

// life is how long a record means anything.
func (r paceRecord) life(at int64, period time.Duration) time.Duration {
	return max(2*period, time.Duration(r.HoldUntil-at)) + time.Second
}
