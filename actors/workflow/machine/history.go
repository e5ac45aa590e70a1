package machine

import (
	"slices"
	"time"
)

// TaskStatus is the state of a task run in a history.
type TaskStatus string

// The statuses of a task run.
const (
	TaskRunning       TaskStatus = "running"
	TaskStatusSkipped TaskStatus = "skipped"
	TaskDone          TaskStatus = "completed"
	TaskFailed        TaskStatus = "faulted"
	// TaskDropped: it was ended from outside, by a cancel, a timeout, a lost race, or the fault of a sibling.
	TaskDropped TaskStatus = "cancelled"
)

// TaskRun is one run of a task as a reader of the history sees it.
type TaskRun struct {
	// Run is the number of the run; 0 for one that was skipped.
	Run int `json:"run"`
	// Task is the task's pointer, Key its stable name with iterations.
	Task string `json:"task"`
	Name string `json:"name"`
	// Extension is set for the run around a task that an extension extends.
	Extension string `json:"extension,omitempty"`
	Key       string `json:"key"`
	Attempt   int    `json:"attempt"`
	// Compensation: the run undoes what the task did.
	Compensation bool       `json:"compensation,omitempty"`
	Status       TaskStatus `json:"status"`
	// Retries counts the times that a try was tried again, Iterations the items that a for began.
	Retries    int       `json:"retries,omitempty"`
	Iterations int       `json:"iterations,omitempty"`
	StartedAt  time.Time `json:"started_at"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
	Error      *Error    `json:"error,omitempty"`

	parent int
}

// Tasks lists the task runs of a log in the order of their starts. It takes any part of a log that begins with its
// first event.
func Tasks(events []Event) []TaskRun {
	h := history{at: map[int]int{}}
	for _, event := range events {
		h.fold(event)
	}
	return h.runs
}

type history struct {
	runs []TaskRun
	at   map[int]int
}

func (h *history) fold(event Event) {
	switch event.Type {
	case TaskStarted:
		h.at[event.Run] = len(h.runs)
		h.runs = append(h.runs, TaskRun{Run: event.Run, Task: event.Task, Name: event.Name, Key: event.Key,
			Extension: event.Extension, Attempt: event.Attempt, Status: TaskRunning, StartedAt: event.At, parent: event.Parent})
		return
	case TaskCompensating:
		h.at[event.Run] = len(h.runs)
		h.runs = append(h.runs, TaskRun{Run: event.Run, Task: event.Task, Name: event.Name, Key: event.Key,
			Compensation: true, Attempt: 1, Status: TaskRunning, StartedAt: event.At})
		return
	case CompensationStarted:
		h.drop(0, event.At)
		return
	case TaskSkipped:
		h.runs = append(h.runs, TaskRun{Task: event.Task, Name: event.Name, Key: event.Key, Attempt: 1,
			Status: TaskStatusSkipped, StartedAt: event.At, EndedAt: event.At, parent: event.Parent})
		return
	case ExecutionCompleted, ExecutionFaulted, ExecutionCancelled:
		h.drop(0, event.At)
		return
	}
	at, known := h.at[event.Run]
	if !known {
		return
	}
	run := &h.runs[at]
	switch event.Type {
	case TaskCompensated:
		run.Status, run.EndedAt, run.Error = TaskDone, event.At, event.Error
		if event.Error != nil {
			run.Status = TaskFailed
		}
		h.drop(event.Run, event.At)
	case TaskCompleted:
		run.Status, run.EndedAt, run.Error = TaskDone, event.At, nil
		h.drop(event.Run, event.At)
	case TaskFaulted:
		run.Status, run.EndedAt, run.Error = TaskFailed, event.At, event.Error
		h.drop(event.Run, event.At)
	case TaskRetried:
		run.Retries++
		run.Error = event.Error
		h.drop(event.Run, event.At)
	case ErrorCaught:
		run.Error = event.Error
	case IterationStarted:
		run.Iterations++
	case TimerFired:
		if event.Error != nil {
			h.drop(event.Run, event.At)
		}
	}
}

// drop ends what is still open below a run.
func (h *history) drop(id int, at time.Time) {
	gone := []int{id}
	for i := range h.runs {
		run := &h.runs[i]
		if run.Run == 0 || run.Run <= id || !slices.Contains(gone, run.parent) {
			continue
		}
		gone = append(gone, run.Run)
		if run.Status == TaskRunning {
			run.Status, run.EndedAt = TaskDropped, at
		}
	}
}
