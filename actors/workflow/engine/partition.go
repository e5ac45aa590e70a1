package engine

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors/wait"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// ErrTaken says that another execution has the id.
var ErrTaken = &subjects.Error{
	Code: subjects.CodeConflict, Reason: subjects.ReasonAlreadyExists, Detail: "the execution_id is taken by another execution",
}

// partition is one partition that this process owns. It decides about its executions in memory, appends the decisions of many as
// one message of its log, and acts on a decision only once the log has it.
type partition struct {
	e         *Engine
	number    int
	ctx       context.Context //nolint:containedctx // ends with the ownership, which no caller's context does
	stop      context.CancelFunc
	writer    logWriter
	children  children
	timerWake wait.Signal
	// evictedWake is set when evictedDue gets an execution.
	evictedWake wait.Signal
	// scheduleStarts is read-locked while a start that a schedule makes is checked and decided.
	scheduleStarts sync.RWMutex

	// mu guards what follows, and the executions.
	mu         lock
	executions map[string]*execution
	admission  admission
	// loading holds the ids that a goroutine is loading or starting; each channel is closed when it is done.
	loading map[string]chan struct{}
	// logged is the sequence of the last message in the log, projected that up to which SQL has everything.
	logged, projected uint64
	// unprojected are the executions that SQL has an older state of, unprojectedBytes the size of their events.
	unprojected      map[string]*execution
	unprojectedBytes int
	// paused are the executions that wait for SQL to catch up with the logs.
	paused map[*execution]struct{}
	// truncatedBefore is the sequence that the log was last truncated before.
	truncatedBefore uint64
	timers          timers
	// evictedDue are the evicted executions whose timers are due.
	evictedDue []string
	// timersUntil is the time up to which the timers of evicted executions are in memory.
	timersUntil time.Time
	// since is when the partition began to run the executions that it has restored.
	since time.Time
	// listenerReads counts the reads of evicted listeners in progress, evictedDuringReads has what was evicted meanwhile, with its user.
	listenerReads      int
	evictedDuringReads map[string]string
	// running: the executions that were restored run.
	running bool
	// draining: the partition is being handed over, and dispatches no call. closed: it is not owned any more.
	draining, closed bool
}

func newPartition(ctx context.Context, e *Engine, number int) *partition {
	owner := e.NewID()
	p := &partition{
		e: e, number: number, timerWake: wait.NewSignal(), evictedWake: wait.NewSignal(), executions: map[string]*execution{}, loading: map[string]chan struct{}{},
		unprojected: map[string]*execution{}, evictedDuringReads: map[string]string{}, paused: map[*execution]struct{}{},
	}
	p.mu.held = e.metrics.lockHeld
	p.ctx, p.stop = context.WithCancel(context.WithValue(context.WithoutCancel(ctx), ownerKey{}, owner))
	p.timers.wake = p.timerWake
	p.children = children{p}
	p.admission = admission{
		limiter: newLimiter(), slots: &e.executionSlots, maxQueued: e.Config.MaxQueued, maxQueuedPerUser: e.Config.MaxQueuedPerUser,
		refused:   func(bound string) { e.metrics.refused.WithLabelValues(bound).Inc() },
		activeAdd: e.metrics.active.Add,
	}
	p.writer = logWriter{
		log: partitionLog{store: e.log, number: number, owner: owner}, limit: e.transitionLimit, wake: wait.NewSignal(), logger: e.Log,
		appended: p.onAppended, lost: p.close,
	}
	return p
}

// enqueue hands a transition to the log writer. The caller holds the lock.
func (p *partition) enqueue(h *execution, t transition, events []machine.Event, logged chan error) {
	p.enqueueEncoded(h, t, events, encodeEvents(events), logged)
}

// enqueueEncoded hands a transition to the log writer. One that exceeds a message is split into several, in order; a split transition
// resumes at the cut. An execution with an event that fits into no message is quarantined.
func (p *partition) enqueueEncoded(h *execution, t transition, events []machine.Event, raw []json.RawMessage, logged chan error) {
	h.revision++
	h.evictable, h.snapshot = false, nil
	t.ID = h.row.ID
	for {
		count := fittingEvents(raw, p.e.transitionLimit)
		part := pendingTransition{execution: h, raw: raw[:count], events: events[:count], live: t.live}
		var err error
		if count == 0 && len(raw) > 0 {
			err = errEventSize
		} else {
			part.head, err = t.head()
		}
		if err != nil {
			p.quarantine(h, err)
			if logged != nil {
				logged <- err
			}
			return
		}
		raw, events, t = raw[count:], events[count:], transition{ID: t.ID}
		if len(raw) == 0 {
			part.logged = logged
		}
		h.unacked++
		h.enqueued += int64(count)
		p.writer.add(part)
		if len(raw) == 0 {
			return
		}
	}
}

// onAppended acts on transitions that are in the log now.
func (p *partition) onAppended(batch []pendingTransition, sequence uint64) {
	p.e.metrics.appends.Inc()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.logged = sequence
	for i := range batch {
		p.mu.yield()
		t := &batch[i]
		h := t.execution
		if h == nil { // a barrier
			t.settle(nil)
			continue
		}
		h.unacked--
		p.addUnprojected(h, t.raw, t.events)
		if h.unacked == 0 {
			p.refresh(h)
		}
		if h.row.Watched {
			p.e.feedQueue.add(h.row.ID)
		}
		t.settle(nil)
		if h.unacked == 0 && !p.closed {
			p.guarded(h, func() { p.advance(h) })
		}
	}
	p.e.projector.wake.Notify()
}

