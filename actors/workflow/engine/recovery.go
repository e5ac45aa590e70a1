package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

func IsNotFound(err error) bool { return subjects.CodeOf(err) == subjects.CodeNotFound }

// with runs do on an execution under the partition's lock, and reads it from SQL first where it is parked. errNoExecution
// where there is none, or it has ended and is not in memory any more.
func (p *partition) withExecution(ctx context.Context, id string, do func(h *execution)) error {
	for {
		release, err := p.reserve(ctx, id, do)
		if err != nil || release == nil {
			return err
		}
		err = p.load(ctx, id)
		release()
		if err != nil {
			return err
		}
	}
}

// reserve runs do on an execution that is in memory, under the partition's lock. For one that is not it waits for whoever
// reads or starts it, and lets the caller do so alone until release: a second copy of what has gone on meanwhile must not
// come in. release is nil where do has run.
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

// claim lets one start of an id in at a time, until release. errTaken where there is such an execution: in memory, or in SQL,
// where what is parked or has ended lies.
func (p *partition) reserveID(ctx context.Context, id string) (release func(), err error) {
	release, err = p.reserve(ctx, id, func(*execution) {})
	if err != nil {
		return nil, err
	}
	if release == nil {
		return nil, ErrTaken
	}
	found, err := executionExists(ctx, p.e.DB.DB, id)
	if err == nil && found {
		err = ErrTaken
	}
	if err != nil {
		release()
		return nil, database.Classify(err)
	}
	return release, nil
}

// load brings a parked execution into memory.
func (p *partition) load(ctx context.Context, id string) error {
	row, err := readExecution(ctx, p.e.DB.DB, id)
	if err != nil {
		return database.Classify(err)
	}
	if row.Ended() || row.Partition != p.number {
		return ErrNoExecution
	}
	h, err := p.e.restore(ctx, row)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errPartitionMoving
	}
	h.waiter = p.limiter.waiters[id]
	p.executions[id] = h
	return nil
}

// restore makes an execution of what SQL has of it.
func (e *Engine) restore(ctx context.Context, row Row) (*execution, error) {
	def, err := e.Definition(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return nil, err
	}
	h := newExecution(row, def)
	h.stored, h.complete = true, false
	h.suspended = row.Events == 0 && row.Status == subjects.ExecutionSuspended
	h.row.Evicted, h.row.Snapshot, h.row.DueAt, h.row.Listens = false, "", 0, false
	switch {
	case row.Snapshot != "":
		if h.machine, err = machine.RestoreSnapshot(def, e.Environment(def, row.UserID), []byte(row.Snapshot)); err == nil {
			h.restoreExternal()
		}
	case row.Events > 0:
		raw, failed := ReadHistory(ctx, e.DB.DB, row.ID, 0, 0)
		if failed != nil {
			return nil, failed
		}
		events, failed := DecodeEvents(raw)
		if failed != nil {
			return nil, failed
		}
		h.machine, err = machine.Restore(def, e.Environment(def, row.UserID), events)
	}
	if err != nil {
		return nil, fmt.Errorf("restoring execution %s: %w", row.ID, err)
	}
	return h, nil
}

// replay takes a turn of the log in that SQL does not have.
func (p *partition) replay(ctx context.Context, t transition) error {
	if t.ID == "" {
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
		h.machine, err = machine.Restore(h.def, p.e.Environment(h.def, h.row.UserID), events)
	} else {
		for i := 0; i < len(events) && err == nil; i++ {
			err = h.machine.Apply(events[i])
		}
	}
	if err != nil {
		return fmt.Errorf("replaying execution %s: %w", t.ID, err)
	}
	h.unprojected = append(h.unprojected, t.Events...)
	if h.complete {
		h.transitions = append(h.transitions, events)
	}
	for _, event := range t.Events {
		p.unprojectedBytes += len(event)
	}
	h.row.Events += int64(len(events))
	p.unprojected[t.ID] = h
	return nil
}

