package engine

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
	maxPendingTransitions = 20_000
	maxUnprojectedBytes   = 256 << 20
	// stallAfter is how long a log may be out of reach before new executions are refused at once.
	stallAfter       = time.Second
	appendRetryDelay = 100 * time.Millisecond
)

// partition is one partition in the hands of its owner. What is decided about its executions is decided here, in memory;
// the turns of many executions are appended as one message; what follows from a turn is done once that is acknowledged.
type partition struct {
	e      *Engine
	number int
	log    partitionLog
	ctx    context.Context //nolint:containedctx // a partition lives as long as it is owned, which no caller's context tells
	stop   context.CancelFunc
	wake   chan struct{}

	mu         sync.Mutex
	executions map[string]*execution
	limiter    limiter
	loading    map[string]chan struct{}
	// starts is held by each start that a schedule allows, until it is decided.
	scheduleStarts sync.RWMutex
	// open are turns that wait for the next message; acked is the sequence of the last one acknowledged.
	pending []pendingTransition
	logged  uint64
	// dirty are executions that SQL does not have as they are, fresh the bytes of their events.
	unprojected      map[string]*execution
	unprojectedBytes int
	// doubtful: the last fold failed, and nobody knows whether SQL has it.
	outcomeUnknown bool
	// cut is the sequence that the log was last cut before.
	truncatedBefore uint64
	timers          timers
	// horizon is up to when the timers of parked executions are in memory.
	timersUntil time.Time
	timerWake   chan struct{}
	// stalled is since when appending fails.
	stalledSince time.Time
	// giving: the partition is being handed over, and begins no call. gone: it is not owned any more.
	draining, closed bool
}

// openTurn is a turn, or a part of one, that is not appended yet.
type pendingTransition struct {
	execution *execution
	// head is the turn without its events, raw those as JSON.
	head   []byte
	raw    []json.RawMessage
	events []machine.Event
	done   chan error
}

// begin starts an execution. done gets nil once that is in the log; wait, where it is wanted, what becomes of it.
func (p *partition) start(row Row, def *language.Workflow, wait chan Result) (done chan error, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.checkOverload(row.UserID); err != nil {
		return nil, err
	}
	if p.executions[row.ID] != nil {
		return nil, ErrTaken
	}
	h := newExecution(row, def)
	h.row.Partition, h.row.Status = p.number, subjects.ExecutionPending
	if err := p.admit(h); err != nil {
		return nil, err
	}
	if wait != nil {
		h.results = append(h.results, wait)
	}
	done = make(chan error, 1)
	p.executions[row.ID] = h
	var events []machine.Event
	if p.acquireSlot(h) {
		if events, err = p.launch(h); err != nil {
			p.discard(h)
			return nil, err
		}
	}
	start := row
	p.enqueue(h, transition{Start: &start}, events, done)
	if p.mayBeOrphaned(h) {
		h.pendingCleanup++
		p.e.background.Go(func() { p.confirmAwaited(h) })
	}
	return done, nil
}

// errTaken: there is an execution of that id.
var ErrTaken = subjects.Errorf(subjects.CodeConflict, "the execution_id is taken by another execution")

// enter takes a slot for an execution, or queues it for one.
func (p *partition) acquireSlot(h *execution) bool {
	if h.hasSlot || h.slotRequest != nil {
		return h.hasSlot
	}
	if h.machine == nil && p.isBlocked(h) {
		return false
	}
	h.slotRequest = p.e.executionSlots.acquireOrQueue(h.row.UserID, h.row.Priority, func() { p.onSlot(h) })
	h.hasSlot = h.slotRequest == nil
	if h.hasSlot {
		p.e.metrics.active.Inc()
	}
	return h.hasSlot
}

// proceed goes on with an execution that has got a slot.
func (p *partition) onSlot(h *execution) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h.slotRequest = nil
	if p.closed || h.finished || p.executions[h.row.ID] != h {
		p.e.executionSlots.release()
		return
	}
	h.hasSlot = true
	p.e.metrics.active.Inc()
	if h.machine != nil {
		if h.unacked == 0 {
			p.advance(h)
		}
		return
	}
	p.startPending(h)
}

