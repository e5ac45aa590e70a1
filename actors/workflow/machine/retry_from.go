package machine

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// RetryFrom starts a new execution that keeps the results of another one up to a task, and continues with that task.
// The task is given by its pointer or its name; its last run counts. If task is empty, it is the task whose fault ended
// the execution; if there is none (a timeout of the workflow, a cancellation), everything is kept.
//
// def may be another version of the definition if it contains the kept tasks by name; input, context and data are those
// of the old execution. Parallel branches of a fork are kept as far as they ran. An open call is made again under the
// new execution's key; one whose start is recorded keeps Call.Started.
//
// RetryFrom returns the events of the first transition. It fails for an execution that was compensated, and for a task
// that never ran.
func RetryFrom(def *language.Workflow, old []Event, task, id string, now time.Time, env Environment) (*Execution, []Event, error) {
	return RetryFromWithin(Slice{}, def, old, task, id, now, env)
}

// RetryFromWithin is RetryFrom within a slice, which also bounds later calls until SetSlice. The events that are kept are not counted. It
// returns neither an execution nor an error where a strict slice does not suffice.
func RetryFromWithin(
	s Slice, def *language.Workflow, old []Event, task, id string, now time.Time, env Environment,
) (*Execution, []Event, error) {
	if len(old) == 0 || old[0].Type != ExecutionStarted {
		return nil, nil, fmt.Errorf("retrying an execution: its log does not start with execution_started")
	}
	k := logFilter{old: old, parents: map[int]int{}, tasks: map[int]string{}, rerun: map[int]bool{}, tasksByName: indexByName(def), def: def,
		id: id, now: now}
	if err := k.locate(task); err != nil {
		return nil, nil, err
	}
	x := newExecution(def, env)
	x.meter.slice = s
	x.meter.begin()
	if !x.meter.open() {
		return nil, nil, nil
	}
	for at, event := range old {
		keep, err := k.keep(at, &event)
		if err != nil {
			return nil, nil, err
		}
		if !keep {
			continue
		}
		if event.Type == ExecutionStarted {
			data := event.Input.V
			if event.Data.Set {
				data = event.Data.V
			}
			x.state = State{Execution: id, Input: event.Input, StartedAt: now}
			event.Deadline, err = x.eval.deadline(data, now)
			switch {
			case x.meter.cut():
				return nil, nil, nil
			case err != nil:
				return nil, nil, fmt.Errorf("retrying an execution: %w", err)
			}
			x.state = State{}
		}
		event.Sequence, event.Steps = x.state.Sequence+1, 0 // what is kept is not evaluated again
		if err := x.Apply(event); err != nil {
			return nil, nil, fmt.Errorf("retrying an execution: %w", err)
		}
		x.transition = append(x.transition, event)
	}
	x.meter.close()
	x.decide(now)
	return x, x.takeTransition(), nil
}

// logFilter decides which events of a log remain valid when a task runs again.
type logFilter struct {
	old []Event
	def *language.Workflow
	// from is the position of the task's start event, run its run, ancestors the enclosing runs; from is -1 and ancestors
	// is empty when everything is kept.
	from      int
	run       int
	ancestors []int
	parents   map[int]int
	tasks     map[int]string
	// rerun are the runs that are executed again.
	rerun       map[int]bool
	tasksByName map[string]taskPosition

	id  string
	now time.Time
}

// taskPosition is where a task is in a definition.
type taskPosition struct {
	pointer string
	slot    int
}

// listIndices matches the list indices in a task's pointer, each followed by the name of its task.
var listIndices = regexp.MustCompile(`/(\d+)/([^/]+)`)

// stableName is a task's pointer without list indices, which may differ between versions.
func stableName(pointer string) string { return listIndices.ReplaceAllString(pointer, "/$2") }

func indexByName(def *language.Workflow) map[string]taskPosition {
	places := map[string]taskPosition{}
	for _, pointer := range def.Pointers() {
		at := taskPosition{pointer: pointer}
		if all := listIndices.FindAllStringSubmatch(pointer, -1); len(all) > 0 {
			at.slot = parseID(all[len(all)-1][1])
		}
		places[stableName(pointer)] = at
	}
	return places
}