// takeOver makes this process the owner of a partition: it fences the log off against any owner before, restores what that
// one held, and goes on with it.
func (e *Engine) takeOver(ctx context.Context, number int) (*partition, error) {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &partition{
		e: e, number: number, ctx: life, stop: stop, wake: make(chan struct{}, 1), timerWake: make(chan struct{}, 1),
		executions: map[string]*execution{}, limiter: newLimiter(), loading: map[string]chan struct{}{}, unprojected: map[string]*execution{},
	}
	if err := p.restore(ctx); err != nil {
		stop()
		return nil, fmt.Errorf("taking partition %d over: %w", number, err)
	}
	return p, nil
}

func (p *partition) restore(ctx context.Context) error {
	if err := p.fence(ctx); err != nil {
		return err
	}
	p.logged = p.log.last
	var applied uint64
	err := p.e.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		applied, err = claimPartition(ctx, tx, p.number, p.log.owner)
		return err
	})
	if err != nil {
		return err
	}
	rows, err := liveExecutions(ctx, p.e.DB.DB, p.number)
	if err != nil {
		return database.Classify(err)
	}
	for _, row := range rows {
		h, err := p.e.restore(ctx, row)
		if err != nil {
			return err
		}
		p.executions[row.ID] = h
	}
	err = p.e.readLog(ctx, p.number, applied, p.log.last, func(e entry) error {
		for _, t := range e.Transitions {
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
		h.pendingCleanup++
	}
	if err := p.restoreApprovals(ctx); err != nil {
		return database.Classify(err)
	}
	return p.restoreLimiter(ctx)
}

// fence appends the first message of a new owner: from then on no other owner's is taken.
func (p *partition) fence(ctx context.Context) error {
	for {
		_, last, err := p.e.lastEntry(ctx, p.number)
		if err != nil {
			return err
		}
		p.log = partitionLog{e: p.e, number: p.number, owner: p.e.NewID(), last: last}
		if err = p.log.append(ctx, nil); err == nil {
			return nil
		}
		if !errors.Is(err, errFenced) || ctx.Err() != nil {
			return err
		}
	}
}

// run goes on with what was restored, and serves the partition until it is lost.
func (p *partition) run() {
	go p.runLog()
	go p.runTimers()
	p.mu.Lock()
	defer p.mu.Unlock()
	restored := fairOrder(slices.Collect(maps.Values(p.executions)))
	for _, h := range restored {
		switch {
		case h.machine == nil && p.acquireSlot(h):
			p.startPending(h)
		case h.machine != nil && h.unacked == 0: // else one before it has let it begin just now
			p.advance(h)
		}
	}
	p.e.projector.notify()
	p.e.background.Go(p.completeParents)
	p.e.background.Go(func() { p.resolveOrphans(restored) })
}

// inTurns is the order in which executions get slots: their users take turns, one's come by priority, then by their starts.
func fairOrder(all []*execution) []*execution {
	slices.SortFunc(all, func(a, b *execution) int {
		return cmp.Or(cmp.Compare(b.row.Priority, a.row.Priority), cmp.Compare(a.row.CreatedAt, b.row.CreatedAt), cmp.Compare(a.row.ID, b.row.ID))
	})
	turn, turns := map[*execution]int{}, map[string]int{}
	for _, h := range all {
		turn[h] = turns[h.row.UserID]
		turns[h.row.UserID]++
	}
	slices.SortStableFunc(all, func(a, b *execution) int { return cmp.Compare(turn[a], turn[b]) })
	return all
}

// mend restores an execution of which a turn could not be written, and ends it.
func (p *partition) cancelUnwritable(id string) {
	p.e.background.Go(func() {
		err := p.withExecution(p.ctx, id, func(h *execution) {
			p.decide(h, nil, machine.Cancel("an event is larger than a message of the log may be", p.e.Now()))
		})
		if err != nil && p.ctx.Err() == nil {
			p.e.Log.Error("ending an execution", zap.String("execution_id", id), zap.Error(err))
		}
	})
}

// start begins an execution that has a slot, and that the log knows as pending.
func (p *partition) startPending(h *execution) {
	events, err := p.launch(h)
	if err != nil {
		p.e.Log.Error("beginning an execution", zap.String("execution_id", h.row.ID), zap.Error(err))
		p.discard(h)
		return
	}
	p.enqueue(h, transition{}, events, nil)
}
