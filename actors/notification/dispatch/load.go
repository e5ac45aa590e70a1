package dispatch

import (
	"context"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
)

const (
	// loadBatch is how many endpoints are loaded by one query.
	loadBatch = 16
	// lookBatch is how many endpoints one query looks for, and maxLook how many are looked at before the next poll.
	lookBatch = 256
	maxLook   = 4096
	// upkeepBatch bounds the deliveries that one transaction keeps, resumes or deletes.
	upkeepBatch = 500
)

// look finds endpoints with due deliveries after the endpoint with the id after. It returns where to continue.
func (d *Dispatcher) look(ctx context.Context, after string) (next string, err error) {
	oldest := int64(0)
	for range maxLook / lookBatch {
		found, err := d.store.next(ctx, d.owner, after, lookBatch)
		if err != nil {
			return after, err
		}
		now := d.o.Now().UnixMicro()
		var ids []string
		for _, e := range found {
			if e.Due <= now && !e.Taken {
				ids = append(ids, e.EndpointID)
				oldest = max(oldest, now-e.Due)
			}
		}
		if !d.scheduler.wake(ids...) {
			return after, nil // there is no room; the same ones are looked at again
		}
		if len(found) < lookBatch {
			after = ""
			break
		}
		after = found[len(found)-1].EndpointID
		d.load.Notify()
	}
	d.metrics.oldestDue.Set((time.Duration(oldest) * time.Microsecond).Seconds())
	return after, nil
}

// loadQueues loads due deliveries of endpoints.
func (d *Dispatcher) loadQueues(ctx context.Context, list []*queue) error {
	list, err := d.leaseQueues(ctx, list)
	if err != nil {
		return err
	}
	var wanted []due
	byID := make(map[string]*queue, len(list))
	for _, q := range list {
		ordered, ok, err := d.prepare(ctx, q)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		byID[q.id] = q
		if ordered {
			if err := d.loadOrdered(ctx, q); err != nil {
				return err
			}
			continue
		}
		wanted = append(wanted, d.scheduler.place(q, false).due)
	}
	if err := d.resumeKept(ctx, byID); err != nil {
		return err
	}
	if len(wanted) == 0 {
		return nil
	}
	now := d.o.Now()
	rows, err := d.store.load(ctx, now.UnixMicro(), wanted)
	if err != nil {
		return err
	}
	loaded := map[string][]deliveryRow{}
	for _, row := range rows {
		loaded[row.EndpointID] = append(loaded[row.EndpointID], row)
	}
	for _, w := range wanted {
		d.scheduler.loadedRows(byID[w.endpointID], loaded[w.endpointID], len(loaded[w.endpointID]) == w.limit, now)
	}
	d.feed.Notify()
	return nil
}

// prepare reads the state of an endpoint. ok is false if it is not to be loaded: its deliveries were deleted or kept.
func (d *Dispatcher) prepare(ctx context.Context, q *queue) (ordered, ok bool, err error) {
	t, err := d.targetOf(ctx, q)
	switch {
	case err != nil && !isGone(err):
		d.warn(ctx, "the state of a webhook's endpoint could not be read; retrying", err)
		d.scheduler.pause(q, d.o.Now().Add(retrySoon))
		return false, false, nil
	case err != nil:
		return false, false, d.clear(ctx, q, d.store.drop)
	case !t.Enabled:
		d.scheduler.setKeptChecked(false, q)
		return false, false, d.clear(ctx, q, d.store.keep)
	}
	return t.Ordered, true, nil
}

// clear deletes or keeps the deliveries of an endpoint, in batches.
func (d *Dispatcher) clear(ctx context.Context, q *queue, fn func(context.Context, database.Tx, string, int) (int, error)) error {
	d.scheduler.unload(q)
	var n int
	err := d.store.write(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		n, err = fn(ctx, tx, q.id, upkeepBatch)
		return err
	})
	if err != nil {
		return err
	}
	d.scheduler.loadedRows(q, nil, n == upkeepBatch, d.o.Now())
	return nil
}

