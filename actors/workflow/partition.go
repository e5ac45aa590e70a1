package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

const (
	// maxOpen bounds the turns that wait to be appended, maxFresh the bytes that wait to be folded: past either, nothing new
	// is begun.
	maxOpen  = 20_000
	maxFresh = 256 << 20
	// stallAfter is how long a log may be out of reach before new executions are refused at once.
	stallAfter  = time.Second
	appendPause = 100 * time.Millisecond
)

// partition is one partition in the hands of its owner. What is decided about its executions is decided here, in memory;
// the turns of many executions are appended as one message; what follows from a turn is done once that is acknowledged.
type partition struct {
	e    *Engine
	lot  int
	log  partitionLog
	ctx  context.Context //nolint:containedctx // a partition lives as long as it is owned, which no caller's context tells
	stop context.CancelFunc
	kick chan struct{}

	mu      sync.Mutex
	held    map[string]*held
	gates   gates
	loading map[string]chan struct{}
	// starts is held by each start that a schedule allows, until it is decided.
	starts sync.RWMutex
	// open are turns that wait for the next message; acked is the sequence of the last one acknowledged.
	open  []openTurn
	acked uint64
	// dirty are executions that SQL does not have as they are, fresh the bytes of their events.
	dirty map[string]*held
	fresh int
	// doubtful: the last fold failed, and nobody knows whether SQL has it.
	doubtful bool
	// cut is the sequence that the log was last cut before.
	cut    uint64
	timers timers
	// horizon is up to when the timers of parked executions are in memory.
	horizon time.Time
	rung    chan struct{}
	// stalled is since when appending fails.
	stalled time.Time
	// giving: the partition is being handed over, and begins no call. gone: it is not owned any more.
	giving, gone bool
}

// openTurn is a turn, or a part of one, that is not appended yet.
type openTurn struct {
	h *held
	// head is the turn without its events, raw those as JSON.
	head   []byte
	raw    []json.RawMessage
	events []machine.Event
	done   chan error
}

// begin starts an execution. done gets nil once that is in the log; wait, where it is wanted, what becomes of it.
func (p *partition) begin(row executionRow, def *language.Workflow, wait chan ending) (done chan error, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.overloaded(row.UserID); err != nil {
		return nil, err
	}
	if p.held[row.ID] != nil {
		return nil, errTaken
	}
	h := newHeld(row, def)
	h.row.Lot, h.row.Status = p.lot, subjects.ExecutionPending
	if err := p.admit(h); err != nil {
		return nil, err
	}
	if wait != nil {
		h.waiters = append(h.waiters, wait)
	}
	done = make(chan error, 1)
	p.held[row.ID] = h
	var events []machine.Event
	if p.enter(h) {
		if events, err = p.launch(h); err != nil {
			p.forget(h)
			return nil, err
		}
	}
	start := row
	p.enqueue(h, turn{Start: &start}, events, done)
	if p.unconfirmed(h) {
		h.errands++
		p.e.calls.Go(func() { p.confirmChild(h) })
	}
	return done, nil
}

// errTaken: there is an execution of that id.
var errTaken = subjects.Errorf(subjects.CodeConflict, "the execution_id is taken by another execution")

// enter takes a slot for an execution, or queues it for one.
func (p *partition) enter(h *held) bool {
	if h.slot || h.queued != nil {
		return h.slot
	}
	if h.x == nil && p.heldBack(h) {
		return false
	}
	h.queued = p.e.flow.enter(h.row.UserID, h.row.Priority, func() { p.proceed(h) })
	h.slot = h.queued == nil
	if h.slot {
		p.e.metrics.active.Inc()
	}
	return h.slot
}

// proceed goes on with an execution that has got a slot.
func (p *partition) proceed(h *held) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h.queued = nil
	if p.gone || h.finished || p.held[h.row.ID] != h {
		p.e.flow.leave()
		return
	}
	h.slot = true
	p.e.metrics.active.Inc()
	if h.x != nil {
		if h.unacked == 0 {
			p.advance(h)
		}
		return
	}
	p.start(h)
}

