package workflow

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

func isNotFound(err error) bool { return subjects.CodeOf(err) == subjects.CodeNotFound }

// with runs do on an execution under the partition's lock, and reads it from SQL first where it is parked. errNoExecution
// where there is none, or it has ended and is not in memory any more.
func (p *partition) with(ctx context.Context, id string, do func(h *held)) error {
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
func (p *partition) reserve(ctx context.Context, id string, do func(h *held)) (release func(), err error) {
	for {
		p.mu.Lock()
		if p.gone {
			p.mu.Unlock()
			return nil, errHandover
		}
		if h := p.held[id]; h != nil {
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
func (p *partition) claim(ctx context.Context, id string) (release func(), err error) {
	release, err = p.reserve(ctx, id, func(*held) {})
	if err != nil {
		return nil, err
	}
	if release == nil {
		return nil, errTaken
	}
	found, err := executionExists(ctx, p.e.DB.DB, id)
	if err == nil && found {
		err = errTaken
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
	if row.ended() || row.Lot != p.lot {
		return errNoExecution
	}
	h, err := p.e.restore(ctx, row)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return errHandover
	}
	h.ticket = p.gates.tickets[id]
	p.held[id] = h
	return nil
}

// restore makes an execution of what SQL has of it.
func (e *Engine) restore(ctx context.Context, row executionRow) (*held, error) {
	def, err := e.Definition(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return nil, err
	}
	h := newHeld(row, def)
	h.stored, h.whole = true, false
	h.suspended = row.Events == 0 && row.Status == subjects.ExecutionSuspended
	h.row.Parked, h.row.Snapshot, h.row.DueAt, h.row.Listens = false, "", 0, false
	switch {
	case row.Snapshot != "":
		if h.x, err = machine.RestoreSnapshot(def, e.Environment(def, row.UserID), []byte(row.Snapshot)); err == nil {
			h.resumeBegun()
		}
	case row.Events > 0:
		raw, failed := readHistory(ctx, e.DB.DB, row.ID, 0, 0)
		if failed != nil {
			return nil, failed
		}
		events, failed := decodeEvents(raw)
		if failed != nil {
			return nil, failed
		}
		h.x, err = machine.Restore(def, e.Environment(def, row.UserID), events)
	}
	if err != nil {
		return nil, fmt.Errorf("restoring execution %s: %w", row.ID, err)
	}
	return h, nil
}

// replay takes a turn of the log in that SQL does not have.
func (p *partition) replay(ctx context.Context, t turn) error {
	if t.ID == "" {
		return nil
	}
	h := p.held[t.ID]
	if h == nil && t.Start != nil {
		def, err := p.e.Definition(ctx, t.Start.WorkflowID, t.Start.Version)
		if err != nil {
			return err
		}
		h = newHeld(*t.Start, def)
		h.row.Lot, h.row.Status = p.lot, subjects.ExecutionPending
		p.held[t.ID] = h
	}
	if h == nil {
		err := p.load(ctx, t.ID)
		if isNotFound(err) {
			return nil // erased meanwhile
		}
		if err != nil {
			return err
		}
		h = p.held[t.ID]
	}
	h.row.Watched = h.row.Watched || t.Watch
	if t.Suspend != nil {
		h.suspended = *t.Suspend
	}
	events, err := decodeEvents(t.Events)
	if err != nil {
		return err
	}
	if h.x == nil && len(events) > 0 {
		h.x, err = machine.Restore(h.def, p.e.Environment(h.def, h.row.UserID), events)
	} else {
		for i := 0; i < len(events) && err == nil; i++ {
			err = h.x.Apply(events[i])
		}
	}
	if err != nil {
		return fmt.Errorf("replaying execution %s: %w", t.ID, err)
	}
	h.fresh = append(h.fresh, t.Events...)
	if h.whole {
		h.turns = append(h.turns, events)
	}
	for _, event := range t.Events {
		p.fresh += len(event)
	}
	h.row.Events += int64(len(events))
	p.dirty[t.ID] = h
	return nil
}

// takeOver makes this process the owner of a partition: it fences the log off against any owner before, restores what that
// one held, and goes on with it.
func (e *Engine) takeOver(ctx context.Context, lot int) (*partition, error) {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &partition{
		e: e, lot: lot, ctx: life, stop: stop, kick: make(chan struct{}, 1), rung: make(chan struct{}, 1),
		held: map[string]*held{}, gates: newGates(), loading: map[string]chan struct{}{}, dirty: map[string]*held{},
	}
	if err := p.restore(ctx); err != nil {
		stop()
		return nil, fmt.Errorf("taking partition %d over: %w", lot, err)
	}
	return p, nil
}

func (p *partition) restore(ctx context.Context) error {
	if err := p.fence(ctx); err != nil {
		return err
	}
	p.acked = p.log.last
	var applied uint64
	err := p.e.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		applied, err = claimPartition(ctx, tx, p.lot, p.log.owner)
		return err
	})
	if err != nil {
		return err
	}
	rows, err := liveExecutions(ctx, p.e.DB.DB, p.lot)
	if err != nil {
		return database.Classify(err)
	}
	for _, row := range rows {
		h, err := p.e.restore(ctx, row)
		if err != nil {
			return err
		}
		p.held[row.ID] = h
	}
	err = p.e.readLog(ctx, p.lot, applied, p.log.last, func(e entry) error {
		for _, t := range e.Turns {
			if err := p.replay(ctx, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, h := range p.held {
		if err := h.settle(); err != nil {
			return err
		}
		h.inherit()
		h.errands++
	}
	if err := p.restoreQuestions(ctx); err != nil {
		return database.Classify(err)
	}
	return p.restoreGates(ctx)
}

// fence appends the first message of a new owner: from then on no other owner's is taken.
func (p *partition) fence(ctx context.Context) error {
	for {
		_, last, err := p.e.lastEntry(ctx, p.lot)
		if err != nil {
			return err
		}
		p.log = partitionLog{e: p.e, lot: p.lot, owner: p.e.NewID(), last: last}
		if err = p.log.append(ctx, nil); err == nil {
			return nil
		}
		if !errors.Is(err, errLost) || ctx.Err() != nil {
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
	restored := inTurns(slices.Collect(maps.Values(p.held)))
	for _, h := range restored {
		switch {
		case h.x == nil && p.enter(h):
			p.start(h)
		case h.x != nil && h.unacked == 0: // else one before it has let it begin just now
			p.advance(h)
		}
	}
	p.e.folder.poke()
	p.e.calls.Go(p.tellParents)
	p.e.calls.Go(func() { p.cancelOrphans(restored) })
}

// inTurns is the order in which executions get slots: their users take turns, one's come by priority, then by their starts.
func inTurns(all []*held) []*held {
	slices.SortFunc(all, func(a, b *held) int {
		return cmp.Or(cmp.Compare(b.row.Priority, a.row.Priority), cmp.Compare(a.row.CreatedAt, b.row.CreatedAt), cmp.Compare(a.row.ID, b.row.ID))
	})
	turn, turns := map[*held]int{}, map[string]int{}
	for _, h := range all {
		turn[h] = turns[h.row.UserID]
		turns[h.row.UserID]++
	}
	slices.SortStableFunc(all, func(a, b *held) int { return cmp.Compare(turn[a], turn[b]) })
	return all
}

// mend restores an execution of which a turn could not be written, and ends it.
func (p *partition) mend(id string) {
	p.e.calls.Go(func() {
		err := p.with(p.ctx, id, func(h *held) {
			p.decide(h, nil, machine.Cancel("an event is larger than a message of the log may be", p.e.Now()))
		})
		if err != nil && p.ctx.Err() == nil {
			p.e.Log.Error("ending an execution", zap.String("execution_id", id), zap.Error(err))
		}
	})
}

// start begins an execution that has a slot, and that the log knows as pending.
func (p *partition) start(h *held) {
	events, err := p.launch(h)
	if err != nil {
		p.e.Log.Error("beginning an execution", zap.String("execution_id", h.row.ID), zap.Error(err))
		p.forget(h)
		return
	}
	p.enqueue(h, turn{}, events, nil)
}
