package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// takeOverTimeout bounds a takeover, during which this process announces the partition as its own.
const takeOverTimeout = 5 * time.Minute

// takeOver makes this process the owner of a partition: it fences earlier owners off, and restores the executions from SQL and
// from the messages of the log that are not projected.
func (e *Engine) takeOver(ctx context.Context, number int) (*partition, error) {
	p := newPartition(ctx, e, number)
	ctx, cancel := context.WithTimeout(ctx, takeOverTimeout)
	defer cancel()
	if err := (recovery{p}).restore(ctx); err != nil {
		p.stop()
		return nil, fmt.Errorf("taking partition %d over: %w", number, err)
	}
	return p, nil
}

// recovery restores a partition that this process takes over.
type recovery struct{ *partition }

func (p recovery) restore(ctx context.Context) error {
	if err := p.fence(ctx); err != nil {
		return err
	}
	p.logged = p.writer.log.last
	projected, err := p.e.store.claim(ctx, p.number, p.writer.owner())
	if err != nil {
		return err
	}
	p.projected = projected
	rows, err := p.e.store.live(ctx, p.number)
	if err != nil {
		return database.Classify(err)
	}
	for _, row := range rows {
		h, err := p.e.loadFrom(ctx, row)
		if err != nil {
			return err
		}
		p.executions[row.ID] = h // where it cannot be restored, run quarantines it
	}
	err = readLog(ctx, p.e.log, p.number, projected, p.writer.log.last, func(m entry) error {
		for _, t := range m.Transitions {
			if err := p.replay(ctx, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, h := range p.executions {
		if h.unrestorable == nil {
			if err := h.refreshRow(); err != nil {
				h.unrestorable = err
			}
		}
		h.findOrphanCandidates()
		h.pendingCleanup++ // until resolveOrphans is done with it
	}
	if err := p.restoreApprovals(ctx); err != nil {
		return database.Classify(err)
	}
	if err := p.restoreLimits(ctx); err != nil {
		return err
	}
	// A later owner may have projected the log further and truncated it meanwhile: then what was read has a gap.
	return p.verifyOwnership(ctx)
}

// fence appends a new owner's first message: the log refuses those of earlier owners from then on.
func (p recovery) fence(ctx context.Context) error {
	for {
		_, last, err := lastEntry(ctx, p.e.log, p.number)
		if err != nil {
			return err
		}
		p.writer.log.last = last
		if err = p.writer.log.append(ctx, nil); err == nil {
			return nil
		}
		if !errors.Is(err, errFenced) || ctx.Err() != nil {
			return err
		}
	}
}

// replay applies a transition of the log that SQL does not have.
func (p recovery) replay(ctx context.Context, t transition) error {
	if t.ID == "" { // a barrier
		return nil
	}
	h := p.executions[t.ID]
	if h == nil && t.Start != nil {
		def, err := p.e.definition(ctx, *t.Start)
		if err != nil && !isUnrestorable(err) {
			return err
		}
		h = newExecution(*t.Start, def)
		h.row.Partition, h.row.Status, h.unrestorable = p.number, subjects.ExecutionPending, err
		h.maybeStored = true // SQL may have more than its position says: see project
		p.executions[t.ID] = h
	}
	if h == nil {
		err := p.load(ctx, t.ID)
		if IsNotFound(err) {
			return nil // erased meanwhile
		}
		if err != nil {
			return err
		}
		h = p.executions[t.ID]
	}
	h.row.Watched = h.row.Watched || t.Watch
	if t.Suspend != nil {
		h.suspended = *t.Suspend
	}
	events, err := DecodeEvents(t.Events)
	// SQL may be ahead of its position: a projection writes many executions in several transactions, and moves the position with the last.
	known := 0
	for known < len(events) && int64(events[known].Sequence) <= h.enqueued {
		known++
	}
	events, t.Events = events[known:], t.Events[known:]
	if err == nil && h.unrestorable == nil {
		if failure := recovered(func() { err = p.apply(h, t, events) }); failure != nil {
			err = failure
		}
	}
	if err != nil && h.unrestorable == nil {
		h.unrestorable = fmt.Errorf("replaying execution %s: %w", t.ID, err)
	}
	h.enqueued += int64(len(t.Events))
	p.addUnprojected(h, t.Events, events)
	return nil
}

// apply applies the events of a transition of the log.
func (p recovery) apply(h *execution, t transition, events []machine.Event) (err error) {
	switch {
	case t.Quarantine && len(events) == 1:
		h.replayQuarantine(events[0])
	case h.quarantined():
	case h.machine == nil && len(events) > 0:
		var x *machine.Execution
		if x, err = machine.Restore(h.def, p.e.environment(h.def, h.row.UserID), events); err == nil {
			h.setMachine(x)
		}
	default:
		for i := 0; i < len(events) && err == nil; i++ {
			err = h.machine.Apply(events[i])
		}
	}
	return err
}

// restoreLimits counts the executions of the partition against their limits.
func (p recovery) restoreLimits(ctx context.Context) error {
	rows, err := p.e.store.limits(ctx, p.number)
	if err != nil {
		return database.Classify(err)
	}
	p.admission.restore(rows, p.executions)
	for id, w := range p.admission.limiter.waiters {
		if w.stage == stageWaiting && p.executions[id] == nil {
			return fmt.Errorf("restoring the executions that wait for limits: execution %s is missing", id)
		}
	}
	return nil
}

// run serves the partition until it is closed, and continues the executions that were restored.
func (p *partition) run() {
	go p.writer.run(p.ctx)
	go p.runTimers()
	go evictedTimers{p}.run()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since, p.running = p.e.Now(), true
	restored := fairOrder(slices.Collect(maps.Values(p.executions)))
	for _, h := range restored {
		p.mu.yield()
		switch {
		case p.closed:
			return
		case p.executions[h.row.ID] != h || h.deciding || h.unacked > 0: // something has happened to it meanwhile
		case h.unrestorable != nil:
			p.quarantine(h, h.unrestorable)
		case h.isPending():
			if p.acquireSlot(h) {
				p.startPending(h)
			}
		default:
			p.guarded(h, func() { p.advance(h) })
		}
	}
	p.e.projector.wake.Notify()
	p.e.background.Go(p.children.completeParents)
	p.e.background.Go(func() { p.children.resolveOrphans(restored) })
}

// fairOrder is the order in which restored executions get slots: users take turns, and one user's come by priority, then by age.
func fairOrder(all []*execution) []*execution {
	slices.SortFunc(all, func(a, b *execution) int {
		return cmp.Or(cmp.Compare(b.row.Priority, a.row.Priority), cmp.Compare(a.row.CreatedAt, b.row.CreatedAt), cmp.Compare(a.row.ID, b.row.ID))
	})
	round, perUser := map[*execution]int{}, map[string]int{}
	for _, h := range all {
		round[h] = perUser[h.row.UserID]
		perUser[h.row.UserID]++
	}
	slices.SortStableFunc(all, func(a, b *execution) int { return cmp.Compare(round[a], round[b]) })
	return all
}
