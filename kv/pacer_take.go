package kv

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// paceShare: while less than half of a limit is used, a process takes limit/paceShare tokens at a time.
	paceShare = 100
	// clockLife is the maximum age of a sample of the server's time.
	clockLife = time.Second
)

// paceAsk is the input of a flight: the tokens wanted, and the cell when it began.
type paceAsk struct {
	id          cellKey
	limit, want int
	last        paceCell
}

// errTokenLate: tokens arrived so late that there may be a new hold. Take then asks again.
var errTokenLate = errors.New("the token's lease ended in transit")

// lead confirms the tokens in hand, or takes tokens for every waiter of the cell, and uses the first one.
func (p *Pacer) lead(ctx context.Context, c *paceCell, ask paceAsk) (Pace, error) {
	got, err := p.renew(ctx, ask)
	p.mu.Lock()
	defer p.mu.Unlock()
	running := c.flight
	c.flight = nil
	defer close(running.done)
	if err != nil {
		c.known = false
		// If the leader's own context ended, that does not concern the other waiters: one of them leads next.
		if ctx.Err() == nil {
			running.err = err
		}
		return Pace{}, err
	}
	if c.said > got.said {
		// A hold of this process was written meanwhile.
		return Pace{}, errTokenLate
	}
	c.left, c.slot, c.said, c.checked = got.left, got.slot, got.said, got.checked
	c.record, c.revision, c.known = got.record, got.revision, true
	at := p.server.earliest(p.now())
	slot := slotOf(at, ask.id.period)
	if c.left == 0 {
		return Pace{Wait: max(time.Millisecond, c.record.wait(at, slot, ask.limit, ask.id.period))}, nil
	}
	if !c.leased() {
		return Pace{}, errTokenLate
	}
	return c.spend(at, slot, ask.limit), nil
}

// renew confirms the tokens in hand if there are any and no hold is new, and takes tokens otherwise.
func (p *Pacer) renew(ctx context.Context, ask paceAsk) (paceCell, error) {
	last := ask.last
	if last.left == 0 {
		return p.fetch(ctx, ask)
	}
	checked := time.Now()
	record, revision, err := p.read(ctx, ask.id)
	if err != nil {
		return paceCell{}, err
	}
	ask.last.record, ask.last.revision, ask.last.known = record, revision, true
	if record.Said != last.said {
		return p.fetch(ctx, ask)
	}
	return paceCell{left: last.left, slot: last.slot, said: last.said, checked: checked, record: record, revision: revision}, nil
}

// fetch takes tokens by compare-and-set, or finds that none are left.
func (p *Pacer) fetch(ctx context.Context, ask paceAsk) (paceCell, error) {
	id, limit, want := ask.id, ask.limit, ask.want
	record, revision, fresh := ask.last.record, ask.last.revision, ask.last.known
	for attempt := range fetchAttempts {
		if err := jitter(ctx, attempt); err != nil {
			return paceCell{}, err
		}
		if p.server.older(p.now(), clockLife) || p.server.jumped(p.now()) {
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
				fresh = false // the known record may be outdated
				continue
			}
			return paceCell{record: record, revision: revision, slot: slot, said: record.Said}, nil
		}
		if free > limit/2 {
			want = max(want, limit/paceShare)
		}
		n, checked := min(want, free), time.Now()
		taken := record.take(at, slot, n).ahead(at, p.unspentUntil(at, slot, n, id.period), p.id)
		wrote, err := p.bucket.write(ctx, paceKey(id), taken, write{ttl: taken.life(at, id.period), conditional: true, expect: revision})
		if errors.Is(classify(err), ErrConflict) {
			fresh = false
			continue
		}
		if err != nil {
			return paceCell{}, err
		}
		record, revision, fresh = taken, wrote, true
		// Tokens that took longer than their slot to obtain are too old to be used.
		if slotOf(p.server.earliest(p.now()), id.period) > slot+1 {
			continue
		}
		return paceCell{left: n, slot: slot, said: taken.Said, checked: checked, record: taken, revision: wrote}, nil
	}
	return paceCell{}, ErrUnavailable
}

// unspentUntil is the time until which n tokens taken in a slot may be unspent: a single one is spent at once, others until they
// expire.
func (p *Pacer) unspentUntil(at, slot int64, n int, period time.Duration) int64 {
	until := at + int64(2*tokenLease)
	if n > 1 {
		until = max(until, (slot+2)*(int64(period)/paceSlots))
	}
	return until
}

// read returns the bucket's record, with revision 0 if there is none.
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

// askTime takes a new sample of the server's time.
func (p *Pacer) askTime(ctx context.Context) error {
	stream, err := withAnswer(ctx, p.bucket.js, func(ctx context.Context) (jetstream.Stream, error) {
		return p.bucket.js.Stream(ctx, p.bucket.spec.Stream())
	})
	if err != nil {
		return err
	}
	p.server.learn(stream.CachedInfo().TimeStamp, p.now())
	return nil
}

// cell returns the cell of a key and creates it if necessary. The caller holds mu.
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
