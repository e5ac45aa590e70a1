package engine

import (
	"encoding/json"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh/compute"
	"github.com/weftmesh/weft/subjects"
)

// startRetryDelay is the pause before another attempt to start a pending execution.
const startRetryDelay = time.Second

// start starts an execution. logged gets nil once that is in the log; wait, where it is not nil, gets the result. live is asked right
// before the append.
func (p *partition) start(row Row, def *language.Workflow, wait chan Result, live func() bool) (logged chan error, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.draining {
		return nil, errPartitionMoving
	}
	pending, stalledSince := p.writer.backlog()
	if err := p.admission.check(row.UserID, load{pending, p.e.backlog.full(row.UserID), stalledSince}); err != nil {
		return nil, err
	}
	if p.executions[row.ID] != nil {
		return nil, ErrTaken
	}
	h := newExecution(row, def)
	h.row.Partition, h.row.Status = p.number, subjects.ExecutionPending
	if err := p.admission.admit(h); err != nil {
		return nil, err
	}
	if wait != nil {
		h.results = append(h.results, wait)
	}
	logged = make(chan error, 1)
	p.executions[row.ID] = h
	start := row
	first := transition{Start: &start, live: live}
	if !p.acquireSlot(h) {
		p.enqueue(h, first, nil, logged)
	} else {
		p.launch(h, func(l launch, err error) {
			if err != nil {
				p.discard(h)
				logged <- err
				return
			}
			p.enqueueEncoded(h, first, l.events, l.raw, logged)
		})
	}
	if p.executions[row.ID] == h && p.children.mayBeOrphaned(h) {
		h.pendingCleanup++
		p.e.background.Go(func() { p.children.confirmAwaited(h) })
	}
	return logged, nil
}

// startPending starts an execution that has a slot, and that the log has as pending. If it cannot be started now, that is tried again;
// if it never can, it ends with a fault.
func (p *partition) startPending(h *execution) {
	if h.deciding {
		return // it is being started
	}
	p.launch(h, func(l launch, err error) {
		var panicked *panicError
		code := subjects.CodeOf(err)
		switch {
		case err == nil:
			p.enqueueEncoded(h, transition{}, l.events, l.raw, nil)
		case errors.Is(err, errPartitionMoving):
		case errors.As(err, &panicked):
			p.quarantine(h, err)
		case code == subjects.CodeInvalid, code == subjects.CodeNotFound:
			p.e.Log.Warn("ending an execution that cannot be started", zap.String("execution_id", h.row.ID), zap.Error(err))
			p.end(h, machine.NewError(machine.TypeConfiguration, "the execution cannot be started"))
		default:
			p.e.Log.Warn("starting an execution", zap.String("execution_id", h.row.ID), zap.Error(err))
			p.admission.release(h)
			p.timers.add(p.e.Now().Add(startRetryDelay), h.row.ID)
		}
	})
}

// discard removes an execution that could not be started.
func (p *partition) discard(h *execution) {
	p.admission.release(h)
	if p.executions[h.row.ID] == h {
		delete(p.executions, h.row.ID)
	}
	p.hold(h, 0)
	p.releaseLimits(h)
}

// launch is an execution's machine and the events of its start.
type launch struct {
	machine *machine.Execution
	events  []machine.Event
	raw     []json.RawMessage
	size    int
}

// launch creates an execution's machine and calls done under the lock: before it returns, where that is possible within quickSlice.
// The caller holds the lock.
func (p *partition) launch(h *execution, done func(launch, error)) {
	var l launch
	var failure error
	finish := func() {
		if failure == nil {
			h.setMachine(l.machine)
			p.noteStarted(h)
		}
		if done(l, failure); h.running() {
			p.hold(h, l.size)
		}
	}
	if !h.heavy && !p.e.alwaysInPool && !isRetry(h.row) && len(h.row.Input) <= quickInput {
		if err := recovered(func() { l, failure = p.e.launch(p.ctx, h, quickSlice) }); err != nil {
			failure = err
		}
		if failure != nil || l.machine != nil {
			h.heavy = failure == nil && !l.machine.Settled()
			finish()
			return
		}
	}
	h.heavy = true
	p.inPool(h, false, func() {
		l, failure = p.e.launch(compute.Inside(p.ctx), h, poolSlice)
		p.e.logRate.wrote(h.row.UserID, rawBytes(l.raw))
	}, func(err error) {
		if err != nil {
			failure = err
		}
		finish()
		if failure == nil && h.unacked == 0 {
			p.advance(h)
		}
	})
}
