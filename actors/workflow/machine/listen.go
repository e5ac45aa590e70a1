package machine

import (
	"bytes"
	"reflect"
	"regexp"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// untilFilter marks an event that ended a consumption without being part of it.
const untilFilter = -1

// stepListen starts a listener, and ends it once it has consumed what it waits for.
func (x *Execution) stepListen(run *Run, task *language.Task) (Event, bool) {
	if run.Phase == PhaseStarted {
		return Event{Type: ListenerStarted, Run: run.ID, Task: run.Task, Name: task.Name, Key: run.Key}, true
	}
	done, err := x.consumed(run, task)
	if err != nil {
		return x.faulted(run, err), true
	}
	if !done {
		return Event{}, false
	}
	return x.complete(run, append([]any{}, run.Messages...)), true
}

func (x *Execution) consumed(run *Run, task *language.Task) (bool, error) {
	to := &task.Listen.To
	switch {
	case run.Stopped:
		return true, nil
	case len(run.Messages) == 0:
		return to.Mode == "all" && len(to.Filters) == 0, nil
	case to.Mode == "all":
		hit := map[int]bool{}
		for _, filter := range run.Hits {
			hit[filter] = true
		}
		return len(hit) == len(to.Filters), nil
	case to.UntilCondition != "":
		return x.def.Condition(to.UntilCondition, append([]any{}, run.Messages...), x.scope(run, task))
	}
	return to.Until == nil, nil
}

// acceptMessage records an event that a listener consumes.
func (x *Execution) acceptMessage(o Outcome) (Event, bool) {
	run := x.state.run(number(o.id))
	message, isObject := language.Normalize(o.value).(map[string]any)
	if run == nil || run.Phase != PhaseListening || run.Fault != nil || !isObject {
		return Event{}, false
	}
	task := x.def.Task(run.Task)
	to := &task.Listen.To
	scope := x.scope(run, task)
	event := Event{Type: EventReceived, Run: run.ID, Task: run.Task, Message: Of(reading(message, task.Listen.Read))}
	if to.Until != nil {
		for _, filter := range to.Until.Filters {
			if _, ok := x.passes(filter, message, run, scope); ok {
				event.Filters = []int{untilFilter}
				return event, true
			}
		}
	}
	if len(to.Filters) == 0 && to.Mode == "any" {
		return event, true
	}
	for i, filter := range to.Filters {
		if to.Mode == "all" && hit(run, i) {
			continue
		}
		if correlation, ok := x.passes(filter, message, run, scope); ok {
			event.Filters, event.Correlation = []int{i}, correlation
			return event, true
		}
	}
	return Event{}, false
}

func hit(run *Run, filter int) bool {
	for _, seen := range run.Hits {
		if seen == filter {
			return true
		}
	}
	return false
}

// reading is what the task gets of an event: its data, or the whole of it.
func reading(message map[string]any, read string) any {
	if read == "" || read == "data" {
		return message["data"]
	}
	return message
}

// passes tells whether an event has the attributes that a filter asks for and correlates with what came before. It
// returns the values that events to come must share. An expression that fails means no.
func (x *Execution) passes(filter language.EventFilter, message map[string]any, run *Run, scope language.Scope) (map[string]any, bool) {
	for name, want := range filter.With {
		if !x.attribute(want, message[name], scope) {
			return nil, false
		}
	}
	shared := map[string]any{}
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
	if !isText || text == given {
		return isText
	}
	pattern, err := regexp.Compile("^(?:" + text + ")$")
	return err == nil && pattern.MatchString(given)
}

func same(a, b any) bool {
	return reflect.DeepEqual(a, b) || bytes.Equal(language.Canonical(a), language.Canonical(b))
}
