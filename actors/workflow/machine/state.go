package machine

import (
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// Status is the state of an execution.
type Status string

// The statuses of an execution. An execution is waiting when it runs and waits for timers or events alone.
const (
	Pending   Status = "pending"
	Running   Status = "running"
	Waiting   Status = "waiting"
	Suspended Status = "suspended"
	Completed Status = "completed"
	Faulted   Status = "faulted"
	Cancelled Status = "cancelled"
)

// Ended tells whether nothing more will happen.
func (s Status) Ended() bool { return s == Completed || s == Faulted || s == Cancelled }

// State is what an execution's events fold to. It is JSON, so that a snapshot of it can stand in for the events up
// to Sequence. It holds open task runs only, and so does not grow with what is done.
type State struct {
	Sequence   uint64     `json:"sequence"`
	Execution  string     `json:"execution"`
	Definition Definition `json:"definition"`
	Status     Status     `json:"status"`
	Input      Value      `json:"input,omitzero"`
	Context    Value      `json:"context,omitzero"`
	Output     Value      `json:"output,omitzero"`
	Error      *Error     `json:"error,omitempty"`
	StartedAt  time.Time  `json:"started_at,omitzero"`
	EndedAt    time.Time  `json:"ended_at,omitzero"`
	NextRun    int        `json:"next_run"`
	// Runs are the open task runs in the order of their ids; the first is the workflow itself.
	Runs []*Run `json:"runs,omitempty"`
	// Arrivals are the events that were consumed last, so that one told again is not consumed again.
	Arrivals []Arrival `json:"arrivals,omitempty"`
	// Undo are the completed tasks that declare a compensation, in the order of their completion. Ending is set while
	// they are compensated: how the execution ends then.
	Undo   []Undo  `json:"undo,omitempty"`
	Ending *Ending `json:"ending,omitempty"`
}

// Phase is where a task run stands.
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
	// PhaseIterating: a listener does its tasks for one event.
	PhaseIterating Phase = "iterating"
	// PhaseCompensating: the tasks of a compensation are done; on the workflow itself, compensations are.
	PhaseCompensating Phase = "compensating"
	// PhaseReady: Result is there, the task's output is yet to be made of it.
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

	// Input is the task's input after its transformation.
	Input any `json:"input"`
	// Data is what the next task of the list gets.
	Data   any `json:"data,omitempty"`
	Result any `json:"result,omitempty"`

	// Cursor is the next task of the list; Visits counts starts by slot, for keys.
	Cursor int            `json:"cursor,omitempty"`
	Visits map[string]int `json:"visits,omitempty"`
	// Exited: a task of the list said exit.
	Exited bool `json:"exited,omitempty"`
	// Then is what the task said that an extension extends.
	Then string `json:"then,omitempty"`

	// Items and Index are the loop's; Index is -1 before the first item.
	Items []any `json:"items,omitempty"`
	Index int   `json:"index,omitempty"`

	// Results are the outputs of a fork's branches by slot. In a race, Lost counts the branches that faulted or were
	// skipped, and LastFault is the last such error.
	Results   map[string]any `json:"results,omitempty"`
	Lost      int            `json:"lost,omitempty"`
	LastFault *Error         `json:"last_fault,omitempty"`

	// Fault is the error that the run has to deal with. Own: it is of the task itself (its input, its timeout), and so beyond
	// its catch.
	Fault  *Error `json:"fault,omitempty"`
	Own    bool   `json:"own,omitempty"`
	Caught *Error `json:"caught,omitempty"`
	// Tries is the attempt that a try is in, from 1.
	Tries int `json:"tries,omitempty"`

	Due        time.Time `json:"due,omitzero"`
	Deadline   time.Time `json:"deadline,omitzero"`
	AttemptDue time.Time `json:"attempt_due,omitzero"`

	// Messages are the events that a listener consumed, Hits by which filters, Correlation the values they share.
	Messages    []any          `json:"messages,omitempty"`
	Hits        []int          `json:"hits,omitempty"`
	Correlation map[string]any `json:"correlation,omitempty"`
	Stopped     bool           `json:"stopped,omitempty"`
	// Handled counts the messages that a listener's tasks are done for, Outputs are what they gave.
	Handled int   `json:"handled,omitempty"`
	Outputs []any `json:"outputs,omitempty"`

	// Begun: the intent to make the call is recorded. Asking: nobody knows whether it was made, and a person is asked.
	Begun  bool `json:"begun,omitempty"`
	Asking bool `json:"asking,omitempty"`

	call *Call
}

func (s *State) run(id int) *Run {
	at, ok := slices.BinarySearchFunc(s.Runs, id, func(run *Run, id int) int { return run.ID - id })
	if !ok {
		return nil
	}
	return s.Runs[at]
}

// children are the open runs below a run, one level down.
func (s *State) children(id int) int {
	count := 0
	for _, run := range s.Runs {
		if run.Parent == id && run.ID != 0 {
			count++
		}
	}
	return count
}

// drop closes a run's descendants, and the run itself when self is set. Descendants have higher ids than it.
func (s *State) drop(id int, self bool) {
	gone := map[int]bool{id: true}
	s.Runs = slices.DeleteFunc(s.Runs, func(run *Run) bool {
		if run.ID == id {
			return self
		}
		if run.ID != 0 && gone[run.Parent] {
			gone[run.ID] = true
			return true
		}
		return false
	})
}

// list is the tasks that a run goes through in its phase.
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

// forks tells whether a run's children are the branches of a fork.
func forks(run *Run, task *language.Task) bool {
	return task != nil && task.Kind == language.KindFork && run.Phase != PhaseCompensating
}

// calls tells whether a run's child is a function of the definition's own.
func calls(run *Run, task *language.Task) bool {
	return task != nil && task.Kind == language.KindCall && run.Phase != PhaseCompensating
}

// extends tells whether a slot of a task's list is that of the task which an extension extends.
func extends(task *language.Task, slot int) bool {
	return task != nil && task.Kind == language.KindExtension && slot == len(task.Extension.Before)
}