// locate finds the last run of the task, or the task whose fault ended the execution.
func (k *logFilter) locate(task string) error {
	k.from = -1
	compensated := false
	for at, event := range k.old {
		switch event.Type {
		case TaskStarted:
			k.parents[event.Run], k.tasks[event.Run] = event.Parent, event.Task
			if task != "" && (event.Task == task || event.Name == task || stableName(event.Task) == stableName(task)) {
				k.from, k.run = at, event.Run
			}
		case TaskCompensating:
			compensated = true
		}
	}
	if compensated {
		return fmt.Errorf("retrying an execution: it was compensated, so no results can be kept")
	}
	if task == "" {
		k.locateFault()
	} else if k.from < 0 {
		return fmt.Errorf("retrying an execution: the task %.200q did not run", task)
	}
	if k.from < 0 {
		return nil
	}
	k.rerun[k.run] = true
	for run := k.parents[k.run]; ; run = k.parents[run] {
		k.ancestors = append(k.ancestors, run)
		if run == 0 {
			return nil
		}
	}
}

// locateFault follows the error that ended the execution down to the task that raised it.
func (k *logFilter) locateFault() {
	run := 0
	for at := len(k.old) - 1; at >= 0; at-- {
		event := k.old[at]
		if event.Type == TaskFaulted && event.Parent == run {
			run = event.Run
		}
	}
	if run == 0 {
		return
	}
	k.run = run
	k.from = slices.IndexFunc(k.old, func(event Event) bool { return event.Type == TaskStarted && event.Run == run })
}

// keep reports whether an event remains valid, and adapts it to the new execution.
func (k *logFilter) keep(at int, event *Event) (bool, error) {
	switch event.Type {
	case ExecutionStarted:
		event.Execution, event.At = k.id, k.now
		if event.Error != nil {
			return false, fmt.Errorf("retrying an execution: its input was rejected, so no results can be kept")
		}
		d := k.def.Document
		event.Definition = &Definition{Namespace: d.Namespace, Name: d.Name, Version: d.Version, Digest: k.def.Digest}
	case ExecutionCompleted, ExecutionFaulted, ExecutionCancelled, ExecutionSuspended, ExecutionResumed, CompensationStarted:
		return false, nil
	}
	if k.discarded(at, event) {
		return false, nil
	}
	if event.Type == TaskStarted && slices.Contains(k.ancestors, event.Run) {
		for _, due := range []**time.Time{&event.Deadline, &event.AttemptDue} {
			if *due != nil {
				later := (*due).Add(k.now.Sub(k.old[at].At))
				*due = &later
			}
		}
		event.At = k.now
	}
	return true, k.relocate(event)
}

// discarded reports whether an event belongs to what runs again: the task, everything below it, and what came after it.
func (k *logFilter) discarded(at int, event *Event) bool {
	if event.Type == TaskStarted && k.rerun[event.Parent] {
		k.rerun[event.Run] = true
	}
	if k.rerun[event.Run] || event.Type == TaskSkipped && k.rerun[event.Parent] {
		return true
	}
	if event.Run == 0 && event.Type == TimerFired {
		return true
	}
	if k.from < 0 || at < k.from {
		return k.from < 0 && event.Type == TaskFaulted
	}
	if slices.Contains(k.ancestors, event.Run) && event.Type != TaskStarted && event.Type != TaskSkipped {
		return true
	}
	// Parallel branches of a fork do not depend on the task unless they compete.
	parent := event.Parent
	if event.Type != TaskStarted && event.Type != TaskSkipped {
		parent = k.parents[event.Run]
	}
	if !slices.Contains(k.ancestors, parent) {
		return false
	}
	fork := k.def.Task(k.pointer(parent))
	independent := fork != nil && fork.Fork != nil && !fork.Fork.Compete && event.Type != TaskFaulted
	if !independent && event.Type == TaskStarted {
		k.rerun[event.Run] = true
	}
	return !independent
}

// pointer is the pointer of a run's task in the new definition.
func (k *logFilter) pointer(run int) string {
	return k.tasksByName[stableName(k.tasks[run])].pointer
}

// relocate sets an event's task to its position in the new definition.
func (k *logFilter) relocate(event *Event) error {
	if event.Task == "" {
		return nil
	}
	at, known := k.tasksByName[stableName(event.Task)]
	if !known {
		return fmt.Errorf("retrying an execution: the definition no longer has the task %s, which has already run", event.Task)
	}
	if event.Type == TaskStarted || event.Type == TaskSkipped {
		event.Slot = at.slot
	}
	event.Task = at.pointer
	switch event.Then {
	case "", language.Continue, language.Exit, language.End:
	default:
		list := at.pointer[:strings.LastIndex(strings.TrimSuffix(at.pointer, "/"+lastToken(at.pointer)), "/")]
		if _, known := k.tasksByName[stableName(list+"/0/"+event.Then)]; !known {
			return fmt.Errorf("retrying an execution: the definition no longer has the task %q, which comes next", event.Then)
		}
	}
	return nil
}

func lastToken(pointer string) string { return pointer[strings.LastIndex(pointer, "/")+1:] }