// leave gives an execution's slot back, or its place in the queue for one.
func (p *partition) releaseSlot(h *execution) {
	switch {
	case h.hasSlot:
		h.hasSlot = false
		p.e.metrics.active.Dec()
		p.e.executionSlots.release()
	case h.slotRequest != nil && p.e.executionSlots.cancel(h.slotRequest): // else a slot is on its way, and proceed gives it back
		h.slotRequest = nil
	}
}

func (p *partition) discard(h *execution) {
	p.releaseSlot(h)
	if p.executions[h.row.ID] == h {
		delete(p.executions, h.row.ID)
	}
	p.releaseLimits(h)
}

// launch begins an execution in memory. Functions without an effect that it begins with are done at once: their results
// are in the log before anything that follows from them is begun.
func (p *partition) launch(h *execution) ([]machine.Event, error) {
	input, err := language.Decode([]byte(h.row.Input))
	if err != nil {
		return nil, err
	}
	x, events, err := p.e.launch(p.ctx, h, input)
	if err != nil {
		return nil, err
	}
	h.machine = x
	p.noteStarted(h, x)
	for _, call := range x.Calls() {
		if hasNoEffect(call) {
			p.e.metrics.stepsCompleted.Inc()
			events = append(events, x.Handle(machine.CallDone(call.ID, ArgumentsOf(call), p.e.Now()))...)
		}
	}
	return events, nil
}

// decide hands outcomes to an execution's machine, or has it go on where it was cut, and enqueues the turn. It tells
// whether there is one.
func (p *partition) decide(h *execution, done chan error, outcomes ...machine.Outcome) bool {
	if h.broken || h.machine == nil {
		return false
	}
	var events []machine.Event
	for _, outcome := range outcomes {
		turn := h.machine.Handle(outcome)
		if events == nil {
			events = turn
			continue
		}
		events = append(events, turn...)
	}
	if len(outcomes) == 0 {
		events = h.machine.Continue(p.e.Now())
	}
	if len(events) == 0 {
		return false
	}
	p.enqueue(h, transition{}, events, done)
	return true
}

// enqueue puts a turn into the next message. One that is larger than a message goes into several, in order: a turn that was
// cut is gone on with where it was.
func (p *partition) enqueue(h *execution, t transition, events []machine.Event, done chan error) {
	h.revision++
	h.evictable = false
	t.ID = h.row.ID
	raw := encodeEvents(events)
	var err error
	for {
		count := fittingEvents(raw, p.e.transitionLimit)
		if count == 0 && len(raw) > 0 {
			err = errEventSize
			break
		}
		part := pendingTransition{execution: h, raw: raw[:count], events: events[:count]}
		if part.head, err = t.head(); err != nil {
			break
		}
		raw, events, t = raw[count:], events[count:], transition{ID: t.ID}
		if len(raw) == 0 {
			part.done = done
		}
		h.unacked++
		p.pending = append(p.pending, part)
		if len(raw) == 0 {
			break
		}
	}
	if err != nil {
		p.e.Log.Error("a turn cannot be written", zap.String("execution_id", h.row.ID), zap.Error(err))
		h.broken = true
		p.unprojected[h.row.ID] = h
		if done != nil {
			done <- err
		}
	}
	select {
	case p.wake <- struct{}{}:
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
		case <-p.wake:
		}
		for {
			batch := p.nextBatch()
			if len(batch) == 0 {
				break
			}
			if err := p.appendBatch(batch); err != nil {
				p.close(err)
				for _, t := range batch {
					if t.done != nil {
						t.done <- errPartitionMoving
					}
				}
				return
			}
			p.onAppended(batch)
		}
	}
}

// batch takes the turns of the next message.
func (p *partition) nextBatch() []pendingTransition {
	p.mu.Lock()
	defer p.mu.Unlock()
	size, count := 0, 0
	for count < len(p.pending) {
		size += p.pending[count].size()
		if size > p.e.transitionLimit+startOverhead && count > 0 {
			break
		}
		count++
	}
	batch := p.pending[:count:count]
	p.pending = p.pending[count:]
	if len(p.pending) == 0 {
		p.pending = nil
	}
	return batch
}

