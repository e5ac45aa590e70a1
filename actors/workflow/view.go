package workflow

import (
	"encoding/json"

	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

const (
	// answerBytes and maxTasks bound what an answer holds of a long execution.
	answerBytes = 512 << 10
	maxTasks    = 1000
)

// viewOf is an execution as its owner sees it. Its history comes turn by turn, none of them empty, or as one.
func viewOf(row engine.Row, status machine.Status, turns ...[]machine.Event) subjects.Execution {
	e := row.Resource()
	e.Status, e.Input = string(status), json.RawMessage(row.Input)
	if len(turns) == 0 || len(turns[0]) == 0 {
		return e
	}
	ending := turns[len(turns)-1]
	first, last := &turns[0][0], &ending[len(ending)-1]
	e.StartedAt = &first.At
	switch last.Type {
	case machine.ExecutionCompleted:
		e.Output = mustRaw(last.Output)
	case machine.ExecutionFaulted:
		e.Error = problemOf(last.Error)
	}
	if status.Ended() {
		e.EndedAt = &last.At
	}
	tasks := machine.Tasks(turns...)
	e.TasksOmitted = max(0, len(tasks)-maxTasks)
	for _, t := range tasks[e.TasksOmitted:] {
		task := subjects.ExecutionTask{
			Run: t.Run, Task: t.Task, Name: t.Name, Key: t.Key, Attempt: t.Attempt, Status: string(t.Status), Retries: t.Retries,
			Iterations: t.Iterations, StartedAt: t.StartedAt, Error: problemOf(t.Error),
		}
		if !t.EndedAt.IsZero() {
			task.EndedAt = &t.EndedAt
		}
		e.Tasks = append(e.Tasks, task)
	}
	return e
}

// mustRaw renders a value of an event, which is JSON by its making.
func mustRaw(v machine.Value) json.RawMessage {
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

// fitting is how many events an answer has room for: at least one, at most limit.
func fitting(raw []json.RawMessage, limit int) int {
	size := 0
	for i, event := range raw[:min(len(raw), limit)] {
		if size += len(event); size > answerBytes && i > 0 {
			return i
		}
	}
	return limit
}
