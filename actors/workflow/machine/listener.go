package machine

import "strconv"

// Listener is a listen task that waits for events.
type Listener struct {
	ID   string
	Task string
	// Types are the literal event types that it may consume, for indexing; nil means any type.
	Types []string

	wants func(map[string]any) bool
}

// Wants reports whether the listener would consume an event now. It changes nothing; EventArrived applies the same
// test.
func (l Listener) Wants(event map[string]any) bool { return l.wants(event) }

// Subscription is a listener with its filters; its ID is the one that MessageReceived takes.
type Subscription struct {
	ID   string
	Task string
	// Filters are the attributes that select events, as in the definition; none means every event.
	Filters []map[string]any
}

// Listeners are the tasks that wait for events. A suspended execution still consumes events.
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
				x.meter.begin()
				if !x.meter.open() {
					return true // EventArrived finds out
				}
				_, ok := x.consumer.consume(run, event)
				if x.meter.budget.Err() != nil {
					return true
				}
				return ok && !x.state.taken(eventIdentity(event), run.ID)
			}})
	}
	return listeners
}

// Subscriptions are the listeners with their filters.
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