// leave gives an execution's slot back, or its place in the queue for one.
func (p *partition) leave(h *held) {
	switch {
	case h.slot:
		h.slot = false
		p.e.metrics.active.Dec()
		p.e.flow.leave()
	case h.queued != nil && p.e.flow.remove(h.queued): // else a slot is on its way, and proceed gives it back
		h.queued = nil
	}
}

func (p *partition) forget(h *held) {
	p.leave(h)
	if p.held[h.row.ID] == h {
		delete(p.held, h.row.ID)
	}
	p.freeGates(h)
}

// launch begins an execution in memory. Functions without an effect that it begins with are done at once: their results
// are in the log before anything that follows from them is begun.
func (p *partition) launch(h *held) ([]machine.Event, error) {
	input, err := language.Decode([]byte(h.row.Input))
	if err != nil {
		return nil, err
	}
	x, events, err := p.e.embark(p.ctx, h, input)
	if err != nil {
		return nil, err
	}
	h.x = x
	p.began(h, x)
	for _, call := range x.Calls() {
		if pure(call) {
			p.e.metrics.stepsCompleted.Inc()
			events = append(events, x.Handle(machine.CallDone(call.ID, argumentsOf(call), p.e.Now()))...)
		}
	}
	return events, nil
}

// decide hands outcomes to an execution's machine, or has it go on where it was cut, and enqueues the turn. It tells
// whether there is one.
func (p *partition) decide(h *held, done chan error, outcomes ...machine.Outcome) bool {
	if h.broken || h.x == nil {
		return false
	}
	var events []machine.Event
	for _, outcome := range outcomes {
		turn := h.x.Handle(outcome)
		if events == nil {
			events = turn
			continue
		}
		events = append(events, turn...)
	}
	if len(outcomes) == 0 {
		events = h.x.Continue(p.e.Now())
	}
	if len(events) == 0 {
		return false
	}
	p.enqueue(h, turn{}, events, done)
	return true
}

// enqueue puts a turn into the next message. One that is larger than a message goes into several, in order: a turn that was
// cut is gone on with where it was.
func (p *partition) enqueue(h *held, t turn, events []machine.Event, done chan error) {
	h.touched++
	h.resting = false
	t.ID = h.row.ID
	raw := encodeEvents(events)
	var err error
	for {
		count := fittingEvents(raw, p.e.turnLimit)
		if count == 0 && len(raw) > 0 {
			err = errEventSize
			break
		}
		part := openTurn{h: h, raw: raw[:count], events: events[:count]}
		if part.head, err = t.head(); err != nil {
			break
		}
		raw, events, t = raw[count:], events[count:], turn{ID: t.ID}
		if len(raw) == 0 {
			part.done = done
		}
		h.unacked++
		p.open = append(p.open, part)
		if len(raw) == 0 {
			break
		}
	}
	if err != nil {
		p.e.Log.Error("a turn cannot be written", zap.String("execution_id", h.row.ID), zap.Error(err))
		h.broken = true
		p.dirty[h.row.ID] = h
		if done != nil {
			done <- err
		}
	}
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// fittingEvents is how many events fit into limit bytes.
func fittingEvents(raw []json.RawMessage, limit int) int {
	size := 0
	for i, event := range raw {
		if size += len(event) + 1; size > limit {
			return i
		}
	}
	return len(raw)
}

// runLog appends what is enqueued, message after message, until the partition is lost.
func (p *partition) runLog() {
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.kick:
		}
		for {
			batch := p.batch()
			if len(batch) == 0 {
				break
			}
			if err := p.appendBatch(batch); err != nil {
				p.lose(err)
				for _, t := range batch {
					if t.done != nil {
						t.done <- errHandover
					}
				}
				return
			}
			p.acknowledge(batch)
		}
	}
}

// batch takes the turns of the next message.
func (p *partition) batch() []openTurn {
	p.mu.Lock()
	defer p.mu.Unlock()
	size, count := 0, 0
	for count < len(p.open) {
		size += p.open[count].size()
		if size > p.e.turnLimit+turnRoom && count > 0 {
			break
		}
		count++
	}
	batch := p.open[:count:count]
	p.open = p.open[count:]
	if len(p.open) == 0 {
		p.open = nil
	}
	return batch
}

