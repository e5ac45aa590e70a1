// Package reference is a second interpreter of workflow definitions, for tests only: recursive, in memory, and as simple
// as possible. It shares the parser and the evaluation of expressions with package machine and nothing else; it has no
// log and no outstanding effects. The machine, and an engine that crashes repeatedly, must produce the same results.
//
// Time passes in waits, before retries, and in calls and child workflows, which take as long as a CallHandler says. Supported are
// the tasks call (functions), do, for, fork, raise, run (a workflow), set, switch, try and wait, without compensation.
package reference

import (
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// CallHandler performs a task's call with its arguments, or its child workflow with its input, in an attempt of the
// enclosing try. The reply comes after it took some time, unless a timeout interrupts the call before.
type CallHandler func(task *language.Task, arguments any, attempt int) CallReply

// CallReply is the reply to a call.
type CallReply struct {
	Output any
	// Failed: the call fails with a communication error.
	Failed bool
	Took   time.Duration
}

// Result is the result of an execution.
type Result struct {
	Output any
	// Fault is nil if the execution completes.
	Fault *Fault
	// Completed are the completed tasks.
	Completed []Completion
}

// Fault is the error that an execution ends with.
type Fault struct {
	// Kind is the last segment of one of the specification's error types, or the type as in the definition.
	Kind, Instance string
	Status         int
}

// Completion is a completed task with its output.
type Completion struct {
	Task   string
	Output any
	at     time.Time
}

// Run executes a definition from a start time. It panics on an unsupported task.
func Run(def *language.Workflow, input any, now time.Time, world CallHandler) Result {
	r := &interpreter{def: def, input: input, calls: world}
	output, fault := r.run(now)
	return Result{Output: output, Fault: fault, Completed: r.completed}
}

// interpreter is one execution.
type interpreter struct {
	def       *language.Workflow
	calls     CallHandler
	input     any
	context   any
	completed []Completion
}

// frame is the context of a task: the time, the attempt, the variables and the deadlines of what encloses it, and the task's
// own raw input and start.
type frame struct {
	now       time.Time
	raw       any
	started   time.Time
	attempt   int
	vars      map[string]any
	deadlines []*deadline
}

// deadline is a time at which an enclosing task, attempt or workflow times out. Its address is its identity.
type deadline struct{ at time.Time }

// taskResult is the result of a task or a list, and when it ended.
type taskResult struct {
	at   time.Time
	data any
	then string
	// fault is the error; timedOut is the enclosing deadline that passed first.
	fault    *Fault
	timedOut *deadline
	// skipped: the condition of the task was false.
	skipped bool
}

func (e taskResult) failed() bool { return e.fault != nil || e.timedOut != nil }

func (s frame) with(name string, value any) frame {
	vars := map[string]any{name: value}
	for key, item := range s.vars {
		if key != name {
			vars[key] = item
		}
	}
	s.vars = vars
	return s
}

// advance lets time pass, at most to the first deadline.
func (s frame) advance(d time.Duration) (time.Time, *deadline) {
	end := s.now.Add(d)
	var first *deadline
	for _, l := range s.deadlines {
		if l.at.Before(end) && (first == nil || l.at.Before(first.at)) {
			first = l
		}
	}
	if first != nil {
		return first.at, first
	}
	return end, nil
}

func (r *interpreter) run(now time.Time) (any, *Fault) {
	data := r.input
	var err error
	s := frame{now: now, attempt: 1}
	if r.def.Input != nil {
		if data, err = r.def.Transform(r.def.Input.From, r.input, r.scope(s, nil, r.input)); err != nil {
			return nil, &Fault{"expression", "/input", 400}
		}
	}
	if r.def.Timeout != nil {
		s.deadlines = append(s.deadlines, &deadline{now.Add(r.def.Timeout.After.Value)})
	}
	r.context = data
	end := r.list(r.def.Do, data, s)
	switch {
	case end.timedOut != nil:
		return nil, &Fault{"timeout", "", 408}
	case end.fault != nil:
		return nil, end.fault
	}
	output := end.data
	if r.def.Output != nil {
		if output, err = r.def.Transform(r.def.Output.As, output, r.scope(s, nil, nil)); err != nil {
			return nil, &Fault{"expression", "/output", 400}
		}
	}
	return output, nil
}

func (r *interpreter) scope(s frame, task *language.Task, input any) language.Scope {
	values := map[string]any{"context": r.context, "input": input, "secrets": map[string]any{},
		"runtime":  map[string]any{"name": "weft", "version": "unknown", "metadata": map[string]any{}},
		"workflow": map[string]any{"input": r.input, "definition": r.def.Definition}}
	var names []string
	if task != nil {
		names = task.Scope
		values["task"] = map[string]any{"name": task.Name, "reference": task.Pointer, "definition": task.Definition, "input": s.raw,
			"startedAt": map[string]any{"iso8601": s.started.UTC().Format(time.RFC3339Nano),
				"epoch": map[string]any{"seconds": int(s.started.Unix()), "milliseconds": int(s.started.UnixMilli())}}}
	}
	for name, value := range s.vars {
		values[name] = value
	}
	return language.Scope{Now: s.now, Names: names, Values: values}
}

// outputScope is the scope of output.as and export.as: $task has the raw output.
func (r *interpreter) outputScope(s frame, task *language.Task, input, raw any) language.Scope {
	scope := r.scope(s, task, input)
	descriptor, _ := scope.Values["task"].(map[string]any)
	descriptor["output"] = raw
	return scope
}

// list runs tasks until the end of the list, an exit (which ends the list) or an end (which ends the workflow).
func (r *interpreter) list(list language.TaskList, data any, s frame) taskResult {
	for at := 0; at < len(list); {
		end := r.task(list[at], data, s)
		if end.failed() || end.then == language.End {
			return end
		}
		s.now, data = end.at, end.data
		switch end.then {
		case language.Exit:
			return taskResult{at: s.now, data: data, then: language.Exit}
		case "", language.Continue:
			at++
		default:
			at = list.Index(end.then)
		}
	}
	return taskResult{at: s.now, data: data}
}

func (r *interpreter) task(task *language.Task, raw any, s frame) taskResult {
	wrong := func(at time.Time) taskResult {
		return taskResult{at: at, fault: &Fault{"expression", task.Pointer, 400}}
	}
	s.raw, s.started = raw, s.now
	if task.If != "" {
		holds, err := r.def.Condition(task.If, raw, r.scope(s, task, raw))
		if err != nil {
			return wrong(s.now)
		}
		if !holds {
			return taskResult{at: s.now, data: raw, skipped: true}
		}
	}
	input := raw
	if task.Input != nil {
		var err error
		if input, err = r.def.Transform(task.Input.From, raw, r.scope(s, task, raw)); err != nil {
			return wrong(s.now)
		}
	}
	inner := s
	var own *deadline
	if task.Timeout != nil {
		own = &deadline{s.now.Add(task.Timeout.After.Value)}
		inner.deadlines = append(slices.Clone(s.deadlines), own)
	}
	end := r.body(task, input, inner)
	if end.timedOut != nil && end.timedOut == own {
		return taskResult{at: end.at, fault: &Fault{"timeout", task.Pointer, 408}}
	}
	if end.failed() || end.then == language.End && task.Kind != language.KindSwitch && task.Kind != language.KindTry {
		return end
	}
	if end.then == endFromTry {
		return taskResult{at: end.at, data: end.data, then: language.End}
	}
	output, then := end.data, end.then
	if then == "" || task.Kind != language.KindSwitch && task.Kind != language.KindTry {
		then = task.Then
	}
	s.now = end.at
	if task.Output != nil {
		var err error
		if output, err = r.def.Transform(task.Output.As, output, r.outputScope(s, task, input, end.data)); err != nil {
			return wrong(end.at)
		}
	}
	if task.Export != nil {
		context, err := r.def.Transform(task.Export.As, output, r.outputScope(s, task, input, end.data).Bind("output", output))
		if err != nil {
			return wrong(end.at)
		}
		r.context = context
	}
	r.completed = append(r.completed, Completion{Task: task.Pointer, Output: output, at: end.at})
	return taskResult{at: end.at, data: output, then: then}
}

// endFromTry marks an end directive within a try, because the result of a try otherwise carries the try's own
// directive.
const endFromTry = "\x00end"
