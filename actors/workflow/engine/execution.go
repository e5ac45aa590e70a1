package engine

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh/fair"
	"github.com/weftmesh/weft/subjects"
)

// execution is a loaded execution: one in its owner's memory. Its partition's lock guards it.
type execution struct {
	row Row
	def *language.Workflow
	// waiter counts it against its workflow's limits; nil where that declares none.
	waiter *waiter
	// machine is nil until the execution has started.
	machine *machine.Execution
	// heavy: decisions are made in the pool, because they may be too large for the lock, or read secrets. deciding: one is being made, and the
	// machine must not be touched; idle is closed when it ends.
	heavy    bool
	deciding bool
	idle     chan struct{}
	// output is the encoded output of a large execution that has completed, snapshot the snapshot of one that is evictable.
	output   string
	snapshot []byte
	// held is the size of its state that is charged to its user.
	held int
	// quarantine is the error of an execution that was quarantined; quarantinedAt when that was.
	quarantine    *machine.Error
	quarantinedAt time.Time
	// unrestorable is set until the execution is quarantined because it cannot be restored.
	unrestorable error
	// enqueued counts the events that were handed to the log writer, those of earlier owners included.
	enqueued int64
	// unacked counts the transitions that the log has not acknowledged: the machine is ahead of the log by them.
	unacked int
	// unprojected are acknowledged events that SQL does not have.
	unprojected []json.RawMessage
	// transitions are all acknowledged events, from the first, while complete is set: as long as SQL has none of them, or a caller
	// waits for the result, which includes them.
	transitions [][]machine.Event
	complete    bool
	// stored: SQL has the execution. revision changes with everything that happens to it, so that a projection sees whether anything
	// did meanwhile.
	stored bool
	// maybeStored: SQL may have it, by a projection of unknown outcome.
	maybeStored bool
	revision    uint64
	// inFlight are the calls that this process makes. external are those that CompleteCall ends, with the child that each waits for,
	// if any. startRecorded are the calls whose start this owner has written to the log. overdue are the calls that ended by their
	// deadline while the execution was suspended: the timer, which waits for the execution to be resumed, ends them.
	inFlight      map[string]*callInFlight
	external      map[string]string
	startRecorded map[string]bool
	overdue       map[string]bool
	// resumedAt is when it was last resumed: timers that were due before could not fire earlier.
	resumedAt time.Time
	// orphanCandidates are children that an earlier owner, or a call that failed, may have started, by call.
	orphanCandidates map[string]string
	// pendingCleanup counts the work that must be done before the execution is evicted: see children.
	pendingCleanup int
	// suspended: it was suspended before it started. Afterwards the machine has that state.
	suspended bool
	// expired are calls whose approval requests the next projection closes.
	expired []string
	// hurry is closed when the slice that is being decided need not wait for the log rate. ending: a command ends the execution, and its slices
	// need not wait. hurried: a command has done so before.
	hurry           chan struct{}
	ending, hurried bool
	// hasSlot: it counts against the process's concurrency. slotRequest: it is queued for that.
	hasSlot     bool
	slotRequest *fair.Request
	// evictable: it waits for long, and the next projection evicts it.
	evictable bool
	finished  bool
	results   []chan Result
}

// maxKeptEvents bounds the events that are kept for the callers that wait for an execution's result.
const maxKeptEvents = 1000

// Result is what in-process waiters get when an execution has ended.
type Result struct {
	Row Row
	// Transitions are its whole history, if Complete.
	Transitions [][]machine.Event
	Complete    bool
	// Err is not nil where the partition was closed before the execution ended.
	Err error
}

func newExecution(row Row, def *language.Workflow) *execution {
	return &execution{
		row: row, def: def, complete: true, inFlight: map[string]*callInFlight{}, external: map[string]string{},
		startRecorded: map[string]bool{}, overdue: map[string]bool{}, heavy: len(def.Use.Secrets) > 0,
		enqueued: row.Events,
	}
}

// running reports whether the execution has a machine that can decide.
func (h *execution) running() bool { return h.machine != nil && !h.finished && !h.quarantined() }

