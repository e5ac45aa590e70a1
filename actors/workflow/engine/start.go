package engine

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
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
	if err := p.admission.check(row.UserID, load{pending, p.unprojectedBytes, stalledSince}); err != nil {
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
	var events []machine.Event
	if p.acquireSlot(h) {
		if events, err = p.launch(h); err != nil {
			p.discard(h)
			return nil, err
		}
	}
	start := row
	p.enqueue(h, transition{Start: &start, live: live}, events, logged)
	if p.children.mayBeOrphaned(h) {
		h.pendingCleanup++
		p.e.background.Go(func() { p.children.confirmAwaited(h) })
	}
	return logged, nil
}

// startPending starts an execution that has a slot, and that the log has as pending. If it cannot be started now, that is tried again;
// if it never can, it is terminated.
func (p *partition) startPending(h *execution) {
	events, err := p.launch(h)
	code := subjects.CodeOf(err)
	switch {
	case code == subjects.CodeInvalid, code == subjects.CodeNotFound:
		p.e.Log.Warn("terminating an execution that cannot be started", zap.String("execution_id", h.row.ID), zap.Error(err))
		x, started := machine.Start(h.def, h.row.ID, nil, p.e.Now(), p.e.Environment(h.def, h.row.UserID))
		events = slices.Concat(started, x.Handle(machine.Terminate("the execution cannot be started", p.e.Now())))
		h.setMachine(x)
		p.noteStarted(h)
	case err != nil:
		p.e.Log.Warn("starting an execution", zap.String("execution_id", h.row.ID), zap.Error(err))
		p.admission.release(h)
		p.timers.add(p.e.Now().Add(startRetryDelay), h.row.ID)
		return
	}
	p.enqueue(h, transition{}, events, nil)
}

// discard removes an execution that could not be started.
func (p *partition) discard(h *execution) {
	p.admission.release(h)
	if p.executions[h.row.ID] == h {
		delete(p.executions, h.row.ID)
	}
	p.releaseLimits(h)
}

// launch creates an execution's machine. Calls without an effect that it begins with complete at once: their results are in the
// log before anything that follows from them is dispatched.
func (p *partition) launch(h *execution) ([]machine.Event, error) {
	input, err := language.Decode([]byte(h.row.Input))
	if err != nil {
		return nil, err
	}
	x, events, err := p.e.launch(p.ctx, h, input)
	if err != nil {
		return nil, err
	}
	h.setMachine(x)
	p.noteStarted(h)
	for _, call := range x.Calls() {
		if hasNoEffect(call) {
			p.e.metrics.stepsCompleted.Inc()
			events = append(events, x.Handle(machine.CallDone(call.ID, ArgumentsOf(call), p.e.Now()))...)
		}
	}
	return events, nil
}
