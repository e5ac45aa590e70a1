package workflow

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
type held struct {
	row executionRow
	def *language.Workflow
	// ticket is its place among those that its workflow limits; nil: it limits none.
	ticket *ticket
	// x is nil while the execution waits for a slot to begin in.
	x *machine.Execution
	// unacked counts the turns that are decided and not yet acknowledged: x is ahead of the log by them.
	unacked int
	// fresh are acknowledged events that SQL does not have.
	fresh []json.RawMessage
	// turns are all that were acknowledged, while whole: from the beginning, as long as SQL has none of them or somebody
	// waits for the end, who is told them all.
	turns [][]machine.Event
	whole bool
	// stored tells that SQL has the execution, touched counts what happened to it, so that a fold knows whether something did.
	stored  bool
	touched uint64
	// flying are the calls under way, begun the external ones that somebody else will complete, with the executions that
	// will where it is one, intended those whose start this owner has recorded.
	flying   map[string]context.CancelFunc
	begun    map[string]string
	intended map[string]bool
	// inherited are the children of calls that an owner before this one may have started.
	inherited map[string]string
	// errands are what is to be done before it is parked: to end a call or a child that it has given up, to look for such children
	// where an owner before this one had it, to ask whether it is waited for.
	errands int
	// suspended: it was suspended before it began. One that has begun is told by x.
	suspended bool
	// lapsed are calls whose questions to the user nobody waits for any more: the next fold withdraws them.
	lapsed []string
	// slot: it counts among the executions that the process carries on. queued: it waits for one.
	slot   bool
	queued *waiter
	// resting: it waits for long, and the next fold parks it.
	resting bool
	// broken: a turn of it cannot be appended. It is restored from what can be, and cancelled.
	broken   bool
	finished bool
	waiters  []chan ending
}

// maxWhole bounds the events that are kept for who waits for an execution's end.
const maxWhole = 1000

// shorten forgets the events that SQL has, unless somebody waits for them.
func (h *held) shorten() {
	if len(h.waiters) == 0 || h.row.Events > maxWhole {
		h.turns, h.whole = nil, false
	}
}

// ending is what became of an execution, for who waits in this process.
type ending struct {
	row executionRow
	// turns are the history where it is whole.
	turns [][]machine.Event
	whole bool
	err   error
}

func newHeld(row executionRow, def *language.Workflow) *held {
	return &held{row: row, def: def, whole: true, flying: map[string]context.CancelFunc{}, begun: map[string]string{}, intended: map[string]bool{}}
}

// settle brings the row to what the machine says. It is called when the log has all that was decided.
func (h *held) settle() error {
	if h.x == nil {
		h.row.Status = string(h.suspendWaiting(h.suspended))
		return nil
	}
	h.row.Status = string(h.x.Status())
	h.row.StartedAt = h.x.StartedAt().UnixMicro()
	if !h.x.Status().Ended() {
		return nil
	}
	h.row.EndedAt = h.x.EndedAt().UnixMicro()
	if h.x.Status() == machine.Completed {
		h.row.Output = string(language.Canonical(h.x.Output()))
	}
	if fault := h.x.Fault(); fault != nil {
		data, err := json.Marshal(fault)
		if err != nil {
			return fmt.Errorf("encoding an execution's error: %w", err)
		}
		h.row.Error = string(data)
	}
	return nil
}

// suspendWaiting suspends an execution that has not begun, or lets it wait again, and tells its status then.
func (h *held) suspendWaiting(on bool) machine.Status {
	if h.suspended = on; on {
		return machine.Suspended
	}
	return subjects.ExecutionPending
}

// due is the next timer's time; zero where there is none.
func (h *held) due() (due time.Time) {
	for _, t := range h.x.Timers() {
		if due.IsZero() || t.At.Before(due) {
			due = t.At
		}
	}
	return due
}

// park is the row of an execution that needs no memory.
func (h *held) park() (executionRow, error) {
	row := h.row
	snapshot, err := h.x.Snapshot()
	if err != nil {
		return row, err
	}
	row.Parked, row.Snapshot, row.Listens = true, string(snapshot), len(h.x.Listeners()) > 0
	if due := h.due(); !due.IsZero() {
		row.DueAt = due.UnixMicro()
	}
	return row, nil
}

// resumeBegun notes the external calls of an execution that was parked: it was not before they were begun.
func (h *held) resumeBegun() {
	for _, call := range h.x.Calls() {
		if call.External() {
			h.begun[call.ID] = awaitedChild(call)
		}
	}
}

// inherit notes the children that an owner before this one may have started: giving up those calls ends them.
func (h *held) inherit() {
	if h.x == nil || h.x.Status().Ended() {
		return
	}
	for _, call := range h.x.Awaited() {
		if _, begun := h.begun[call.ID]; !begun && awaitedChild(call) != "" {
			if h.inherited == nil {
				h.inherited = map[string]string{}
			}
			h.inherited[call.ID] = awaitedChild(call)
		}
	}
}

// ending is what who waits for the execution's end is told.
func (h *held) ending() ending {
	return ending{row: h.row, turns: h.turns, whole: h.whole}
}