// refresh brings an execution's row up to date, once the log has everything that was decided.
func (p *partition) refresh(h *execution) {
	if h.deciding {
		return // it is brought up to date afterwards
	}
	before := h.row.Status
	if err := h.refreshRow(); err != nil {
		p.quarantine(h, err)
	}
	if h.row.Status != before {
		p.unprojected[h.row.ID] = h
	}
}

// addUnprojected records events that the log has and SQL does not.
func (p *partition) addUnprojected(h *execution, raw []json.RawMessage, events []machine.Event) {
	h.unprojected = append(h.unprojected, raw...)
	bytes := rawBytes(raw)
	p.unprojectedBytes += bytes
	p.e.backlog.add(h.row.UserID, bytes)
	if h.complete && len(events) > 0 {
		h.transitions = append(h.transitions, events)
	}
	h.row.Events += int64(len(raw))
	p.unprojected[h.row.ID] = h
}

// advance continues an execution whose transitions are all in the log. While SQL is too far behind the logs it waits.
func (p *partition) advance(h *execution) {
	if h.finished || h.deciding {
		return
	}
	if h.quarantined() || h.machine != nil && h.machine.Status().Ended() {
		p.finish(h)
		return
	}
	if h.machine == nil || p.pauseForBacklog(h) {
		return
	}
	if p.fireOverdue(h) { // a call that has timed out is not made
		return
	}
	for {
		outcomes, outstanding := p.dispatchCalls(h)
		switch {
		case len(outcomes) > 0:
			p.decide(h, followUp{repeatable: true}, outcomes...)
		case !h.machine.Settled() && !p.leaving():
			if !p.decide(h, followUp{repeatable: true}) {
				continue // nothing was left to decide, but calls have been built
			}
		case !h.machine.Settled(): // the next owner decides the rest
		case !outstanding:
			p.idle(h)
		default:
			p.scheduleTimer(h.nextTimer(), h) // a timeout of the call, or a wait of another branch
		}
		return
	}
}

// leaving reports whether the partition is about to be left: its next owner continues what is not decided yet.
func (p *partition) leaving() bool { return p.draining || p.e.Stopping() }

// finish delivers the result of an execution that has ended. The next projection writes it to SQL.
func (p *partition) finish(h *execution) {
	h.finished = true
	p.unprojected[h.row.ID] = h
	p.abandonCalls(h, nil)
	for _, w := range h.results {
		w <- h.result()
	}
	h.results = nil
	p.admission.release(h)
	p.releaseLimits(h)
	p.e.metrics.ended(h.row.Status, time.Duration(h.row.EndedAt-h.row.StartedAt)*time.Microsecond)
	if h.row.ParentID != "" {
		p.children.completeParent(h.row)
	}
}

// idle lets an execution wait that has no call outstanding: in memory if the wait is short, else it is evicted by the next
// projection.
func (p *partition) idle(h *execution) {
	due := h.nextTimer()
	p.scheduleTimer(due, h)
	if !due.IsZero() && due.Sub(p.e.Now()) <= p.e.Config.ShortWait {
		return
	}
	p.admission.release(h)
	if h.heavy {
		p.prepareEviction(h)
		return
	}
	p.markEvictable(h)
}

// markEvictable has the next projection evict an execution.
func (p *partition) markEvictable(h *execution) {
	h.evictable = true
	p.unprojected[h.row.ID] = h
	p.e.projector.wake.Notify()
}

// prepareEviction encodes the snapshot of a large execution without the lock, and marks it as evictable.
func (p *partition) prepareEviction(h *execution) {
	var snapshot []byte
	var failure error
	p.inPool(h, true, func() { snapshot, failure = h.machine.Snapshot() }, func(err error) {
		switch {
		case errors.Is(err, errPartitionMoving):
			return
		case err != nil, failure != nil:
			p.quarantine(h, errors.Join(err, failure))
			return
		}
		if h.unacked > 0 || len(h.inFlight) > 0 {
			return
		}
		if p.fireOverdue(h) {
			return
		}
		p.scheduleTimer(h.nextTimer(), h)
		h.snapshot = snapshot
		p.markEvictable(h)
	})
}

// close gives the partition up: another owner has it, or the process stops. What is pending is answered with errPartitionMoving.
func (p *partition) close(cause error) {
	p.stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	if cause != nil && !errors.Is(cause, context.Canceled) {
		p.e.Log.Warn("partition lost", zap.Int("partition", p.number), zap.Error(cause))
	}
	p.writer.close()
	for _, h := range p.executions {
		for _, call := range h.inFlight {
			call.cancel()
		}
		for _, w := range h.results {
			w <- Result{Err: errPartitionMoving}
		}
		h.results = nil
		p.admission.release(h)
	}
	for _, h := range p.unprojected {
		projection{p}.projectedBytes(h.row.UserID, h.unprojected)
		h.unprojected = nil
	}
	for _, h := range p.executions {
		p.hold(h, 0)
	}
	clear(p.executions)
	clear(p.unprojected)
	clear(p.paused)
	p.unprojectedBytes = 0
	p.e.remove(p)
}
