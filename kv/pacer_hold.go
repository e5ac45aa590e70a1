package kv

import (
	"context"
	"errors"
	"time"
)

// tokenLease is how long a token may be spent after the request that took or confirmed it was sent, and so how long Hold may have
// to wait for other processes.
const tokenLease = 100 * time.Millisecond

// leased reports whether the tokens in hand may be spent without looking at the record again.
func (c *paceCell) leased() bool {
	now := time.Now()
	return elapsed(now, c.checked) < tokenLease
}

// spend takes one of the tokens in hand. The caller holds the pacer's lock.
func (c *paceCell) spend(at, slot int64, limit int) Pace {
	c.left--
	return Pace{Allowed: true, Remaining: c.left + c.record.free(at, slot, limit), said: c.said}
}

// Hold applies the enforcer's statement that it admits at most left more calls for the time lasts, at most 31 days. It only ever
// lowers what is admitted, applies to every process, and does not change what earlier statements say: that of the two which admits
// less counts at any time. Tokens taken before it, by any process, are not spent once it has returned; for that it may wait
// 100 ms.
func (p *Pacer) Hold(ctx context.Context, key string, limit int, period time.Duration, left int, lasts time.Duration) error {
	id := cellKey{key, period}
	lasts = min(lasts, maxPace)
	if lasts <= 0 || p.alreadyWithin(id, limit, left, lasts) {
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
		h := paceHold{Until: at + int64(lasts), Left: max(0, left)}
		if record.holds(h) || h.Left >= record.mayAdmit(h.Until, limit, period) {
			p.see(id, record, revision)
			return p.outlast(ctx, time.Duration(record.SaidAt-at)+tokenLease)
		}
		others := record.Ahead > at && record.By != p.id
		record = record.hold(at, h)
		revision, err = p.bucket.write(ctx, paceKey(id), record, write{ttl: record.life(at, period), conditional: true, expect: revision})
		if errors.Is(classify(err), ErrConflict) {
			continue
		}
		if err != nil {
			return translate("holding a limit", err)
		}
		p.see(id, record, revision)
		if !others {
			return nil
		}
		return p.outlast(ctx, tokenLease)
	}
	return translate("holding a limit", ErrUnavailable)
}

// see stores a record in the cell. Tokens in hand that were taken before its latest hold are given up.
func (p *Pacer) see(id cellKey, record paceRecord, revision uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.cell(id)
	c.record, c.revision, c.known = record, revision, true
	if c.said != record.Said {
		c.left, c.said = 0, record.Said
	}
}

// outlast waits until no lease that began before is valid any more.
func (p *Pacer) outlast(ctx context.Context, lease time.Duration) error {
	if lease <= 0 {
		return nil
	}
	timer := time.NewTimer(min(lease, tokenLease) + tokenLease/1000*drift)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return translate("holding a limit", ctx.Err())
	}
}

// alreadyWithin reports, without a request, that at most left more calls can be admitted in the time: other processes can only have
// taken more.
func (p *Pacer) alreadyWithin(id cellKey, limit, left int, lasts time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.cells[id]
	until := p.server.earliest(p.now()) + int64(lasts)
	return c != nil && c.known && left > 0 && left >= c.record.mayAdmit(until, limit, id.period)
}