// logged returns once everything that was decided before is in the log.
func (p *partition) logged(ctx context.Context) error {
	head, err := turn{}.head()
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	p.mu.Lock()
	if p.gone {
		p.mu.Unlock()
		return errHandover
	}
	p.open = append(p.open, openTurn{head: head, done: done})
	p.mu.Unlock()
	select {
	case p.kick <- struct{}{}:
	default:
	}
	return received(ctx, done)
}

// appendBatch appends a message until it is there. The error says that it never will be.
func (p *partition) appendBatch(batch []openTurn) error {
	reach(crashDecided)
	for {
		err := p.log.append(p.ctx, batch)
		if err == nil {
			p.e.metrics.appends.Inc()
			reach(crashAppended)
			return nil
		}
		if errors.Is(err, errLost) || p.ctx.Err() != nil {
			return err
		}
		p.mu.Lock()
		if p.stalled.IsZero() {
			p.stalled = time.Now()
			p.e.Log.Warn("the log cannot be written", zap.Int("partition", p.lot), zap.Error(err))
		}
		p.mu.Unlock()
		select {
		case <-time.After(appendPause):
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
	}
}

// acknowledge does what follows from turns that are in the log.
func (p *partition) acknowledge(batch []openTurn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled, p.acked = time.Time{}, p.log.last
	for i := range batch {
		t := &batch[i]
		h := t.h
		if h == nil { // a message without content
			t.done <- nil
			continue
		}
		h.unacked--
		h.fresh = append(h.fresh, t.raw...)
		for _, event := range t.raw {
			p.fresh += len(event)
		}
		if h.whole && len(t.events) > 0 {
			h.turns = append(h.turns, t.events)
		}
		h.row.Events += int64(len(t.raw))
		p.dirty[h.row.ID] = h
		if h.unacked == 0 && !h.broken {
			if err := h.settle(); err != nil {
				p.e.Log.Error("reading an execution", zap.String("execution_id", h.row.ID), zap.Error(err))
			}
		}
		if h.row.Watched {
			p.e.feeding.add(h.row.ID)
		}
		if t.done != nil {
			t.done <- nil
		}
		if h.unacked == 0 && !p.gone {
			p.advance(h)
		}
	}
	p.e.folder.poke()
}

// advance goes on with an execution whose turns are all in the log.
func (p *partition) advance(h *held) {
	if h.broken || h.x == nil || h.finished {
		return
	}
	if h.x.Status().Ended() {
		p.finish(h)
		return
	}
	outcomes, outstanding := p.makeCalls(h)
	switch {
	case len(outcomes) > 0:
		p.decide(h, nil, outcomes...)
	case !h.x.Settled():
		p.decide(h, nil)
	case !outstanding:
		p.rest(h)
	}
}

// finish tells what became of an execution. SQL gets it with the next fold.
func (p *partition) finish(h *held) {
	h.finished = true
	p.dirty[h.row.ID] = h
	p.giveUp(h, nil)
	for _, w := range h.waiters {
		w <- h.ending()
	}
	h.waiters = nil
	p.leave(h)
	p.freeGates(h)
	p.e.metrics.ended(h.row.Status, h.x.EndedAt().Sub(h.x.StartedAt()))
	if h.row.ParentID != "" {
		p.tellParent(h.row)
	}
}

// lose gives everything up: another owner has the partition, or the process stops.
func (p *partition) lose(cause error) {
	p.stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return
	}
	p.gone = true
	if cause != nil && !errors.Is(cause, context.Canceled) {
		p.e.Log.Warn("a partition is given up", zap.Int("partition", p.lot), zap.Error(cause))
	}
	for _, t := range p.open {
		if t.done != nil {
			t.done <- errHandover
		}
	}
	p.open = nil
	for _, h := range p.held {
		for _, giveUp := range h.flying {
			giveUp()
		}
		for _, w := range h.waiters {
			w <- ending{err: errHandover}
		}
		h.waiters = nil
		p.leave(h)
	}
	clear(p.held)
	clear(p.dirty)
	p.fresh = 0
	p.e.disown(p)
}
