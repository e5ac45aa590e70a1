package machine

import (
	"maps"
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
// first event, turn by turn or as one.
func Tasks(turns ...[]Event) []TaskRun {
	h := history{open: map[int]int{}}
	for _, events := range turns {
		for i := range events {
			h.fold(&events[i])
		}
	}
	return h.runs
}

type history struct {
	runs []TaskRun
	// open are the runs that have not ended, by their numbers, with their places in runs.
	open map[int]int
}

func (h *history) fold(event *Event) {
	switch event.Type {
	case TaskStarted:
		h.open[event.Run] = len(h.runs)
		h.runs = append(h.runs, TaskRun{Run: event.Run, Task: event.Task, Name: event.Name, Key: event.Key,
			Extension: event.Extension, Attempt: event.Attempt, Status: TaskRunning, StartedAt: event.At, parent: event.Parent})
		return
	case TaskCompensating:
		h.open[event.Run] = len(h.runs)
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
	at, known := h.open[event.Run]
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
		h.close(event)
	case TaskCompleted:
		run.Status, run.EndedAt, run.Error = TaskDone, event.At, nil
		h.close(event)
	case TaskFaulted:
		run.Status, run.EndedAt, run.Error = TaskFailed, event.At, event.Error
		h.close(event)
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

// close ends a run and what is still open below it.
func (h *history) close(event *Event) {
	delete(h.open, event.Run)
	h.drop(event.Run, event.At)
}

// drop ends what is still open below a run. What is below has a higher number.
func (h *history) drop(id int, at time.Time) {
	if len(h.open) == 0 {
		return
	}
	gone := map[int]bool{id: true}
	for _, number := range slices.Sorted(maps.Keys(h.open)) {
		run := &h.runs[h.open[number]]
		if number <= id || !gone[run.parent] {
			continue
		}
		gone[number] = true
		run.Status, run.EndedAt = TaskDropped, at
		delete(h.open, number)
	}
}