// resumeKept makes deliveries due that were kept while their endpoint was disabled, in batches.
func (d *Dispatcher) resumeKept(ctx context.Context, queues map[string]*queue) error {
	ids := d.scheduler.keptUnchecked(queues)
	if len(ids) == 0 {
		return nil
	}
	kept, err := d.store.withKept(ctx, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		d.scheduler.setKeptChecked(true, queues[id])
	}
	for _, id := range kept {
		var n int
		err := d.store.write(ctx, func(ctx context.Context, tx database.Tx) (err error) {
			n, err = d.store.resume(ctx, tx, id, d.o.Now(), upkeepBatch)
			return err
		})
		if err != nil {
			return err
		}
		d.scheduler.setKeptChecked(n < upkeepBatch, queues[id])
		d.scheduler.wake(id)
	}
	return nil
}

// loadOrdered loads the first delivery of each ordering key, and those without a key.
func (d *Dispatcher) loadOrdered(ctx context.Context, q *queue) error {
	now := d.o.Now()
	p := d.scheduler.place(q, true)
	heads, err := d.store.heads(ctx, q.id, p.key, loadKeys)
	if err != nil {
		return err
	}
	unkeyed, err := d.store.load(ctx, now.UnixMicro(), []due{p.due})
	if err != nil {
		return err
	}
	after := ""
	if len(heads) == loadKeys {
		after = heads[len(heads)-1].Ordering
	}
	d.scheduler.continueAt(q, after)
	d.scheduler.loadedRows(q, append(heads, unkeyed...), after != "" || len(unkeyed) == p.due.limit, now)
	d.feed.Notify()
	return nil
}

// leaseQueues leases endpoints on PostgreSQL, and returns those that this process has.
func (d *Dispatcher) leaseQueues(ctx context.Context, list []*queue) ([]*queue, error) {
	if d.o.DB.Dialect() == database.DialectSQLite {
		return list, nil
	}
	needed := d.scheduler.unleased(list)
	if len(needed) == 0 {
		return list, nil
	}
	without, err := d.lease(ctx, needed)
	if err != nil {
		return nil, err
	}
	d.scheduler.forgetQueues(without)
	lost := map[*queue]bool{}
	for _, q := range without {
		lost[q] = true
	}
	var has []*queue
	for _, q := range list {
		if !lost[q] {
			has = append(has, q)
		}
	}
	return has, nil
}

// lease takes or renews leases, and returns the queues without one.
func (d *Dispatcher) lease(ctx context.Context, list []*queue) (without []*queue, err error) {
	ids := make([]string, len(list))
	for i, q := range list {
		ids[i] = q.id
	}
	until := time.Now().Add(d.leaseFor) // before the statement: this process never takes a lease for longer than the others do
	got, err := d.store.lease(ctx, d.owner, ids, d.leaseFor.Microseconds())
	if err != nil {
		return nil, err
	}
	return d.scheduler.lease(list, got, until), nil
}

// renewLoop renews leases, and ends those of endpoints without due deliveries.
func (d *Dispatcher) renewLoop(ctx context.Context) {
	postgres := d.o.DB.Dialect() == database.DialectPostgres
	_ = wait.Every(ctx, d.leaseRenewal, func() {
		idle := d.scheduler.idle(min(idleAfter, d.leaseRenewal))
		if !postgres {
			d.scheduler.closeIdle(idle)
			return
		}
		if err := d.renew(ctx, idle); err != nil {
			d.warn(ctx, "the leases of webhook endpoints could not be renewed; retrying", err)
		}
		d.scheduler.offerAll(d.o.Now())
		d.feed.Notify()
	})
}

// renew ends the leases of idle queues and renews the others.
func (d *Dispatcher) renew(ctx context.Context, idle []*queue) error {
	if len(idle) > 0 {
		ids := make([]string, len(idle))
		for i, q := range idle {
			ids[i] = q.id
		}
		err := d.store.release(ctx, d.owner, ids)
		d.scheduler.closeIdle(idle)
		if err != nil {
			return err
		}
	}
	list := d.scheduler.leasedQueues()
	for len(list) > 0 {
		n := min(len(list), upkeepBatch)
		without, err := d.lease(ctx, list[:n])
		if err != nil {
			return err
		}
		d.scheduler.forgetQueues(without)
		list = list[n:]
	}
	return nil
}

// releaseAll ends all leases of this process.
func (d *Dispatcher) releaseAll(ctx context.Context) {
	if d.o.DB.Dialect() != database.DialectPostgres {
		return
	}
	last, cancel := database.CleanupContext(ctx, stopGrace)
	defer cancel()
	if err := d.store.releaseAll(last, d.owner); err != nil {
		d.o.Log.Warn("the leases of webhook endpoints could not be ended; they expire")
	}
}
