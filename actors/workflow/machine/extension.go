package machine

import (
	"maps"
	"strconv"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// extends tells whether a slot of a task's list is that of the task which an extension extends.
func extends(task *language.Task, slot int) bool {
	return task != nil && task.Kind == language.KindExtension && slot == len(task.Extension.Before)
}

// extended looks through the extensions around a task whose condition does not hold for it now.
func (x *Execution) extended(task *language.Task, parent *Run, raw any, now time.Time) (*language.Task, error) {
	for task.Kind == language.KindExtension && task.Extension.When != "" {
		probe := &Run{ID: x.state.NextRun, Parent: parent.ID, Task: task.Pointer, Input: raw, StartedAt: now}
		holds, err := x.def.Condition(task.Extension.When, raw, x.scope(probe, task))
		if err != nil || holds {
			return task, err
		}
		task = task.Extended
	}
	return task, nil
}

// about is $task in an extension: the definition of the task extended, with what $task has for any.
func about(around *language.Task, run *Run) map[string]any {
	task := around.Extended
	for task.Extended != nil {
		task = task.Extended
	}
	values := maps.Clone(task.Definition)
	maps.Copy(values, map[string]any{"name": task.Name, "reference": task.Pointer, "definition": task.Definition,
		"input": run.Input, "startedAt": moment(run.StartedAt)})
	return values
}

// stepExtension goes through the tasks before, the task extended, and the tasks after.
func (x *Execution) stepExtension(run *Run, task *language.Task, now time.Time) (Event, bool) {
	switch {
	case x.state.children(run.ID) > 0:
		return Event{}, false
	case run.Cursor >= len(task.Do):
		return x.complete(run, run.Result), true
	case extends(task, run.Cursor):
		return x.startChild(run, run.Cursor, task.Do[run.Cursor], run.Input, now), true
	}
	return x.startChild(run, run.Cursor, task.Do[run.Cursor], run.Data, now), true
}

// proceedExtension moves on after one of the tasks gave an output. exit before the task extended stands in for it, exit
// after it ends the extension.
func (x *Execution) proceedExtension(run *Run, task *language.Task, slot int, output any, then string) {
	before := len(task.Extension.Before)
	if run.Visits == nil {
		run.Visits = map[string]int{}
	}
	run.Visits[strconv.Itoa(slot)]++
	run.Data, run.Cursor = output, slot+1
	switch {
	case slot == before:
		run.Result, run.Then = output, then
	case then == language.Exit && slot < before:
		run.Result, run.Cursor = output, len(task.Do)
	case then == language.Exit:
		run.Cursor = len(task.Do)
	case then == "" || then == language.Continue:
	case slot < before:
		run.Cursor = task.Extension.Before.Index(then)
	default:
		run.Cursor = before + 1 + task.Extension.After.Index(then)
	}
}
