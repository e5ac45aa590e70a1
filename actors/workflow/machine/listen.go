package machine

import (
	"bytes"
	"reflect"
	"regexp"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// untilFilter marks an event that ended a consumption without being part of it.
const untilFilter = -1

// MaxMessages bounds the events that one listener keeps. One that listens forever keeps none that is done.
const MaxMessages = 10_000

// stepListen starts a listener, does its tasks for each event, and ends it once it has consumed what it waits for.
func (x *Execution) stepListen(run *Run, task *language.Task, now time.Time) (Event, bool) {
	switch run.Phase {
	case PhaseStarted:
		return Event{Type: ListenerStarted, Run: run.ID, Task: run.Task, Name: task.Name, Key: run.Key}, true
	case PhaseIterating:
		return x.stepIteration(run, task, now)
	}
	done, err := x.consumed(run, task)
	if err != nil {
		return x.faulted(run, err), true
	}
	switch {
	case done && task.Listen.Foreach != nil:
		return x.complete(run, append([]any{}, run.Outputs...)), true
	case done:
		return x.complete(run, append([]any{}, run.Messages...)), true
	case task.Listen.Foreach != nil && len(run.Messages) > run.kept(task):
		return Event{Type: IterationStarted, Run: run.ID, Index: run.Handled}, true
	}
	return Event{}, false
}

// stepIteration goes on with the tasks for one event. What the last one gives is the iteration's output.
func (x *Execution) stepIteration(run *Run, task *language.Task, now time.Time) (Event, bool) {
	if x.state.children(run.ID) > 0 {
		return Event{}, false
	}
	each := task.Listen.Foreach
	if !run.Exited && run.Cursor < len(each.Do) {
		return x.startChild(run, run.Cursor, each.Do[run.Cursor], run.Data, now), true
	}
	event := Event{Type: IterationCompleted, Run: run.ID, Index: run.Index}
	scope := x.scope(run, task)
	scope.Names = inside(task.Scope, each.Item, each.At)
	output, err := x.shape(each.Output, run.Data, scope)
	if err == nil {
		event.Output = Of(output)
		event.Context, err = x.share(each.Export, output, scope)
	}
	if err != nil {
		return x.faulted(run, err), true
	}
	return event, true
}

func (x *Execution) applyIteration(run *Run, event *Event) {
	task := x.def.Task(run.Task)
	if event.Context.Set {
		x.state.Context = event.Context
	}
	run.Phase, run.Handled = PhaseListening, run.Handled+1
	if task.Listen.To.Forever() {
		run.Messages = run.Messages[1:]
		return
	}
	run.Outputs = append(run.Outputs, event.Output.V)
}

// kept is how many of the messages that a listener keeps are handled already.
func (r *Run) kept(task *language.Task) int {
	if task.Listen.To.Forever() {
		return 0
	}
	return r.Handled
}

// message is what the listener's tasks are done for now.
func (r *Run) message(task *language.Task) any { return r.Messages[r.kept(task)] }

// consumed tells whether a listener has what it waits for. Where it does tasks for each event, an event counts once they
// are done, and exit among them ends the listener.
func (x *Execution) consumed(run *Run, task *language.Task) (bool, error) {
	to, messages := &task.Listen.To, run.Messages
	if task.Listen.Foreach != nil {
		messages = messages[:run.kept(task)]
	}
	switch {
	case run.Exited:
		return true, nil
	case run.Stopped:
		return len(messages) == len(run.Messages), nil
	case len(messages) == 0:
		return to.Mode == "all" && len(to.Filters) == 0, nil
	case to.Mode == "all":
		hit := map[int]bool{}
		for _, filter := range run.Hits[:len(messages)] {
			hit[filter] = true
		}
		return len(hit) == len(to.Filters), nil
	case to.UntilCondition != "":
		return x.def.Condition(to.UntilCondition, append([]any{}, messages...), x.scope(run, task))
	}
	return to.Until == nil, nil
}

// offer is the event that records that a listener consumes a message; none when it does not want it.
func (x *Execution) offer(run *Run, message map[string]any) (Event, bool) {
	if run.Phase != PhaseListening && run.Phase != PhaseIterating || run.Fault != nil || run.Stopped || run.Exited {
		return Event{}, false
	}
	task := x.def.Task(run.Task)
	to := &task.Listen.To
	if to.Until == nil && to.UntilCondition == "" && to.Mode != "all" && len(run.Messages) > 0 {
		return Event{}, false // it has the one that it waits for
	}
	scope := x.scope(run, task)
	event := Event{Type: EventReceived, Run: run.ID, Task: run.Task, MessageID: identity(message)}
	if to.Until != nil {
		for _, filter := range to.Until.Filters {
			if _, ok := x.passes(filter, message, run, scope); ok {
				event.Filters = []int{untilFilter}
				return event, true
			}
		}
	}
	event.Message = Of(language.Read(message, task.Listen.Read))
	if len(run.Messages) >= MaxMessages {
		event.Error = NewError(TypeRuntime, "the listener has too many events")
		event.Error.Instance = run.Task
	}
	if len(to.Filters) == 0 && to.Mode == "any" {
		return event, true
	}
	for i, filter := range to.Filters {
		if to.Mode == "all" && slices.Contains(run.Hits, i) {
			continue
		}
		if correlation, ok := x.passes(filter, message, run, scope); ok {
			event.Filters, event.Correlation = []int{i}, correlation
			return event, true
		}
	}
	return Event{}, false
}

func (x *Execution) applyMessage(run *Run, event *Event) {
	x.noteArrival(event.MessageID, run.ID)
	if slices.Contains(event.Filters, untilFilter) {
		run.Stopped = true
		return
	}
	run.Messages = append(run.Messages, event.Message.V)
	run.Hits = append(run.Hits, event.Filters...)
	run.Fault = event.Error
	for name, value := range event.Correlation {
		if run.Correlation == nil {
			run.Correlation = map[string]any{}
		}
		run.Correlation[name] = language.Normalize(value)
	}
}

// passes tells whether an event has the attributes that a filter asks for and correlates with what came before. It
// returns the values that events to come must share. An expression that fails means no.
func (x *Execution) passes(filter language.EventFilter, message map[string]any, run *Run, scope language.Scope) (map[string]any, bool) {
	for name, want := range filter.With {
		if !x.attribute(want, message[name], scope) {
			return nil, false
		}
	}
	var shared map[string]any
	for name, correlation := range filter.Correlate {
		value, err := x.def.Evaluate(correlation.From, message, scope)
		if err != nil || value == nil {
			return nil, false
		}
		if correlation.Expect != "" {
			expected, err := x.def.Fill(correlation.Expect, run.Input, scope)
			if err != nil || !same(expected, value) {
				return nil, false
			}
			continue
		}
		if known, fixed := run.Correlation[name]; fixed && !same(known, value) {
			return nil, false
		}
		if shared == nil {
			shared = map[string]any{}
		}
		shared[name] = value
	}
	return shared, true
}

// attribute compares one attribute: an expression must hold for it, a text must equal it or match all of it as a
// regular expression, any other value must equal it.
func (x *Execution) attribute(want, got any, scope language.Scope) bool {
	text, isText := want.(string)
	if !isText {
		return same(want, got)
	}
	if language.IsExpression(text) {
		value, err := x.def.Evaluate(text, got, scope)
		if err != nil || value == nil || value == false {
			return false
		}
		return value == true || same(value, got)
	}
	given, isText := got.(string)
	if !isText || text == given || language.IsLiteral(text) {
		return isText && text == given
	}
	pattern, err := regexp.Compile("^(?:" + text + ")$")
	return err == nil && pattern.MatchString(given)
}

func same(a, b any) bool {
	return reflect.DeepEqual(a, b) || bytes.Equal(language.Canonical(a), language.Canonical(b))
}
