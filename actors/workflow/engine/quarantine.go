package engine

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// An execution that cannot go on is quarantined: it ends with a fault, alone, and its partition continues. That is so for one whose
// decision panics, whose events or state cannot be encoded, stored or restored, or whose definition is gone. Like any other fault it is in
// the user's executions and failures, where it can be replayed.

// quarantined reports whether the execution ended without its machine.
func (h *execution) quarantined() bool { return h.quarantine != nil }

// quarantine ends an execution that cannot go on. The user sees that it was; the cause is in the log of the process.
func (p *partition) quarantine(h *execution, cause error) {
	fields := []zap.Field{zap.String("execution_id", h.row.ID), zap.String("user_id", h.row.UserID), zap.Error(cause)}
	var panicked *panicError
	if errors.As(cause, &panicked) {
		fields = append(fields, zap.ByteString("stack", panicked.stack))
	}
	if errors.Is(cause, errEventSize) { // the user's data, and no fault of weft
		p.e.Log.Warn("execution ended", fields...)
		p.end(h, machine.NewError(machine.TypeRuntime, errEventSize.Error()))
		return
	}
	p.e.Log.Error("execution quarantined", fields...)
	p.e.metrics.quarantined.Inc()
	p.end(h, machine.NewError(machine.TypeRuntime, "the execution was quarantined: an internal error occurred"))
}

// end ends an execution with a fault, whatever state its machine is in. The caller holds the lock.
func (p *partition) end(h *execution, fault *machine.Error) {
	if h.finished || h.quarantined() {
		return
	}
	h.quarantine, h.quarantinedAt = fault, p.e.Now()
	if h.row.StartedAt == 0 && h.machine != nil {
		h.row.StartedAt = h.machine.StartedAt().UnixMicro()
	}
	h.machine, h.heavy = nil, false
	p.hold(h, 0)
	event := machine.Event{
		Version: machine.EventVersion, Sequence: uint64(h.enqueued) + 1, Type: machine.ExecutionFaulted, At: h.quarantinedAt, Error: fault,
	}
	p.enqueue(h, transition{Quarantine: true}, []machine.Event{event}, nil)
}

// replayQuarantine restores an execution that the log has as quarantined.
func (h *execution) replayQuarantine(event machine.Event) {
	h.machine, h.quarantine, h.quarantinedAt = nil, event.Error, event.At
}

// refreshQuarantined is refreshRow for an execution that was quarantined.
func (h *execution) refreshQuarantined() error {
	h.row.Status, h.row.EndedAt = string(machine.Faulted), h.quarantinedAt.UnixMicro()
	if h.row.StartedAt == 0 {
		h.row.StartedAt = h.row.EndedAt
	}
	return h.setFault(h.quarantine)
}

// errRefused is an execution's data that a store refuses, in simulations.
var errRefused = errors.New("the data is refused")

// isRefused reports whether a store refuses the data that it was given: another attempt would fail in the same way. Any other error may
// pass.
func isRefused(err error) bool { return database.IsRefused(err) || errors.Is(err, errRefused) }

// unstorableDetail is the fault of an execution that SQL refuses.
const unstorableDetail = "the execution was quarantined: its data cannot be stored"

// findUnstorable marks the executions of a batch that SQL refuses, so that the others are stored. It tries halves of the batch.
func (p projection) findUnstorable(ctx context.Context, batch projectionBatch) {
	err := p.e.store.try(ctx, batch)
	if !isRefused(err) {
		return
	}
	if len(batch.executions) == 1 {
		x := &batch.executions[0]
		p.e.Log.Error("execution quarantined: its row cannot be stored", zap.String("execution_id", x.row.ID), zap.Error(err))
		p.e.metrics.quarantined.Inc()
		x.strip(machine.NewError(machine.TypeRuntime, unstorableDetail), p.e.Now())
		return
	}
	for _, half := range [][]projectedExecution{batch.executions[:len(batch.executions)/2], batch.executions[len(batch.executions)/2:]} {
		part := batch
		part.executions = half
		p.findUnstorable(ctx, part)
	}
}

// strip leaves of an execution that SQL refuses what says that it ended, and why.
func (x *projectedExecution) strip(fault *machine.Error, now time.Time) {
	h := &execution{row: x.row, quarantine: fault, quarantinedAt: now}
	if h.refreshQuarantined() == nil {
		x.row = h.row
	}
	x.row.Evicted, x.row.Listens, x.row.DueAt, x.row.Snapshot, x.row.Output, x.row.Attributes = false, false, 0, "", "", ""
	if !x.known {
		x.row.Input = "null"
	}
	x.row.Events -= int64(len(x.events))
	x.unstorable, x.ended, x.evicted = fault, true, false
}

// endUnstorable ends an execution of which SQL has only that it was refused. The caller holds the lock.
func (p projection) endUnstorable(x *projectedExecution) {
	h := x.execution
	if h.finished {
		return
	}
	h.machine, h.quarantine, h.quarantinedAt = nil, x.unstorable, machine.Moment(x.row.EndedAt)
	h.row = x.row
	p.finish(h)
}
