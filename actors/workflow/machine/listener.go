package machine

import (
	"slices"
	"strconv"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// Listener is a wait for events.
type Listener struct {
	ID   string
	Task string
	// Types are the literal event types that it may want, for an index; nil means that any type may be wanted.
	Types []string

	wants func(map[string]any) bool
}

// Wants tells whether the listener would take an event now. It changes nothing. EventArrived asks the same.
func (l Listener) Wants(event map[string]any) bool { return l.wants(event) }

// Subscription is a wait for events, as MessageReceived names it.
type Subscription struct {
	ID   string
	Task string
	// Filters are the attributes that select events, as in the definition; none means every event.
	Filters []map[string]any
}

// Listeners are the waits for events. A suspended execution still takes events in.
func (x *Execution) Listeners() []Listener {
	if x.state.Status.Ended() {
		return nil
	}
	var listeners []Listener
	for _, run := range x.state.Runs {
		if run.Phase != PhaseListening && run.Phase != PhaseIterating {
			continue
		}
		listeners = append(listeners, Listener{ID: strconv.Itoa(run.ID), Task: run.Task,
			Types: x.def.Task(run.Task).Listen.To.Types(),
			wants: func(event map[string]any) bool {
				_, ok := x.offer(run, event)
				return ok && !x.arrivedFor(identity(event), run.ID)
			}})
	}
	return listeners
}

// Subscriptions are the waits for events with their filters.
func (x *Execution) Subscriptions() []Subscription {
	var subscriptions []Subscription
	for _, listener := range x.Listeners() {
		to := &x.def.Task(listener.Task).Listen.To
		subscription := Subscription{ID: listener.ID, Task: listener.Task}
		for _, filter := range to.Filters {
			subscription.Filters = append(subscription.Filters, filter.With)
		}
		if to.Until != nil && len(to.Filters) > 0 {
			for _, filter := range to.Until.Filters {
				subscription.Filters = append(subscription.Filters, filter.With)
			}
		}
		subscriptions = append(subscriptions, subscription)
	}
	return subscriptions
}

// Arrival is an event that was consumed: by which runs, and which run was the next to be started when it came first.
// Runs from there on began after the event and never take it.
type Arrival struct {
	ID     string `json:"id"`
	Before int    `json:"before"`
	Taken  []int  `json:"taken"`
}

// maxArrivals bounds the events that are remembered, the newest ones.
const maxArrivals = 512

// identity is what tells an event from any other; empty for one without id.
func identity(event map[string]any) string {
	id, _ := event["id"].(string)
	source, _ := event["source"].(string)
	if id == "" {
		return ""
	}
	return source + " " + id
}

// arrivedFor tells whether a run has an event already, or began after it came.
func (x *Execution) arrivedFor(id string, run int) bool {
	for i := range x.state.Arrivals {
		if arrival := &x.state.Arrivals[i]; arrival.ID == id {
			return id != "" && (run >= arrival.Before || slices.Contains(arrival.Taken, run))
		}
	}
	return false
}

func (x *Execution) noteArrival(id string, run int) {
	if id == "" {
		return
	}
	s := &x.state
	for i := range s.Arrivals {
		if arrival := &s.Arrivals[i]; arrival.ID == id {
			arrival.Taken = append(arrival.Taken, run)
			return
		}
	}
	if len(s.Arrivals) >= maxArrivals {
		s.Arrivals = slices.Delete(s.Arrivals, 0, 1)
	}
	s.Arrivals = append(s.Arrivals, Arrival{ID: id, Before: s.NextRun, Taken: []int{run}})
}

// arrived are the events that record who takes a message.
func (x *Execution) arrived(value any) []Event {
	message, isObject := language.Normalize(value).(map[string]any)
	if !isObject {
		return nil
	}
	var events []Event
	for _, run := range x.state.Runs {
		if event, ok := x.offer(run, message); ok && !x.arrivedFor(event.MessageID, run.ID) {
			events = append(events, event)
		}
	}
	return events
}

// acceptMessage hands a message to one listener.
func (x *Execution) acceptMessage(o Outcome) (Event, bool) {
	run := x.state.run(number(o.id))
	message, isObject := language.Normalize(o.value).(map[string]any)
	if run == nil || !isObject {
		return Event{}, false
	}
	event, ok := x.offer(run, message)
	return event, ok && !x.arrivedFor(event.MessageID, run.ID)
}
