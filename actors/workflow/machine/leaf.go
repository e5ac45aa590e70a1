package machine

import (
	"cmp"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// stepLeaf is the first event after the start of a task that has no list of its own. No event means that the task
// waits for something that is outstanding.
func (x *Execution) stepLeaf(run *Run, task *language.Task, now time.Time) (Event, error) {
	scope := x.scope(run, task)
	switch task.Kind {
	case language.KindSet:
		output, err := x.def.Fill(task.Set, run.Input, scope)
		if text, isText := task.Set.(string); isText {
			output, err = x.def.Evaluate(text, run.Input, scope)
		}
		if err != nil {
			return Event{}, err
		}
		return x.complete(run, output), nil
	case language.KindSwitch:
		return x.stepSwitch(run, task, scope)
	case language.KindRaise:
		thrown, err := x.raised(task.Raise.Error, task, run, scope)
		if err != nil {
			return Event{}, err
		}
		return x.faulted(run, thrown), nil
	case language.KindWait:
		length, err := x.duration(task.Wait, run, scope)
		if err != nil {
			return Event{}, err
		}
		due := now.Add(length)
		return Event{Type: TimerScheduled, Run: run.ID, Task: run.Task, Due: &due}, nil
	case language.KindCall:
		if function := x.def.Use.Functions[task.Call.Function]; function != nil {
			return x.stepFunction(run, task, function, now)
		}
	}
	call, err := x.prepare(run)
	if err != nil {
		return Event{}, err
	}
	run.call = call
	return Event{Type: CallScheduled, Run: run.ID, Task: run.Task, Name: task.Name, Key: run.Key, Attempt: run.Attempt}, nil
}

func (x *Execution) stepSwitch(run *Run, task *language.Task, scope language.Scope) (Event, error) {
	for _, branch := range task.Switch {
		matches := branch.When == ""
		if !matches {
			var err error
			if matches, err = x.def.Condition(branch.When, run.Input, scope); err != nil {
				return Event{}, err
			}
		}
		if matches {
			return x.completeThen(run, run.Input, branch.Then), nil
		}
	}
	return x.complete(run, run.Input), nil
}

// stepFunction runs a function of the definition's own: a task whose input are the arguments.
func (x *Execution) stepFunction(run *Run, task, function *language.Task, now time.Time) (Event, error) {
	if x.state.children(run.ID) > 0 {
		return Event{}, nil
	}
	arguments, err := x.def.Fill(mapping(task.Call.With), run.Input, x.scope(run, task))
	if err != nil {
		return Event{}, err
	}
	return x.startChild(run, 0, function, arguments, now), nil
}

func mapping(value map[string]any) map[string]any {
	if value == nil {
		return map[string]any{}
	}
	return value
}

// prepare evaluates what a call is to be made with. Without the secrets that it takes, it is not made.
func (x *Execution) prepare(run *Run) (*Call, error) {
	x.denied = nil
	call, err := x.evaluate(run)
	if x.denied != nil {
		return nil, x.denied
	}
	return call, err
}

func (x *Execution) evaluate(run *Run) (*Call, error) {
	task := x.def.Task(run.Task)
	scope := x.scope(run, task)
	if task.Sealed {
		// The input holds secrets, and is known while the call is made and no longer.
		input, err := x.def.Transform(task.Input.From, run.Input, scope)
		if err != nil {
			return nil, err
		}
		unsealed := *run
		unsealed.Input, run = input, &unsealed
		scope = scope.Bind("input", input)
	}
	switch task.Kind {
	case language.KindEmit:
		return x.prepareEmit(run, task, scope)
	case language.KindRun:
		return x.prepareRun(run, task, scope)
	case language.KindCall:
	default:
		return nil, unsupported(string(task.Kind))
	}
	switch task.Call.Function {
	case language.CallHTTP:
		request, err := x.prepareHTTP(task.Call.HTTP, run, scope)
		call := x.callOf(run, CallHTTP)
		call.HTTP = request
		return call, err
	case language.CallOpenAPI:
		request, err := x.prepareOpenAPI(task.Call.OpenAPI, run, scope)
		call := x.callOf(run, CallOpenAPI)
		call.OpenAPI = request
		return call, err
	case language.CallGRPC, language.CallAsyncAPI, language.CallA2A, language.CallMCP:
		return nil, unsupported("call: " + task.Call.Function)
	}
	arguments, err := x.def.Fill(mapping(task.Call.With), run.Input, scope)
	if err != nil {
		return nil, err
	}
	call := x.callOf(run, CallFunction)
	call.Function = task.Call.Function
	call.Arguments, _ = arguments.(map[string]any)
	return call, nil
}

func unsupported(what string) *Error {
	return NewError(TypeConfiguration, what+" cannot be run yet")
}

// prepareEmit makes the CloudEvent. Its id is the call's key, so that publishing it again is seen as the same.
func (x *Execution) prepareEmit(run *Run, task *language.Task, scope language.Scope) (*Call, error) {
	filled, err := x.def.Fill(task.Emit, run.Input, scope)
	if err != nil {
		return nil, err
	}
	call := x.callOf(run, CallEmit)
	call.Message, _ = filled.(map[string]any)
	d := x.def.Document
	defaults := map[string]any{"specversion": "1.0", "id": call.Key, "time": run.StartedAt.UTC().Format(time.RFC3339Nano),
		"source": "urn:weft:workflow:" + d.Namespace + ":" + d.Name + ":" + d.Version}
	if _, given := call.Message["data"]; given {
		defaults["datacontenttype"] = "application/json"
	}
	for key, value := range defaults {
		if call.Message[key] == nil {
			call.Message[key] = value
		}
	}
	return call, nil
}

func (x *Execution) prepareRun(run *Run, task *language.Task, scope language.Scope) (*Call, error) {
	if task.Run.Workflow == nil {
		return nil, unsupported("run: " + task.Run.Kind)
	}
	child := task.Run.Workflow
	input := run.Input
	if child.Input != nil {
		filled, err := x.def.Fill(child.Input, run.Input, scope)
		if err != nil {
			return nil, err
		}
		input = filled
	}
	call := x.callOf(run, CallWorkflow)
	call.Workflow = &ChildWorkflow{Namespace: child.Namespace, Name: child.Name,
		Version: cmp.Or(child.Version, "latest"), Input: input, Await: task.Run.Await}
	return call, nil
}
