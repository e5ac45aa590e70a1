// Package reference is another interpreter of the language, for tests alone: recursive, in memory, and as simple as can be.
// It shares the reading of definitions and expressions with the machine and nothing else: no log, no effects, no turns. What
// the machine makes of a definition, and what an engine that is killed again and again does, must agree with it.
//
// Time passes in waits and before retries alone; calls and child workflows are answered at once, by a World. It knows the
// tasks call (functions), do, for, fork, raise, run (a workflow), set, switch, try and wait; what compensates is left out.
package reference

import (
	"math"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// World answers the calls of an execution: a task's call with the arguments, or its child workflow with the input, at the
// attempt of the try around it. Where ok is false the call fails with a communication error.
type World func(task *language.Task, arguments any, attempt int) (output any, ok bool)

// Result is what becomes of an execution.
type Result struct {
	Output any
	// Fault is nil where the execution completes.
	Fault *Fault
	// Done are the tasks that complete.
	Done []Done
}

// Fault is the error that an execution ends with.
type Fault struct {
	// Kind is one of the specification's own types by its last segment, or the type as the definition has it.
	Kind, Instance string
	Status         int
}

// Done is a task that completes, and its output.
type Done struct {
	Task   string
	Output any
	at     time.Time
}

// Run gives what becomes of an execution that starts at a time. It gives up on definitions with other tasks than it knows.
func Run(def *language.Workflow, input any, now time.Time, world World) Result {
	r := &interpreter{def: def, input: input, world: world}
	output, fault := r.run(now)
	return Result{Output: output, Fault: fault, Done: r.done}
}

// interpreter is one execution.
type interpreter struct {
	def     *language.Workflow
	world   World
	input   any
	context any
	done    []Done
}

// scene is what a task sees of those around it.
type scene struct {
	now     time.Time
	attempt int
	vars    map[string]any
	limits  []*limit
}

// limit is a time that something must not go on beyond.
type limit struct{ at time.Time }

// ending is what came of a task or a list, and when.
type ending struct {
	at   time.Time
	data any
	then string
	// fault is an error; late is the limit that was reached first, of something around.
	fault *Fault
	late  *limit
	// skipped: its condition did not hold.
	skipped bool
}

func (e ending) broken() bool { return e.fault != nil || e.late != nil }

func (s scene) with(name string, value any) scene {
	vars := map[string]any{name: value}
	for key, item := range s.vars {
		if key != name {
			vars[key] = item
		}
	}
	s.vars = vars
	return s
}

// pass lets time go by, up to the first limit.
func (s scene) pass(d time.Duration) (time.Time, *limit) {
	end := s.now.Add(d)
	var first *limit
	for _, l := range s.limits {
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
	s := scene{now: now, attempt: 1}
	if r.def.Input != nil {
		if data, err = r.def.Transform(r.def.Input.From, r.input, r.scope(s, nil, r.input)); err != nil {
			return nil, &Fault{"expression", "/input", 400}
		}
	}
	if r.def.Timeout != nil {
		s.limits = append(s.limits, &limit{now.Add(r.def.Timeout.After.Value)})
	}
	end := r.list(r.def.Do, data, s)
	switch {
	case end.late != nil:
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

func (r *interpreter) scope(s scene, task *language.Task, input any) language.Scope {
	values := map[string]any{"context": r.context, "input": input, "secrets": map[string]any{}, "runtime": map[string]any{"name": "weft"},
		"workflow": map[string]any{"input": r.input}}
	var names []string
	if task != nil {
		names = task.Scope
		values["task"] = map[string]any{"name": task.Name}
	}
	for name, value := range s.vars {
		values[name] = value
	}
	return language.Scope{Now: s.now, Names: names, Values: values}
}

// list goes through tasks until the list's end, an exit (which stays in it) or an end (which does not).
func (r *interpreter) list(list language.TaskList, data any, s scene) ending {
	for at := 0; at < len(list); {
		end := r.task(list[at], data, s)
		if end.broken() || end.then == language.End {
			return end
		}
		s.now, data = end.at, end.data
		switch end.then {
		case language.Exit:
			return ending{at: s.now, data: data, then: language.Exit}
		case "", language.Continue:
			at++
		default:
			at = list.Index(end.then)
		}
	}
	return ending{at: s.now, data: data}
}

func (r *interpreter) task(task *language.Task, raw any, s scene) ending {
	wrong := func(at time.Time) ending {
		return ending{at: at, fault: &Fault{"expression", task.Pointer, 400}}
	}
	if task.If != "" {
		holds, err := r.def.Condition(task.If, raw, r.scope(s, task, raw))
		if err != nil {
			return wrong(s.now)
		}
		if !holds {
			return ending{at: s.now, data: raw, skipped: true}
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
	var own *limit
	if task.Timeout != nil {
		own = &limit{s.now.Add(task.Timeout.After.Value)}
		inner.limits = append(slices.Clone(s.limits), own)
	}
	end := r.body(task, input, inner)
	if end.late != nil && end.late == own {
		return ending{at: end.at, fault: &Fault{"timeout", task.Pointer, 408}}
	}
	if end.broken() || end.then == language.End && task.Kind != language.KindSwitch && task.Kind != language.KindTry {
		return end
	}
	if end.then == ended {
		return ending{at: end.at, data: end.data, then: language.End}
	}
	output, then := end.data, end.then
	if then == "" || task.Kind != language.KindSwitch && task.Kind != language.KindTry {
		then = task.Then
	}
	s.now = end.at
	if task.Output != nil {
		var err error
		if output, err = r.def.Transform(task.Output.As, output, r.scope(s, task, input)); err != nil {
			return wrong(end.at)
		}
	}
	if task.Export != nil {
		context, err := r.def.Transform(task.Export.As, output, r.scope(s, task, input))
		if err != nil {
			return wrong(end.at)
		}
		r.context = context
	}
	r.done = append(r.done, Done{Task: task.Pointer, Output: output, at: end.at})
	return ending{at: end.at, data: output, then: then}
}

// ended marks the end of the workflow from inside of a try, whose own directives come back as such.
const ended = "\x00end"

func (r *interpreter) body(task *language.Task, input any, s scene) ending {
	scope := r.scope(s, task, input)
	wrong := ending{at: s.now, fault: &Fault{"expression", task.Pointer, 400}}
	switch task.Kind {
	case language.KindSet:
		output, err := r.def.Fill(task.Set, input, scope)
		if err != nil {
			return wrong
		}
		return ending{at: s.now, data: output}
	case language.KindSwitch:
		for _, branch := range task.Switch {
			holds, err := true, error(nil)
			if branch.When != "" {
				holds, err = r.def.Condition(branch.When, input, scope)
			}
			if err != nil {
				return wrong
			}
			if holds {
				return ending{at: s.now, data: input, then: branch.Then}
			}
		}
		return ending{at: s.now, data: input}
	case language.KindRaise:
		status, err := r.def.Fill(task.Raise.Error.Status, input, scope)
		if err != nil {
			return wrong
		}
		return ending{at: s.now, fault: &Fault{task.Raise.Error.Type, task.Pointer, status.(int)}}
	case language.KindWait:
		at, late := s.pass(task.Wait.Value)
		return ending{at: at, data: input, late: late}
	case language.KindCall:
		arguments, err := r.def.Fill(task.Call.With, input, scope)
		if err != nil {
			return wrong
		}
		return r.call(task, arguments, s)
	case language.KindRun:
		arguments, err := r.def.Fill(task.Run.Workflow.Input, input, scope)
		if err != nil {
			return wrong
		}
		return r.call(task, arguments, s)
	case language.KindDo:
		return composite(r.list(task.Do, input, s))
	case language.KindFor:
		return r.loop(task, input, s)
	case language.KindFork:
		return r.fork(task, input, s)
	}
	return r.try(task, input, s)
}

// composite is the end of a task with a list: exit has done its work.
func composite(end ending) ending {
	if end.then == language.Exit {
		end.then = ""
	}
	return end
}

func (r *interpreter) loop(task *language.Task, input any, s scene) ending {
	value, err := r.def.Transform(task.For.In, input, r.scope(s, task, input))
	items, isList := value.([]any)
	if err != nil || !isList && value != nil {
		return ending{at: s.now, fault: &Fault{"expression", task.Pointer, 400}}
	}
	data := input
	for i, item := range items {
		inner := s.with(task.For.Each, item).with(task.For.At, i)
		if task.For.While != "" {
			scope := r.scope(inner, task, input)
			scope.Names = append(slices.Clone(task.Scope), task.For.Each, task.For.At)
			goes, err := r.def.Condition(task.For.While, data, scope)
			if err != nil {
				return ending{at: s.now, fault: &Fault{"expression", task.Pointer, 400}}
			}
			if !goes {
				break
			}
		}
		end := r.list(task.For.Do, data, inner)
		if end.broken() || end.then == language.End {
			return end
		}
		s.now, data = end.at, end.data
		if end.then == language.Exit {
			break
		}
	}
	return ending{at: s.now, data: data}
}

// fork runs each branch by itself, and then looks what happened first.
func (r *interpreter) fork(task *language.Task, input any, s scene) ending {
	before := len(r.done)
	end := r.branches(task, input, s)
	// What would have been done later is not done.
	late := func(d Done) bool { return d.at.After(end.at) }
	r.done = append(r.done[:before:before], slices.DeleteFunc(slices.Clone(r.done[before:]), late)...)
	return end
}

func (r *interpreter) branches(task *language.Task, input any, s scene) ending {
	ends := make([]ending, len(task.Fork.Branches))
	outputs := make([]any, len(ends))
	order := make([]int, len(ends))
	for i, branch := range task.Fork.Branches {
		ends[i] = r.task(branch, input, s)
		outputs[i], order[i] = ends[i].data, i
	}
	slices.SortStableFunc(order, func(a, b int) int { return ends[a].at.Compare(ends[b].at) })
	last, lost := s.now, ending{data: input}
	for _, i := range order {
		end := ends[i]
		last = end.at
		switch {
		case end.late != nil || end.then == language.End:
			return end
		case !task.Fork.Compete && end.fault != nil:
			return end
		case task.Fork.Compete && end.fault != nil:
			lost = end
		case task.Fork.Compete && !end.skipped:
			return ending{at: end.at, data: end.data}
		}
	}
	if task.Fork.Compete {
		lost.at = last
		return lost
	}
	return ending{at: last, data: outputs}
}

func (r *interpreter) try(task *language.Task, input any, s scene) ending {
	catch, began := &task.Try.Catch, s.now
	for attempt := 1; ; attempt++ {
		inner := s
		inner.attempt = attempt
		var own *limit
		if catch.Retry != nil && catch.Retry.AttemptDuration != nil {
			own = &limit{s.now.Add(catch.Retry.AttemptDuration.Value)}
			inner.limits = append(slices.Clone(s.limits), own)
		}
		end := r.list(task.Try.Do, input, inner)
		if end.late != nil && end.late == own {
			end = ending{at: end.at, fault: &Fault{"timeout", task.Pointer, 408}}
		}
		if end.fault == nil {
			if end = composite(end); end.then == language.End {
				end.then = ended
			}
			return end
		}
		s.now = end.at
		caught := s.with(catch.As, map[string]any{"status": end.fault.Status, "instance": end.fault.Instance})
		if catch.With != nil && catch.With["status"] != end.fault.Status {
			return end
		}
		if catch.Retry != nil {
			delay := time.Duration(float64(catch.Retry.Delay.Value) * math.Pow(catch.Retry.Backoff.Factor, float64(attempt-1)))
			if catch.Retry.Backoff.Kind != "exponential" {
				delay = catch.Retry.Delay.Value
			}
			within := catch.Retry.Duration == nil || !s.now.Add(delay).After(began.Add(catch.Retry.Duration.Value))
			if attempt <= catch.Retry.Attempts && within {
				at, late := s.pass(delay)
				if s.now = at; late != nil {
					return ending{at: at, late: late}
				}
				continue
			}
			if len(catch.Do) == 0 && catch.Then == "" {
				return end
			}
		}
		end = composite(r.list(catch.Do, input, caught))
		if end.then == language.End {
			end.then = ended
		} else if !end.broken() {
			end.then = catch.Then
		}
		return end
	}
}

func (r *interpreter) call(task *language.Task, arguments any, s scene) ending {
	output, ok := r.world(task, arguments, s.attempt)
	if !ok {
		return ending{at: s.now, fault: &Fault{"communication", task.Pointer, 500}}
	}
	return ending{at: s.now, data: output}
}
