package machine

import (
	"fmt"
	"slices"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// Bounds of the events that one listener keeps. A listener that listens forever discards events once handled.
const (
	MaxMessages = 10_000
	// MaxMessageBytes bounds what schedule.read or listen.read selects of them, in bytes.
	MaxMessageBytes = 8 << 20
)

// eventConsumer decides which listeners consume an event.
type eventConsumer struct {
	def     *language.Workflow
	state   *State
	eval    *evaluator
	matcher eventMatcher
}

// consume is the event that records that a listener consumes a message; false if the listener does not want it.
func (c *eventConsumer) consume(run *Run, message map[string]any) (Event, bool) {
	if !c.consumes(run) {
		return Event{}, false
	}
	lifecycle := isLifecycle(message)
	if lifecycle && message["subject"] == c.state.Execution {
		return Event{}, false // an execution does not receive its own lifecycle events: it could go on for ever
	}
	task := c.def.Task(run.Task)
	to := &task.Listen.To
	if to.Until == nil && to.UntilCondition == "" && to.Mode != "all" && len(run.Messages) > 0 {
		return Event{}, false // it has already consumed the single event it waits for
	}
	scope := c.eval.scope(run, task)
	event := Event{Type: EventReceived, Run: run.ID, Task: run.Task, MessageID: eventIdentity(message)}
	if until, shared := c.matcher.untilMatch(to.Until, run.UntilMatched, message, run, scope); until != 0 {
		event.Filters, event.Correlation = []int{until}, shared
		return event, true
	}
	if len(to.Filters) == 0 && to.Mode == "any" {
		return c.reading(event, run, message), !lifecycle
	}
	for i, filter := range to.Filters {
		if to.Mode == "all" && slices.Contains(run.MatchedFilters, i) {
			continue
		}
		if correlation, ok := c.matcher.matches(filter, message, run, scope); ok {
			event.Filters, event.Correlation = []int{i}, correlation
			return c.reading(event, run, message), true
		}
	}
	return Event{}, false
}

// reading adds to an event what its listener reads of the message, and the error of one that holds too much.
func (c *eventConsumer) reading(event Event, run *Run, message map[string]any) Event {
	event.Message = ValueOf(language.ReadEvent(message, c.def.Task(run.Task).Listen.Read))
	event.Error = c.full(run, event.Message.V)
	return event
}

// full is the error of a listener that cannot hold a further message; nil for any other.
func (c *eventConsumer) full(run *Run, message any) (failure *Error) {
	switch {
	case len(run.Messages) >= MaxMessages:
		failure = NewError(TypeRuntime, fmt.Sprintf("the listener holds more than %d events", MaxMessages))
	case run.Held+weightOf(message) > MaxMessageBytes:
		failure = NewError(TypeRuntime, fmt.Sprintf("the listener holds events of more than %d bytes", MaxMessageBytes))
	default:
		return nil
	}
	failure.Instance = run.Task
	return failure
}

// done reports whether a listener has consumed what it waits for. With foreach, an event counts once its tasks have
// run, and an exit among them ends the listener.
func (c *eventConsumer) done(run *Run, task *language.Task) (bool, error) {
	to, messages := &task.Listen.To, run.Messages
	if task.Listen.Foreach != nil {
		messages = messages[:run.handledRetained(task)]
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
		for _, filter := range run.MatchedFilters[:len(messages)] {
			hit[filter] = true
		}
		return len(hit) == len(to.Filters), nil
	case to.UntilCondition != "":
		return c.def.Condition(to.UntilCondition, slices.Clip(messages), c.eval.scope(run, task))
	}
	return to.Until == nil, nil
}

// deliver returns the events that record which listeners consume a message: every listener that wants it, or the one that it is for. The
// matching is one decision. A listener with which it exceeds what an event may take faults: it is not known whether it wants the message.
func (c *eventConsumer) deliver(o Outcome) []Event {
	value, _ := c.eval.meter.admit(o.value, "the event")
	message, isObject := value.(map[string]any)
	if !isObject {
		return nil
	}
	runs := c.state.Runs
	if o.kind == outcomeEventDelivered {
		run := c.state.run(parseID(o.id))
		if run == nil {
			return nil
		}
		runs = []*Run{run}
	}
	var events []Event
	for _, run := range runs {
		event, ok := c.consume(run, message)
		if ok = ok && !c.state.taken(event.MessageID, run.ID); ok {
			c.eval.meter.walk(event.weigh(MaxEventBytes).weight)
		}
		if failure := c.eval.meter.fault(); failure != nil && c.consumes(run) {
			event, ok = c.unmatched(run, failure), true
		}
		if ok {
			events = append(events, event)
		}
	}
	return events
}

// unmatched ends a listener that could not be matched with a message.
func (c *eventConsumer) unmatched(run *Run, failure *Error) Event {
	failure.Instance = run.Task
	return Event{Type: TaskFaulted, Run: run.ID, Parent: run.Parent, Task: run.Task, Name: c.def.Task(run.Task).Name, Key: run.Key, Error: failure}
}

// consumes reports whether a run is a listener that consumes messages now.
func (c *eventConsumer) consumes(run *Run) bool {
	return (run.Phase == PhaseListening || run.Phase == PhaseIterating) && run.Fault == nil && !run.Stopped && !run.Exited
}

// handledRetained is how many of the retained messages of a listener have been handled.
func (r *Run) handledRetained(task *language.Task) int {
	if task.Listen.To.Forever() {
		return 0
	}
	return r.Handled
}

// currentMessage is the message of the current iteration.
func (r *Run) currentMessage(task *language.Task) any { return r.Messages[r.handledRetained(task)] }