// logged returns once everything that was decided before is in the log.
func (p *partition) barrier(ctx context.Context) error {
	head, err := transition{}.head()
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return errPartitionMoving
	}
	p.pending = append(p.pending, pendingTransition{head: head, done: done})
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return awaitLogged(ctx, done)
}

// appendBatch appends a message until it is there. The error says that it never will be.
func (p *partition) appendBatch(batch []pendingTransition) error {
	reach(crashTransitionDecided)
	for {
		err := p.log.append(p.ctx, batch)
		if err == nil {
			p.e.metrics.appends.Inc()
			reach(crashTransitionAppended)
			return nil
		}
		if errors.Is(err, errFenced) || p.ctx.Err() != nil {
			return err
		}
		p.mu.Lock()
		if p.stalledSince.IsZero() {
			p.stalledSince = time.Now()
			p.e.Log.Warn("the log cannot be written", zap.Int("partition", p.number), zap.Error(err))
		}
		p.mu.Unlock()
		select {
		case <-time.After(appendRetryDelay):
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
	}
}

// acknowledge does what follows from turns that are in the log.
func (p *partition) onAppended(batch []pendingTransition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalledSince, p.logged = time.Time{}, p.log.last
	for i := range batch {
		t := &batch[i]
		h := t.execution
		if h == nil { // a message without content
			t.done <- nil
			continue
		}
		h.unacked--
		h.unprojected = append(h.unprojected, t.raw...)
		for _, event := range t.raw {
			p.unprojectedBytes += len(event)
		}
		if h.complete && len(t.events) > 0 {
			h.transitions = append(h.transitions, t.events)
		}
		h.row.Events += int64(len(t.raw))
		p.unprojected[h.row.ID] = h
		if h.unacked == 0 && !h.broken {
			if err := h.refreshRow(); err != nil {
				p.e.Log.Error("reading an execution", zap.String("execution_id", h.row.ID), zap.Error(err))
			}
		}
		if h.row.Watched {
			p.e.feedQueue.add(h.row.ID)
		}
		if t.done != nil {
			t.done <- nil
		}
		if h.unacked == 0 && !p.closed {
			p.advance(h)
		}
	}
	p.e.projector.notify()
}

// advance goes on with an execution whose turns are all in the log.
func (p *partition) advance(h *execution) {
	if h.broken || h.machine == nil || h.finished {
		return
	}
	if h.machine.Status().Ended() {
		p.finish(h)
		return
	}
	outcomes, outstanding := p.dispatchCalls(h)
	switch {
	case len(outcomes) > 0:
		p.decide(h, nil, outcomes...)
	case !h.machine.Settled():
		p.decide(h, nil)
	case !outstanding:
		p.idle(h)
	}
}

// finish tells what became of an execution. SQL gets it with the next fold.
func (p *partition) finish(h *execution) {
	h.finished = true
	p.unprojected[h.row.ID] = h
	p.abandonCalls(h, nil)
	for _, w := range h.results {
		w <- h.result()
	}
	h.results = nil
	p.releaseSlot(h)
	p.releaseLimits(h)
	p.e.metrics.ended(h.row.Status, h.machine.EndedAt().Sub(h.machine.StartedAt()))
	if h.row.ParentID != "" {
		p.completeParent(h.row)
	}
}

// lose gives everything up: another owner has the partition, or the process stops.
func (p *partition) close(cause error) {
	p.stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	if cause != nil && !errors.Is(cause, context.Canceled) {
		p.e.Log.Warn("a partition is given up", zap.Int("partition", p.number), zap.Error(cause))
	}
	for _, t := range p.pending {
		if t.done != nil {
			t.done <- errPartitionMoving
		}
	}
	p.pending = nil
	for _, h := range p.executions {
		for _, giveUp := range h.inFlight {
			giveUp()
		}
		for _, w := range h.results {
			w <- Result{Err: errPartitionMoving}
		}
		h.results = nil
		p.releaseSlot(h)
	}
	clear(p.executions)
	clear(p.unprojected)
	p.unprojectedBytes = 0
	p.e.remove(p)
}
