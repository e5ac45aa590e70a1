package machine

import (
	"slices"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// MaxMessages bounds the events that one listener keeps.
const MaxMessages = 10_000

// untilFilter marks an event that ended a consumption without being part of it.
const untilFilter = -1

// eventConsumer decides which listeners consume an event.
type eventConsumer struct {
	def     *language.Workflow
	state   *State
	eval    *evaluator
	matcher eventMatcher
}

// offer is the event that records that a listener consumes a message; none when it does not want it.
func (c *eventConsumer) offer(run *Run, message map[string]any) (Event, bool) {
	if run.Phase != PhaseListening && run.Phase != PhaseIterating || run.Fault != nil || run.Stopped || run.Exited {
		return Event{}, false
	}
	task := c.def.Task(run.Task)
	to := &task.Listen.To
	if to.Until == nil && to.UntilCondition == "" && to.Mode != "all" && len(run.Messages) > 0 {
		return Event{}, false // it has the one that it waits for
	}
	scope := c.eval.scope(run, task)
	event := Event{Type: EventReceived, Run: run.ID, Task: run.Task, MessageID: identity(message)}
	if to.Until != nil {
		for _, filter := range to.Until.Filters {
			if _, ok := c.matcher.passes(filter, message, run, scope); ok {
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
		if correlation, ok := c.matcher.passes(filter, message, run, scope); ok {
			event.Filters, event.Correlation = []int{i}, correlation
			return event, true
		}
	}
	return Event{}, false
}

// consumed tells whether a listener has what it waits for. Where it does tasks for each event, an event counts once they
// are done, and exit among them ends the listener.
func (c *eventConsumer) consumed(run *Run, task *language.Task) (bool, error) {
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
		return c.def.Condition(to.UntilCondition, append([]any{}, messages...), c.eval.scope(run, task))
	}
	return to.Until == nil, nil
}

// arrived are the events that record who takes a message.
func (c *eventConsumer) arrived(value any) []Event {
	message, isObject := language.Normalize(value).(map[string]any)
	if !isObject {
		return nil
	}
	var events []Event
	for _, run := range c.state.Runs {
		if event, ok := c.offer(run, message); ok && !c.state.arrivedFor(event.MessageID, run.ID) {
			events = append(events, event)
		}
	}
	return events
}

// acceptMessage hands a message to one listener.
func (c *eventConsumer) acceptMessage(o Outcome) (Event, bool) {
	run := c.state.run(number(o.id))
	message, isObject := language.Normalize(o.value).(map[string]any)
	if run == nil || !isObject {
		return Event{}, false
	}
	event, ok := c.offer(run, message)
	return event, ok && !c.state.arrivedFor(event.MessageID, run.ID)
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
