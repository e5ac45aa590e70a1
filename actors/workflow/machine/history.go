package machine

import (
	"maps"
	"slices"
	"time"
)

// TaskStatus is the status of a task run in a history.
type TaskStatus string

// The statuses of a task run.
const (
	TaskStatusRunning   TaskStatus = "running"
	TaskStatusSkipped   TaskStatus = "skipped"
	TaskStatusCompleted TaskStatus = "completed"
	TaskStatusFaulted   TaskStatus = "faulted"
	// TaskStatusCancelled: the run was ended by a cancellation, a timeout, a lost race, or the fault of a sibling.
	TaskStatusCancelled TaskStatus = "cancelled"
)

// TaskRun is one run of a task in a history.
type TaskRun struct {
	// Run is the id of the run; 0 for a skipped task.
	Run int `json:"run"`
	// Task is the JSON pointer of the task, Key its stable name with iterations.
	Task string `json:"task"`
	Name string `json:"name"`
	// Extension is set for the run of an extension around a task.
	Extension string `json:"extension,omitempty"`
	Key       string `json:"key"`
	Attempt   int    `json:"attempt"`
	// Compensation: the run compensates the task.
	Compensation bool       `json:"compensation,omitempty"`
	Status       TaskStatus `json:"status"`
	// Retries counts the further attempts of a try, Iterations the iterations of a for or a listener.
	Retries    int       `json:"retries,omitempty"`
	Iterations int       `json:"iterations,omitempty"`
	StartedAt  time.Time `json:"started_at"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
	Error      *Error    `json:"error,omitempty"`
	// Outcome is OutcomeUnknown where the run's call was interrupted and may have had its effect.
	Outcome string `json:"outcome,omitempty"`

	parent int
}

// Tasks lists the task runs of a log in the order of their starts. The transitions together are the log from its first
// event on; it may end anywhere.
func Tasks(transitions ...[]Event) []TaskRun {
	h := historyBuilder{open: map[int]int{}}
	for _, events := range transitions {
		for i := range events {
			h.add(&events[i])
		}
	}
	return h.runs
}

type historyBuilder struct {
	runs []TaskRun
	// open maps the ids of runs that have not ended to their positions in runs.
	open map[int]int
}

func (h *historyBuilder) add(event *Event) {
	for _, call := range event.Interrupted {
		if at, open := h.open[call.Run]; open {
			h.runs[at].Outcome = call.Outcome
		}
	}
	switch event.Type {
	case TaskStarted:
		h.open[event.Run] = len(h.runs)
		h.runs = append(h.runs, TaskRun{Run: event.Run, Task: event.Task, Name: event.Name, Key: event.Key,
			Extension: event.Extension, Attempt: event.Attempt, Status: TaskStatusRunning, StartedAt: event.At, parent: event.Parent})
		return
	case TaskCompensating:
		h.open[event.Run] = len(h.runs)
		h.runs = append(h.runs, TaskRun{Run: event.Run, Task: event.Task, Name: event.Name, Key: event.Key,
			Compensation: true, Attempt: 1, Status: TaskStatusRunning, StartedAt: event.At})
		return
	case CompensationStarted:
		h.cancelBelow(0, event.At)
		return
	case TaskSkipped:
		h.runs = append(h.runs, TaskRun{Task: event.Task, Name: event.Name, Key: event.Key, Attempt: 1,
			Status: TaskStatusSkipped, StartedAt: event.At, EndedAt: event.At, parent: event.Parent})
		return
	case ExecutionCompleted, ExecutionFaulted, ExecutionCancelled:
		h.cancelBelow(0, event.At)
		return
	}
	at, known := h.open[event.Run]
	if !known {
		return
	}
	run := &h.runs[at]
	switch event.Type {
	case TaskCompensated:
		run.Status, run.EndedAt, run.Error = TaskStatusCompleted, event.At, event.Error
		if event.Error != nil {
			run.Status = TaskStatusFaulted
		}
		h.close(event)
	case TaskCompleted:
		run.Status, run.EndedAt, run.Error = TaskStatusCompleted, event.At, nil
		h.close(event)
	case TaskFaulted:
		run.Status, run.EndedAt, run.Error = TaskStatusFaulted, event.At, event.Error
		h.close(event)
	case TaskRetried:
		run.Retries++
		run.Error = event.Error
		h.cancelBelow(event.Run, event.At)
	case ErrorCaught:
		run.Error = event.Error
	case IterationStarted:
		run.Iterations++
	case TimerFired:
		if event.Error != nil {
			h.cancelBelow(event.Run, event.At)
		}
	}
}

// close ends a run and everything that is open below it.
func (h *historyBuilder) close(event *Event) {
	delete(h.open, event.Run)
	h.cancelBelow(event.Run, event.At)
}

// cancelBelow cancels everything that is open below a run. Descendants have higher ids.
func (h *historyBuilder) cancelBelow(id int, at time.Time) {
	if len(h.open) == 0 {
		return
	}
	removed := map[int]bool{id: true}
	for _, number := range slices.Sorted(maps.Keys(h.open)) {
		run := &h.runs[h.open[number]]
		if number <= id || !removed[run.parent] {
			continue
		}
		removed[number] = true
		run.Status, run.EndedAt = TaskStatusCancelled, at
		delete(h.open, number)
	}
}
