package machine

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// RetryFrom begins a new execution that keeps what another one had done before a task, and goes on with that task. The
// task is named by its pointer or its name; its last run counts. Without one it is the task whose fault ended the
// execution, and where none did (a timeout of the workflow, a cancel) everything is kept.
//
// def may be another version of the definition, as long as the tasks that are kept are there under their names; input,
// context and data are the old ones. Tasks of other branches of a fork are kept as far as they came. A call that was
// open is made again under the new execution's key; one whose start is recorded counts as begun (Call.Started).
//
// The events returned are the new execution's first turn. An execution that was compensated has nothing to be kept,
// which is an error, as is a task that never ran.
func RetryFrom(def *language.Workflow, old []Event, task, id string, now time.Time, env Environment) (*Execution, []Event, error) {
	if len(old) == 0 || old[0].Type != ExecutionStarted {
		return nil, nil, fmt.Errorf("retrying an execution: its log has no beginning")
	}
	k := keeper{old: old, parents: map[int]int{}, tasks: map[int]string{}, gone: map[int]bool{}, by: byNames(def), def: def,
		id: id, now: now}
	if err := k.find(task); err != nil {
		return nil, nil, err
	}
	x := newExecution(def, env)
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
			if event.Deadline, err = x.eval.deadline(data, now); err != nil {
				return nil, nil, fmt.Errorf("retrying an execution: %w", err)
			}
			x.state = State{}
		}
		event.Sequence = x.state.Sequence + 1
		if err := x.Apply(event); err != nil {
			return nil, nil, fmt.Errorf("retrying an execution: %w", err)
		}
		x.turn = append(x.turn, event)
	}
	x.decide(now)
	return x, x.take(), nil
}

// keeper decides which events of a log stay true when a task is done again.
type keeper struct {
	old []Event
	def *language.Workflow
	// from is the position of the task's start, run its run and ancestors the runs around it; -1 and none where all is kept.
	from      int
	run       int
	ancestors []int
	parents   map[int]int
	tasks     map[int]string
	// gone are runs that are done again.
	gone map[int]bool
	by   map[string]place

	id  string
	now time.Time
}

// place is where a task stands in a definition.
type place struct {
	pointer string
	slot    int
}

// positions are the indices of task lists in a pointer, each before the name of its task.
var positions = regexp.MustCompile(`/(\d+)/([^/]+)`)

// names is a task's pointer without its positions, which other versions may have elsewhere.
func names(pointer string) string { return positions.ReplaceAllString(pointer, "/$2") }

func byNames(def *language.Workflow) map[string]place {
	places := map[string]place{}
	for _, pointer := range def.Pointers() {
		at := place{pointer: pointer}
		if all := positions.FindAllStringSubmatch(pointer, -1); len(all) > 0 {
			at.slot = number(all[len(all)-1][1])
		}
		places[names(pointer)] = at
	}
	return places
}

// find looks for the last run of the task, or for the task whose fault ended the execution.
func (k *keeper) find(task string) error {
	k.from = -1
	compensated := false
	for at, event := range k.old {
		switch event.Type {
		case TaskStarted:
			k.parents[event.Run], k.tasks[event.Run] = event.Parent, event.Task
			if task != "" && (event.Task == task || event.Name == task || names(event.Task) == names(task)) {
				k.from, k.run = at, event.Run
			}
		case TaskCompensating:
			compensated = true
		}
	}
	if compensated {
		return fmt.Errorf("retrying an execution: what it did was compensated, so that there is nothing to keep")
	}
	if task == "" {
		k.findFault()
	} else if k.from < 0 {
		return fmt.Errorf("retrying an execution: the task %.200q did not run", task)
	}
	if k.from < 0 {
		return nil
	}
	k.gone[k.run] = true
	for run := k.parents[k.run]; ; run = k.parents[run] {
		k.ancestors = append(k.ancestors, run)
		if run == 0 {
			return nil
		}
	}
}

// findFault follows the error that ended the execution down to the task that it came from.
func (k *keeper) findFault() {
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

// keep tells whether an event stays true, and makes it the new execution's.
func (k *keeper) keep(at int, event *Event) (bool, error) {
	switch event.Type {
	case ExecutionStarted:
		event.Execution, event.At = k.id, k.now
		if event.Error != nil {
			return false, fmt.Errorf("retrying an execution: its input was refused, so that there is nothing to keep")
		}
		d := k.def.Document
		event.Definition = &Definition{Namespace: d.Namespace, Name: d.Name, Version: d.Version, Digest: k.def.Digest}
	case ExecutionCompleted, ExecutionFaulted, ExecutionCancelled, ExecutionSuspended, ExecutionResumed, CompensationStarted:
		return false, nil
	}
	if k.again(at, event) {
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
	return true, k.move(event)
}

// again tells whether what an event is about is done again: the task, what is below it, and what came after it.
func (k *keeper) again(at int, event *Event) bool {
	if event.Type == TaskStarted && k.gone[event.Parent] {
		k.gone[event.Run] = true
	}
	if k.gone[event.Run] || event.Type == TaskSkipped && k.gone[event.Parent] {
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
	// What runs beside the task in a fork does not depend on it, where the branches do not compete.
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
		k.gone[event.Run] = true
	}
	return !independent
}

// pointer is where the task of a run stands now.
func (k *keeper) pointer(run int) string {
	return k.by[names(k.tasks[run])].pointer
}

// move points an event at where its task stands now.
func (k *keeper) move(event *Event) error {
	if event.Task == "" {
		return nil
	}
	at, known := k.by[names(event.Task)]
	if !known {
		return fmt.Errorf("retrying an execution: the definition has no task %s any more, which was done before", event.Task)
	}
	if event.Type == TaskStarted || event.Type == TaskSkipped {
		event.Slot = at.slot
	}
	event.Task = at.pointer
	switch event.Then {
	case "", language.Continue, language.Exit, language.End:
	default:
		list := at.pointer[:strings.LastIndex(strings.TrimSuffix(at.pointer, "/"+lastOf(at.pointer)), "/")]
		if _, known := k.by[names(list+"/0/"+event.Then)]; !known {
			return fmt.Errorf("retrying an execution: the definition has no task %q any more, which came next", event.Then)
		}
	}
	return nil
}

func lastOf(pointer string) string { return pointer[strings.LastIndex(pointer, "/")+1:] }
