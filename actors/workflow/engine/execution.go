package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// held is an execution in its owner's memory. Its partition's lock guards it.
type execution struct {
	row Row
	def *language.Workflow
	// ticket is its place among those that its workflow limits; nil: it limits none.
	waiter *waiter
	// x is nil while the execution waits for a slot to begin in.
	machine *machine.Execution
	// unacked counts the turns that are decided and not yet acknowledged: x is ahead of the log by them.
	unacked int
	// fresh are acknowledged events that SQL does not have.
	unprojected []json.RawMessage
	// turns are all that were acknowledged, while whole: from the beginning, as long as SQL has none of them or somebody
	// waits for the end, who is told them all.
	transitions [][]machine.Event
	complete    bool
	// stored tells that SQL has the execution, touched counts what happened to it, so that a fold knows whether something did.
	stored   bool
	revision uint64
	// flying are the calls under way, begun the external ones that somebody else will complete, with the executions that
	// will where it is one, intended those whose start this owner has recorded.
	inFlight      map[string]context.CancelFunc
	external      map[string]string
	startRecorded map[string]bool
	// inherited are the children of calls that an owner before this one may have started.
	orphanCandidates map[string]string
	// errands are what is to be done before it is parked: to end a call or a child that it has given up, to look for such children
	// where an owner before this one had it, to ask whether it is waited for.
	pendingCleanup int
	// suspended: it was suspended before it began. One that has begun is told by x.
	suspended bool
	// lapsed are calls whose questions to the user nobody waits for any more: the next fold withdraws them.
	expired []string
	// slot: it counts among the executions that the process carries on. queued: it waits for one.
	hasSlot     bool
	slotRequest *slotRequest
	// resting: it waits for long, and the next fold parks it.
	evictable bool
	// broken: a turn of it cannot be appended. It is restored from what can be, and cancelled.
	broken   bool
	finished bool
	results  []chan Result
}

// maxWhole bounds the events that are kept for who waits for an execution's end.
const maxKeptEvents = 1000

// shorten forgets the events that SQL has, unless somebody waits for them.
func (h *execution) dropProjected() {
	if len(h.results) == 0 || h.row.Events > maxKeptEvents {
		h.transitions, h.complete = nil, false
	}
}

// ending is what became of an execution, for who waits in this process.
type Result struct {
	Row Row
	// turns are the history where it is whole.
	Transitions [][]machine.Event
	Complete    bool
	Err         error
}

func newExecution(row Row, def *language.Workflow) *execution {
	return &execution{row: row, def: def, complete: true, inFlight: map[string]context.CancelFunc{}, external: map[string]string{}, startRecorded: map[string]bool{}}
}

// settle brings the row to what the machine says. It is called when the log has all that was decided.
func (h *execution) refreshRow() error {
	if h.machine == nil {
		h.row.Status = string(h.suspendPending(h.suspended))
		return nil
	}
	h.row.Status = string(h.machine.Status())
	h.row.StartedAt = h.machine.StartedAt().UnixMicro()
	if !h.machine.Status().Ended() {
		return nil
	}
	h.row.EndedAt = h.machine.EndedAt().UnixMicro()
	if h.machine.Status() == machine.Completed {
		h.row.Output = string(language.Canonical(h.machine.Output()))
	}
	if fault := h.machine.Fault(); fault != nil {
		data, err := json.Marshal(fault)
		if err != nil {
			return fmt.Errorf("encoding an execution's error: %w", err)
		}
		h.row.Error, h.row.ErrorType = string(data), fault.Type
	}
	return nil
}

// suspendWaiting suspends an execution that has not begun, or lets it wait again, and tells its status then.
func (h *execution) suspendPending(on bool) machine.Status {
	if h.suspended = on; on {
		return machine.Suspended
	}
	return subjects.ExecutionPending
}

// due is the next timer's time; zero where there is none.
func (h *execution) nextTimer() (due time.Time) {
	for _, t := range h.machine.Timers() {
		if due.IsZero() || t.At.Before(due) {
			due = t.At
		}
	}
	return due
}

// park is the row of an execution that needs no memory.
func (h *execution) evict() (Row, error) {
	row := h.row
	snapshot, err := h.machine.Snapshot()
	if err != nil {
		return row, err
	}
	row.Evicted, row.Snapshot, row.Listens = true, string(snapshot), len(h.machine.Listeners()) > 0
	if due := h.nextTimer(); !due.IsZero() {
		row.DueAt = due.UnixMicro()
	}
	return row, nil
}

// resumeBegun notes the external calls of an execution that was parked: it was not before they were begun.
func (h *execution) restoreExternal() {
	for _, call := range h.machine.Calls() {
		if call.External() {
			h.external[call.ID] = awaitedChild(call)
		}
	}
}

// inherit notes the children that an owner before this one may have started: giving up those calls ends them.
func (h *execution) findOrphanCandidates() {
	if h.machine == nil || h.machine.Status().Ended() {
		return
	}
	for _, call := range h.machine.Awaited() {
		if _, begun := h.external[call.ID]; !begun && awaitedChild(call) != "" {
			if h.orphanCandidates == nil {
				h.orphanCandidates = map[string]string{}
			}
			h.orphanCandidates[call.ID] = awaitedChild(call)
		}
	}
}

// ending is what who waits for the execution's end is told.
func (h *execution) result() Result {
	return Result{Row: h.row, Transitions: h.transitions, Complete: h.complete}
}
