package workflow

import (
	"encoding/json"

	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

const (
	// maxReplyBytes bounds the events or the inputs in one page.
	maxReplyBytes = 512 << 10
	// maxTasks bounds the tasks in the view of an execution; the last ones are shown.
	maxTasks = 1000
)

// viewOf returns an execution as its owner sees it. The history is given as the events of one or more transitions; the first
// list is empty only if the history is.
func viewOf(row engine.Row, status machine.Status, history ...[]machine.Event) subjects.Execution {
	e := row.Resource()
	e.Status, e.Input = string(status), json.RawMessage(row.Input)
	if len(history) == 0 || len(history[0]) == 0 {
		return e
	}
	end := history[len(history)-1]
	first, last := &history[0][0], &end[len(end)-1]
	e.StartedAt = &first.At
	switch last.Type {
	case machine.ExecutionCompleted:
		e.Output = rawOf(last.Output)
	case machine.ExecutionFaulted:
		e.Error = problemOf(last.Error)
	}
	if status.Ended() {
		e.EndedAt = &last.At
	}
	tasks := machine.Tasks(history...)
	e.TasksOmitted = max(0, len(tasks)-maxTasks)
	for _, t := range tasks[e.TasksOmitted:] {
		task := subjects.ExecutionTask{
			Run: t.Run, Task: t.Task, Name: t.Name, Key: t.Key, Attempt: t.Attempt, Status: string(t.Status), Retries: t.Retries,
			Iterations: t.Iterations, StartedAt: t.StartedAt, Error: problemOf(t.Error), Outcome: t.Outcome,
		}
		if !t.EndedAt.IsZero() {
			task.EndedAt = &t.EndedAt
		}
		e.Tasks = append(e.Tasks, task)
	}
	return e
}

// rawOf encodes a value of an event. That cannot fail: the value was decoded from JSON.
func rawOf(v machine.Value) json.RawMessage {
	data, err := v.MarshalJSON()
	if err != nil {
		return nil
	}
	return data
}

func problemOf(e *machine.Error) *subjects.ExecutionProblem {
	if e == nil {
		return nil
	}
	p := subjects.ExecutionProblem(*e)
	return &p
}

// fitEvents returns how many of the events fit into a page of maxReplyBytes: at least one, at most limit.
func fitEvents(events []json.RawMessage, limit int) int {
	return fit(len(events), limit, func(i int) int { return len(events[i]) })
}

// fit returns how many of count items fit into maxReplyBytes by their sizes: at least one, at most limit. It returns limit if
// all do.
func fit(count, limit int, size func(i int) int) int {
	total := 0
	for i := range min(count, limit) {
		if total += size(i); total > maxReplyBytes && i > 0 {
			return i
		}
	}
	return limit
}
