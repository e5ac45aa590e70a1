package machine

import "fmt"

// Bounds of the life of an execution. An execution that exceeds one faults with an error of TypeRuntime that names it, and that no task
// catches. Its compensations may take an eighth more.
const (
	// DefaultMaxHistory is the default of Environment.MaxHistory, in bytes.
	DefaultMaxHistory = 32 << 20
	// MaxLifeSteps bounds the steps of all evaluations of an execution, and of the walks over its data.
	MaxLifeSteps = 500_000_000
)

// reserve is the part of a bound by which compensations may exceed it.
const reserve = 8

// stepUnit is the unit in which events record steps: fewer are not recorded. MaxHistory bounds the events, and so what is not counted.
const stepUnit = 1_000

// Bytes is the size of the data that the events of the execution have carried so far, in bytes: the size of the history, without the
// fields of events that every event has. It is an estimate that is made without encoding.
func (x *Execution) Bytes() int { return x.state.Bytes }

// recordable are the steps that the next event records.
func (m *meter) recordable() int {
	steps := m.taken - m.taken%stepUnit
	m.taken = 0
	return steps
}

// bound replaces an event that would exceed a bound of the execution's life by the end of the execution. It returns the event's weight.
func (x *Execution) bound(event *Event, weight int) int {
	s := &x.state
	switch event.Type {
	case ExecutionStarted, ExecutionFaulted, ExecutionCancelled:
		return weight
	}
	history, steps := x.maxHistory, MaxLifeSteps
	if s.Ending != nil || event.Type == CompensationStarted {
		history, steps = history+history/reserve, steps+steps/reserve
	}
	switch {
	case s.Bytes+weight > history:
		return x.end(event, fmt.Sprintf("the execution's history exceeds %d bytes", x.maxHistory))
	case s.Steps+x.meter.taken > steps:
		return x.end(event, tooManySteps)
	}
	return weight
}

var tooManySteps = fmt.Sprintf("the execution's evaluations take more than %d steps", MaxLifeSteps)

// end sets event to the end of the execution for a bound of its life, and returns its weight.
func (x *Execution) end(event *Event, detail string) int {
	*event = Event{Type: ExecutionFaulted, Error: NewError(TypeRuntime, detail)}
	if x.state.mustCompensate() {
		event.Type = CompensationStarted
	}
	return event.weigh(MaxEventBytes).weight
}

// overdrawn reports whether evaluations that led to no event have exceeded the steps of the execution's life.
func (x *Execution) overdrawn() bool {
	return x.state.Steps+x.meter.taken > MaxLifeSteps+MaxLifeSteps/reserve
}
