package kv

import (
	"context"
	"errors"
	"time"
)

const (
	// paceShare: while less than half of a limit is used, a process takes limit/paceShare tokens at a time.
	paceShare = 100
	// clockLife is the maximum age of a sample of the server's time.
	clockLife = time.Second
)

// lead takes tokens for every waiter of the cell and uses the first one.
func (p *Pacer) lead(ctx context.Context, c *paceCell, id cellKey, limit, want int) (Pace, error) {
	got, err := p.fetch(ctx, c, id, limit, want)
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

// fetch takes tokens by compare-and-set, or finds that none are left.
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
				fresh = false // the known record may be outdated
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
		// Tokens that took longer than their slot to obtain are too old to be used.
		if slotOf(p.server.earliest(p.now()), id.period) > slot+1 {
			continue
		}
		return paceCell{left: min(want, free), slot: slot, record: taken, revision: wrote}, nil
	}
	return paceCell{}, ErrUnavailable
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
	stream, err := p.bucket.js.Stream(ctx, p.bucket.spec.Stream())
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
