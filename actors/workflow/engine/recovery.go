package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// takeOver makes this process the owner of a partition: it fences earlier owners off, and restores the executions from SQL and
// from the messages of the log that are not projected.
func (e *Engine) takeOver(ctx context.Context, number int) (*partition, error) {
	p := newPartition(ctx, e, number)
	if err := p.restore(ctx); err != nil {
		p.stop()
		return nil, fmt.Errorf("taking partition %d over: %w", number, err)
	}
	return p, nil
}

func (p *partition) restore(ctx context.Context) error {
	if err := p.fence(ctx); err != nil {
		return err
	}
	p.logged = p.writer.log.last
	projected, err := p.e.store.claim(ctx, p.number, p.writer.owner())
	if err != nil {
		return err
	}
	rows, err := p.e.store.live(ctx, p.number)
	if err != nil {
		return database.Classify(err)
	}
	for _, row := range rows {
		h, err := p.e.loadFrom(ctx, row)
		if err != nil {
			return err
		}
		p.executions[row.ID] = h
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
		if err := h.refreshRow(); err != nil {
			return err
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
func (p *partition) fence(ctx context.Context) error {
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
func (p *partition) replay(ctx context.Context, t transition) error {
	if t.ID == "" { // a barrier
		return nil
	}
	h := p.executions[t.ID]
	if h == nil && t.Start != nil {
		def, err := p.e.Definition(ctx, t.Start.WorkflowID, t.Start.Version)
		if err != nil {
			return err
		}
		h = newExecution(*t.Start, def)
		h.row.Partition, h.row.Status = p.number, subjects.ExecutionPending
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
	if err != nil {
		return err
	}
	if h.machine == nil && len(events) > 0 {
		var x *machine.Execution
		if x, err = machine.Restore(h.def, p.e.Environment(h.def, h.row.UserID), events); err == nil {
			h.setMachine(x)
		}
	} else {
		for i := 0; i < len(events) && err == nil; i++ {
			err = h.machine.Apply(events[i])
		}
	}
	if err != nil {
		return fmt.Errorf("replaying execution %s: %w", t.ID, err)
	}
	p.addUnprojected(h, t.Events, events)
	return nil
}

// restoreLimits counts the executions of the partition against their limits.
func (p *partition) restoreLimits(ctx context.Context) error {
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
	p.since = p.e.Now()
	restored := fairOrder(slices.Collect(maps.Values(p.executions)))
	for _, h := range restored {
		switch {
		case h.machine == nil && p.acquireSlot(h):
			p.startPending(h)
		case h.machine != nil && h.unacked == 0: // else the admission of another execution has started it
			p.advance(h)
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

// withExecution runs do on an execution under the partition's lock, and loads it first where it is evicted. ErrNoExecution where
// there is none, or it has ended and is not loaded any more. One that was loaded for do and not changed by it is evicted again.
func (p *partition) withExecution(ctx context.Context, id string, do func(h *execution)) error {
	loaded := false
	for {
		release, err := p.reserve(ctx, id, func(h *execution) {
			do(h)
			if loaded && h.unacked == 0 && !h.evictable {
				p.advance(h)
			}
		})
		if err != nil || release == nil {
			return err
		}
		err = p.load(ctx, id)
		release()
		if err != nil {
			return err
		}
		loaded = true
	}
}

// reserve runs do on a loaded execution, under the partition's lock; release is nil then. For any other it waits for the goroutine that loads or
// starts it, and then gives the caller the exclusive right to do so until release: a second copy must not be loaded.
func (p *partition) reserve(ctx context.Context, id string, do func(h *execution)) (release func(), err error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, errPartitionMoving
		}
		if h := p.executions[id]; h != nil {
			do(h)
			p.mu.Unlock()
			return nil, nil
		}
		loading := p.loading[id]
		if loading == nil {
			loading = make(chan struct{})
			p.loading[id] = loading
			p.mu.Unlock()
			return func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				delete(p.loading, id)
				close(loading)
			}, nil
		}
		p.mu.Unlock()
		select {
		case <-loading:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// reserveID reserves an id for one start, until release. ErrTaken where an execution has it: a loaded one, or one in SQL.
func (p *partition) reserveID(ctx context.Context, id string) (release func(), err error) {
	release, err = p.reserve(ctx, id, func(*execution) {})
	if err != nil {
		return nil, err
	}
	if release == nil {
		return nil, ErrTaken
	}
	found, err := p.e.store.exists(ctx, id)
	if err == nil && found {
		err = ErrTaken
	}
	if err != nil {
		release()
		return nil, database.Classify(err)
	}
	return release, nil
}

// load loads an evicted execution.
func (p *partition) load(ctx context.Context, id string) error {
	row, err := p.e.store.execution(ctx, id)
	if err != nil {
		return database.Classify(err)
	}
	if row.Ended() || row.Partition != p.number {
		return ErrNoExecution
	}
	h, err := p.e.loadFrom(ctx, row)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errPartitionMoving
	}
	h.waiter = p.admission.limiter.waiters[id]
	p.executions[id] = h
	return nil
}

// loadFrom makes a loaded execution of its row, by its snapshot or its history.
func (e *Engine) loadFrom(ctx context.Context, row Row) (*execution, error) {
	def, err := e.Definition(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return nil, err
	}
	h := newExecution(row, def)
	h.stored, h.complete = true, false
	h.suspended = row.Events == 0 && row.Status == subjects.ExecutionSuspended
	h.row.Evicted, h.row.Snapshot, h.row.DueAt, h.row.Listens = false, "", 0, false
	var x *machine.Execution
	switch {
	case row.Snapshot != "":
		x, err = machine.RestoreSnapshot(def, e.Environment(def, row.UserID), []byte(row.Snapshot))
	case row.Events > 0:
		raw, failed := e.store.history(ctx, row.ID)
		if failed != nil {
			return nil, failed
		}
		events, failed := DecodeEvents(raw)
		if failed != nil {
			return nil, failed
		}
		x, err = machine.Restore(def, e.Environment(def, row.UserID), events)
	}
	if err != nil {
		return nil, fmt.Errorf("restoring execution %s: %w", row.ID, err)
	}
	if x != nil {
		h.setMachine(x)
	}
	if row.Snapshot != "" {
		h.restoreExternal()
	}
	return h, nil
}

// cancelUnwritable loads an execution again of which a transition could not be written, and cancels it.
func (p *partition) cancelUnwritable(id string) {
	p.e.background.Go(func() {
		p.children.retryUntilDone("cancelling an execution", func(ctx context.Context) error {
			return p.withExecution(ctx, id, func(h *execution) {
				p.decide(h, nil, machine.Cancel("an event is larger than a message of the log may be", p.e.Now()))
			})
		})
	})
}
