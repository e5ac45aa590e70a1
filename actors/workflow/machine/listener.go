package machine

import "strconv"

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
				_, ok := x.consumer.offer(run, event)
				return ok && !x.state.arrivedFor(identity(event), run.ID)
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
