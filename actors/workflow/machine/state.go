package machine

import (
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// Status is the status of an execution.
type Status string

// The statuses of an execution. A running execution is Waiting when only timers, events and external calls can advance it.
const (
	Pending   Status = "pending"
	Running   Status = "running"
	Waiting   Status = "waiting"
	Suspended Status = "suspended"
	Completed Status = "completed"
	Faulted   Status = "faulted"
	Cancelled Status = "cancelled"
)

// Ended reports whether the status is final.
func (s Status) Ended() bool { return s == Completed || s == Faulted || s == Cancelled }

// State is the result of applying an execution's events, which a snapshot can replace up to Sequence. It contains open task runs only, so
// its size does not grow with the number of completed tasks. As JSON it is without the data; see Execution.Snapshot.
type State struct {
	Sequence   uint64     `json:"sequence"`
	Execution  string     `json:"execution"`
	Definition Definition `json:"definition"`
	Status     Status     `json:"status"`
	Input      Value      `json:"-"`
	Context    Value      `json:"-"`
	Output     Value      `json:"-"`
	Error      *Error     `json:"error,omitempty"`
	StartedAt  time.Time  `json:"started_at,omitzero"`
	EndedAt    time.Time  `json:"ended_at,omitzero"`
	NextRun    int        `json:"next_run"`
	// Bytes is the size of the data that the events have carried, Steps what their evaluations took, as far as the events record it.
	Bytes int `json:"bytes,omitempty"`
	Steps int `json:"steps,omitempty"`
	// Runs are the open task runs, ordered by id; the first is the workflow itself.
	Runs []*Run `json:"runs,omitempty"`
	// Arrivals are the most recently consumed events, kept to ignore redeliveries.
	Arrivals []Arrival `json:"arrivals,omitempty"`
	// Compensable are the completed tasks that declare a compensation, in order of completion. Ending is set while they
	// are compensated: it says how the execution ends afterwards.
	Compensable []Compensable `json:"compensable,omitempty"`
	Ending      *Ending       `json:"ending,omitempty"`
}

// Phase is the phase of a task run.
type Phase string

// The phases of a task run.
const (
	PhaseStarted   Phase = "started"
	PhaseRunning   Phase = "running"
	PhaseCalling   Phase = "calling"
	PhaseWaiting   Phase = "waiting"
	PhaseListening Phase = "listening"
	PhaseRetrying  Phase = "retrying"
	PhaseCatching  Phase = "catching"
	// PhaseIterating: a listener runs its foreach tasks for one event.
	PhaseIterating Phase = "iterating"
	// PhaseCompensating: the tasks of a compensation are running; on the workflow itself, compensations are.
	PhaseCompensating Phase = "compensating"
	// PhaseReady: Result is set and the task's output is still to be computed from it.
	PhaseReady Phase = "ready"
)

// Run is one open run of a task.
type Run struct {
	ID        int       `json:"id"`
	Parent    int       `json:"parent"`
	Slot      int       `json:"slot,omitempty"`
	Task      string    `json:"task,omitempty"`
	Key       string    `json:"key,omitempty"`
	Attempt   int       `json:"attempt,omitempty"`
	Phase     Phase     `json:"phase"`
	StartedAt time.Time `json:"started_at,omitzero"`

	// Input is the task's input after input.from, Raw the input before it; Raw is absent if they are the same.
	Input any   `json:"-"`
	Raw   Value `json:"-"`
	// Data is the raw input of the next task of the list.
	Data   any `json:"-"`
	Result any `json:"-"`

	// Cursor is the position of the next task of the list. Visits counts the completions of each slot, for keys.
	Cursor int            `json:"cursor,omitempty"`
	Visits map[string]int `json:"visits,omitempty"`
	// Exited: a task of the list had the directive exit.
	Exited bool `json:"exited,omitempty"`
	// Then is the directive of the task that an extension wraps.
	Then string `json:"then,omitempty"`

	// Items and Index are those of a for loop; Index is -1 before the first item.
	Items []any `json:"-"`
	Index int   `json:"index,omitempty"`

	// Results are the outputs of a fork's branches by slot. In a competing fork, Lost counts the branches that faulted
	// or were skipped, and LastFault is the last error.
	Results   map[string]any `json:"-"`
	Lost      int            `json:"lost,omitempty"`
	LastFault *Error         `json:"last_fault,omitempty"`

	// Fault is the error to handle. OwnFault: it is an error of the task itself, such as its input or its timeout, which
	// its own catch does not catch.
	Fault    *Error `json:"fault,omitempty"`
	OwnFault bool   `json:"own_fault,omitempty"`
	Caught   *Error `json:"caught,omitempty"`
	// Tries is the number of the current attempt of a try task, from 1.
	Tries int `json:"tries,omitempty"`

	Due        time.Time `json:"due,omitzero"`
	Deadline   time.Time `json:"deadline,omitzero"`
	AttemptDue time.Time `json:"attempt_due,omitzero"`

	// Messages are the events that a listener has consumed, MatchedFilters the indices of the filters they matched,
	// Correlation the values they share. Held is the weight of the messages. Stopped: an event matched the until clause.
	Messages       []any          `json:"-"`
	Held           int            `json:"held,omitempty"`
	MatchedFilters []int          `json:"matched_filters,omitempty"`
	Correlation    map[string]any `json:"-"`
	Stopped        bool           `json:"stopped,omitempty"`
	// UntilMatched are the filters of an until clause of all that events have matched.
	UntilMatched []int `json:"until_matched,omitempty"`
	// Handled counts the messages for which the foreach tasks have run; Outputs are their outputs.
	Handled int   `json:"handled,omitempty"`
	Outputs []any `json:"-"`

	// StartRecorded: the log says that the call is being made. ApprovalRequested: the call's result is unknown, and an
	// approval request asks whether to repeat it.
	StartRecorded     bool `json:"start_recorded,omitempty"`
	ApprovalRequested bool `json:"approval_requested,omitempty"`
	// CallSize is the size of the call's data where it is large.
	CallSize int `json:"call_size,omitempty"`

	// waits: the run cannot advance until an event changes it, one of its children, or the context.
	waits bool
	// children is the number of open runs directly below.
	children int32
	call     *Call
}

// awaitsCall reports whether the run has a call without a result.
func (r *Run) awaitsCall() bool { return r.Phase == PhaseCalling && r.Fault == nil }

// rawInput is the task's input before input.from.
func (r *Run) rawInput() any {
	if r.Raw.Set {
		return r.Raw.V
	}
	return r.Input
}

// run returns the open run with that id, or nil.
func (s *State) run(id int) *Run {
	at, ok := slices.BinarySearchFunc(s.Runs, id, compareID)
	if !ok {
		return nil
	}
	return s.Runs[at]
}

func compareID(run *Run, id int) int { return run.ID - id }

// countChildren sets the number of open runs below each run.
func (s *State) countChildren() {
	for _, run := range s.Runs {
		if parent := s.run(run.Parent); parent != nil && run.ID != 0 {
			parent.children++
		}
	}
}

// wakeAll lets every run be looked at again.
func (s *State) wakeAll() {
	for _, run := range s.Runs {
		run.waits = false
	}
}

// closeRuns closes the descendants of a run, and the run itself if self is set. Descendants have higher ids.
func (s *State) closeRuns(id int, self bool) {
	at, open := slices.BinarySearchFunc(s.Runs, id, compareID)
	if !open {
		return
	}
	run := s.Runs[at]
	if self && id != 0 {
		if parent := s.run(run.Parent); parent != nil {
			parent.children--
			parent.waits = false
		}
	}
	if run.children == 0 { // the usual case, which must not depend on how many runs are open
		if self {
			s.Runs = slices.Delete(s.Runs, at, at+1)
		}
		return
	}
	run.children, run.waits = 0, false
	removed := map[int]bool{id: true}
	s.Runs = slices.DeleteFunc(s.Runs, func(run *Run) bool {
		if run.ID == id {
			return self
		}
		if run.ID != 0 && removed[run.Parent] {
			removed[run.ID] = true
			return true
		}
		return false
	})
}

// taskList returns the tasks that a run executes in its phase.
func taskList(def *language.Workflow, run *Run) language.TaskList {
	if run.ID == 0 {
		return def.Do
	}
	task := def.Task(run.Task)
	if run.Phase == PhaseCompensating {
		return task.Compensate
	}
	switch task.Kind {
	case language.KindDo, language.KindExtension:
		return task.Do
	case language.KindFor:
		return task.For.Do
	case language.KindFork:
		return task.Fork.Branches
	case language.KindTry:
		if run.Phase == PhaseCatching {
			return task.Try.Catch.Do
		}
		return task.Try.Do
	case language.KindListen:
		return task.Listen.Foreach.Do
	case language.KindCall:
		if function := def.Use.Functions[task.Call.Function]; function != nil {
			return language.TaskList{function}
		}
	}
	return nil
}

// runsBranches reports whether a run's children are the branches of a fork.
func runsBranches(run *Run, task *language.Task) bool {
	return task != nil && task.Kind == language.KindFork && run.Phase != PhaseCompensating
}

// runsFunction reports whether a run's child is a function of use.functions.
func runsFunction(run *Run, task *language.Task) bool {
	return task != nil && task.Kind == language.KindCall && run.Phase != PhaseCompensating
}

// isExtendedSlot reports whether a slot of an extension's list holds the extended task.
func isExtendedSlot(task *language.Task, slot int) bool {
	return task != nil && task.Kind == language.KindExtension && slot == len(task.Extension.Before)
}