// isPending reports whether the execution has not started.
func (h *execution) isPending() bool { return h.machine == nil && !h.finished && !h.quarantined() }

// setMachine gives the execution its machine.
func (h *execution) setMachine(x *machine.Execution) {
	h.machine = x
	x.NotSent = h.notSent
}

// notSent reports whether a call whose start is recorded was certainly not sent: only the process that has recorded the start knows.
func (h *execution) notSent(id string) bool {
	if call := h.inFlight[id]; call != nil {
		return h.startRecorded[id] && !call.sent.Load()
	}
	return h.startRecorded[id]
}

// dropProjected drops the events that SQL has, unless a caller waits for them.
func (h *execution) dropProjected() {
	if len(h.results) == 0 || h.row.Events > maxKeptEvents {
		h.transitions, h.complete = nil, false
	}
}

// refreshRow brings the row to the machine's state. It is called when the log has everything that was decided.
func (h *execution) refreshRow() error {
	if h.quarantined() {
		return h.refreshQuarantined()
	}
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
		if h.row.Output = Packed(h.output); h.row.Output == "" {
			h.row.Output = Packed(language.Canonical(h.machine.Output()))
		}
	}
	if fault := h.machine.Fault(); fault != nil {
		return h.setFault(fault)
	}
	return nil
}

func (h *execution) setFault(fault *machine.Error) error {
	data, err := json.Marshal(fault)
	if err != nil {
		return fmt.Errorf("encoding an execution's error: %w", err)
	}
	h.row.Error, h.row.ErrorType = string(data), fault.Type
	return nil
}

// suspendPending suspends an execution that has not started, or ends that, and returns its status then.
func (h *execution) suspendPending(on bool) machine.Status {
	if h.suspended = on; on {
		return machine.Suspended
	}
	return subjects.ExecutionPending
}

// nextTimer is when the next timer is due; zero where there is none.
func (h *execution) nextTimer() time.Time {
	if h.machine == nil {
		return time.Time{}
	}
	return h.machine.NextTimer()
}

// evict is the row from which the execution can be loaded again.
func (h *execution) evict() (Row, error) {
	row := h.row
	snapshot := h.snapshot
	if snapshot == nil {
		var err error
		if snapshot, err = h.machine.Snapshot(); err != nil {
			return row, err
		}
	}
	row.Evicted, row.Snapshot, row.Listens = true, Packed(snapshot), len(h.machine.Listeners()) > 0
	if due := h.nextTimer(); !due.IsZero() {
		row.DueAt = due.UnixMicro()
	}
	return row, nil
}

// restoreExternal records the external calls of an execution that was evicted: each had started before. Those of a suspended one may
// have: they are made again when it is resumed, and what they started is cancelled if they are abandoned before.
func (h *execution) restoreExternal() {
	suspended := h.machine.Status() == machine.Suspended
	for _, call := range h.machine.Awaited() {
		switch {
		case !call.External():
		case suspended:
			h.addOrphanCandidate(call.ID, awaitedChild(call))
		default:
			h.external[call.ID] = awaitedChild(call)
		}
	}
}

// findOrphanCandidates records the children that an earlier owner may have started: abandoning their calls cancels them.
func (h *execution) findOrphanCandidates() {
	if h.machine == nil || h.machine.Status().Ended() {
		return
	}
	for _, call := range h.machine.Awaited() {
		if _, external := h.external[call.ID]; !external && awaitedChild(call) != "" {
			h.addOrphanCandidate(call.ID, awaitedChild(call))
		}
	}
}

// addOrphanCandidate records a child that a call may have started, or, without a child, that it has made an approval request.
func (h *execution) addOrphanCandidate(call, child string) {
	if h.orphanCandidates == nil {
		h.orphanCandidates = map[string]string{}
	}
	h.orphanCandidates[call] = child
}

// result is what the callers that wait for the execution's end get.
func (h *execution) result() Result {
	return Result{Row: h.row, Transitions: h.transitions, Complete: h.complete}
}
