package reference

import (
	"math"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

func (r *interpreter) body(task *language.Task, input any, s frame) taskResult {
	scope := r.scope(s, task, input)
	wrong := taskResult{at: s.now, fault: &Fault{"expression", task.Pointer, 400}}
	switch task.Kind {
	case language.KindSet:
		output, err := r.def.Fill(task.Set, input, scope)
		if err != nil {
			return wrong
		}
		return taskResult{at: s.now, data: output}
	case language.KindSwitch:
		return r.choose(task, input, s)
	case language.KindRaise:
		status, err := r.def.Fill(task.Raise.Error.Status, input, scope)
		if err != nil {
			return wrong
		}
		kind, err := r.def.ExpandURI(task.Raise.Error.Type, input, scope)
		if err != nil {
			return wrong
		}
		return taskResult{at: s.now, fault: &Fault{kind, task.Pointer, status.(int)}}
	case language.KindWait:
		at, late := s.advance(task.Wait.Value)
		return taskResult{at: at, data: input, timedOut: late}
	case language.KindCall:
		arguments, err := r.def.Fill(task.Call.With, input, scope)
		if err != nil {
			return wrong
		}
		return r.call(task, arguments, s)
	case language.KindRun:
		return r.child(task, input, s)
	case language.KindDo:
		return compositeResult(r.list(task.Do, input, s))
	case language.KindFor:
		return r.loop(task, input, s)
	case language.KindFork:
		return r.fork(task, input, s)
	}
	return r.try(task, input, s)
}

// choose runs a switch: its default case is the last to be considered, wherever it stands.
func (r *interpreter) choose(task *language.Task, input any, s frame) taskResult {
	result := taskResult{at: s.now, data: input}
	for _, branch := range task.Switch {
		if branch.When == "" {
			result.then = branch.Then
			continue
		}
		holds, err := r.def.Condition(branch.When, input, r.scope(s, task, input))
		if err != nil {
			return taskResult{at: s.now, fault: &Fault{"expression", task.Pointer, 400}}
		}
		if holds {
			return taskResult{at: s.now, data: input, then: branch.Then}
		}
	}
	return result
}

// child runs a child workflow and selects what the task returns of it.
func (r *interpreter) child(task *language.Task, input any, s frame) taskResult {
	arguments := input
	if task.Run.Workflow.Input != nil {
		var err error
		if arguments, err = r.def.Fill(task.Run.Workflow.Input, input, r.scope(s, task, input)); err != nil {
			return taskResult{at: s.now, fault: &Fault{"expression", task.Pointer, 400}}
		}
	}
	result := r.call(task, arguments, s)
	if result.failed() {
		return result
	}
	process := map[string]any{"code": 0, "stdout": result.data, "stderr": ""}
	switch {
	case !task.Run.Await:
		result.data = input
	case task.Run.Return == "all":
		result.data = process
	default:
		result.data = process[task.Run.Return] // none is not in it
	}
	return result
}

// compositeResult is the result of a composite task; it consumes an exit.
func compositeResult(end taskResult) taskResult {
	if end.then == language.Exit {
		end.then = ""
	}
	return end
}

func (r *interpreter) loop(task *language.Task, input any, s frame) taskResult {
	value, err := r.def.Transform(task.For.In, input, r.scope(s, task, input))
	items, isList := value.([]any)
	if err != nil || !isList && value != nil {
		return taskResult{at: s.now, fault: &Fault{"expression", task.Pointer, 400}}
	}
	data := input
	for i, item := range items {
		inner := s.with(task.For.Each, item).with(task.For.At, i)
		if task.For.While != "" {
			scope := r.scope(inner, task, input)
			scope.Names = append(slices.Clone(task.Scope), task.For.Each, task.For.At)
			goes, err := r.def.Condition(task.For.While, data, scope)
			if err != nil {
				return taskResult{at: s.now, fault: &Fault{"expression", task.Pointer, 400}}
			}
			if !goes {
				break
			}
		}
		end := r.list(task.For.Do, data, inner)
		if end.failed() || end.then == language.End {
			return end
		}
		s.now, data = end.at, end.data
		if end.then == language.Exit {
			break
		}
	}
	return taskResult{at: s.now, data: data}
}

// fork runs the branches one after the other from the same start, and then decides by their end times.
func (r *interpreter) fork(task *language.Task, input any, s frame) taskResult {
	before := len(r.completed)
	end := r.branches(task, input, s)
	// Drop completions after the end of the fork.
	late := func(d Completion) bool { return d.at.After(end.at) }
	r.completed = append(r.completed[:before:before], slices.DeleteFunc(slices.Clone(r.completed[before:]), late)...)
	return end
}

func (r *interpreter) branches(task *language.Task, input any, s frame) taskResult {
	ends := make([]taskResult, len(task.Fork.Branches))
	outputs := make([]any, len(ends))
	order := make([]int, len(ends))
	for i, branch := range task.Fork.Branches {
		ends[i] = r.task(branch, input, s)
		outputs[i], order[i] = ends[i].data, i
	}
	slices.SortStableFunc(order, func(a, b int) int { return ends[a].at.Compare(ends[b].at) })
	last, lost := s.now, taskResult{data: input}
	for _, i := range order {
		end := ends[i]
		last = end.at
		switch {
		case end.timedOut != nil || end.then == language.End:
			return end
		case !task.Fork.Compete && end.fault != nil:
			return end
		case task.Fork.Compete && end.fault != nil:
			lost = end
		case task.Fork.Compete && !end.skipped:
			return taskResult{at: end.at, data: end.data}
		}
	}
	if task.Fork.Compete {
		lost.at = last
		return lost
	}
	return taskResult{at: last, data: outputs}
}

func (r *interpreter) try(task *language.Task, input any, s frame) taskResult {
	catch, began := &task.Try.Catch, s.now
	for attempt := 1; ; attempt++ {
		inner := s
		inner.attempt = attempt
		var own *deadline
		if catch.Retry != nil && catch.Retry.AttemptDuration != nil {
			own = &deadline{s.now.Add(catch.Retry.AttemptDuration.Value)}
			inner.deadlines = append(slices.Clone(s.deadlines), own)
		}
		end := r.list(task.Try.Do, input, inner)
		if end.timedOut != nil && end.timedOut == own {
			end = taskResult{at: end.at, fault: &Fault{"timeout", task.Pointer, 408}}
		}
		if end.fault == nil {
			if end = compositeResult(end); end.then == language.End {
				end.then = endFromTry
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
				at, late := s.advance(delay)
				if s.now = at; late != nil {
					return taskResult{at: at, timedOut: late}
				}
				continue
			}
			if len(catch.Do) == 0 && catch.Then == "" {
				return end
			}
		}
		end = compositeResult(r.list(catch.Do, input, caught))
		if end.then == language.End {
			end.then = endFromTry
		} else if !end.failed() {
			end.then = catch.Then
		}
		return end
	}
}

func (r *interpreter) call(task *language.Task, arguments any, s frame) taskResult {
	reply := r.calls(task, arguments, s.attempt)
	at, late := s.advance(reply.Took)
	switch {
	case late != nil:
		return taskResult{at: at, timedOut: late}
	case reply.Failed:
		return taskResult{at: at, fault: &Fault{"communication", task.Pointer, 500}}
	}
	return taskResult{at: at, data: reply.Output}
}
