package machine

import (
	"errors"
	"fmt"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/workflow/language"
)

// Bounds of one event, besides those of a single evaluation (package language). A task whose event exceeds one faults with an error
// of TypeRuntime that names the bound. They are the same in every slice, so that an execution takes the same course in any.
const (
	// MaxEventSteps bounds the steps of the evaluations that decide an event, and of the walks over its data.
	MaxEventSteps = 4_000_000
	// MaxEventBytes bounds what these evaluations produce and copy, and the event's data, in bytes.
	MaxEventBytes = 32 << 20
)

// Slice bounds what one call of Start, Handle or Continue decides. Zero values mean unlimited.
type Slice struct {
	// Steps and Bytes bound the evaluations, and the data of the events.
	Steps, Bytes int
	// Strict: nothing is decided that would exceed the slice. Otherwise the first decision of a call may, up to the bounds of one event.
	Strict bool
}

// SetSlice sets the bounds of later calls of Handle and Continue.
func (x *Execution) SetSlice(s Slice) { x.meter.slice = s }

// Deferred reports that the last call of Handle did not record its outcome, because a strict slice did not suffice, and changed
// nothing.
func (x *Execution) Deferred() bool { return x.deferred }

// Settled reports whether every event has been decided and every call that is outstanding has been built. It evaluates nothing. It is
// false after a slice or MaxTransition has ended a call early, and after Restore, RestoreSnapshot and Apply until Continue has found
// nothing more to decide.
func (x *Execution) Settled() bool { return x.settled || x.state.Status.Ended() }

// meter charges decisions to the slice of a call, and bounds each of them. A decision is the next step of one task run, the building of
// a call, or the recording of an outcome.
type meter struct {
	slice Slice
	// maxEvent bounds the data of one event, in bytes.
	maxEvent int
	// steps and bytes are what is left of the slice in this call. charged: a decision that took something has been made in it.
	steps, bytes int
	charged      bool
	// budget is that of the present decision. fewerSteps, lessData: the slice leaves less of it than an event may take.
	budget               budget.Budget
	fewerSteps, lessData bool
	// limits are those of the budget. unused: the last decision took nothing of it, so that the next one can have it.
	limits budget.Limits
	unused bool
	// admitted is the last value that admit returned as it was, admittedWeight its weight.
	admitted       any
	admittedWeight int
	// taken are the steps of the decisions since the last event.
	taken int
}

// begin begins a call.
func (m *meter) begin() {
	m.steps, m.bytes, m.charged, m.admitted = m.slice.Steps, m.slice.Bytes, false, nil
}

// open begins a decision. It returns false if the slice is spent.
func (m *meter) open() bool {
	limits := budget.Limits{Steps: MaxEventSteps, Bytes: MaxEventBytes}
	m.fewerSteps, m.lessData = false, false
	if m.slice.Strict || m.charged {
		if m.slice.Steps > 0 && m.steps < limits.Steps {
			limits.Steps, m.fewerSteps = m.steps, true
		}
		if m.slice.Bytes > 0 && m.bytes < limits.Bytes {
			limits.Bytes, m.lessData = m.bytes, true
		}
		if limits.Steps <= 0 || limits.Bytes <= 0 {
			return false
		}
	}
	if limits != m.limits || !m.unused {
		(*budget.Budget)(nil).Begin(&m.budget, limits)
		m.limits = limits
	}
	m.unused = false // until close
	return true
}

// cut reports whether the present decision must be dropped, because the slice does not suffice for it.
func (m *meter) cut() bool {
	err := m.budget.Err()
	return err != nil && (m.fewerSteps && errors.Is(err, budget.ErrSteps) || m.lessData && errors.Is(err, budget.ErrBytes))
}

// close ends a decision that is not dropped.
func (m *meter) close() {
	bytes := m.budget.Bytes()
	steps := m.budget.Steps() + bytes/stepBytes
	m.unused = steps+bytes == 0
	m.steps, m.bytes, m.charged = m.steps-steps, m.bytes-bytes, m.charged || !m.unused
	m.taken += steps
}

// closeUncounted is close for what an event has counted already.
func (m *meter) closeUncounted() {
	taken := m.taken
	m.close()
	m.taken = taken
}

// fault is the error of a decision that exceeds what an event may take; nil for any other.
func (m *meter) fault() *Error {
	switch err := m.budget.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, budget.ErrSteps):
		return NewError(TypeRuntime, fmt.Sprintf("the evaluations for one event take more than %d steps", MaxEventSteps))
	}
	return NewError(TypeRuntime, fmt.Sprintf("the evaluations for one event produce more than %d bytes", MaxEventBytes))
}

// admit charges the present decision with a value from outside of the machine, and returns it in the form that the log has. It returns an
// error for one that the execution cannot hold.
func (m *meter) admit(value any, what string) (any, *Error) {
	size := scale{bound: MaxEventBytes}
	size.add(value, 0)
	if failure := m.refusal(&size, what); failure != nil {
		return nil, failure
	}
	if !m.walk(size.weight) {
		return nil, m.fault()
	}
	if size.invalid || size.unusual {
		value = rewrite(value, validText, func(number any) any { return number })
		return language.Normalize(value), nil
	}
	m.admitted, m.admittedWeight = value, size.weight
	return value, nil
}

// weigh is the weight of an event that records an outcome.
func (m *meter) weigh(event *Event) int {
	output := event.Output
	if !output.Set || m.admitted == nil || !same(output.V, m.admitted) {
		return event.weigh(MaxEventBytes).weight
	}
	event.Output = Value{}
	weight := event.weigh(MaxEventBytes).weight + m.admittedWeight
	event.Output = output
	return weight
}

// stepBytes is how many bytes that are produced, copied or walked over count as one step of a slice and of an execution's life.
const stepBytes = 64

// walk charges the present decision with an event, or with walks over a value, of a weight. It returns false where that is too much.
func (m *meter) walk(weight int) bool {
	_ = m.budget.Allocate(weight)
	return m.budget.Step(1) == nil && m.budget.Err() == nil
}
