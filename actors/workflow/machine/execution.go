package machine

import (
	"fmt"
	"math"
	"time"

	"github.com/weftmesh/weft/actors/pattern"
	"github.com/weftmesh/weft/actors/workflow/language"
)

// Environment is what expressions can read besides the execution's data. It is not part of the log.
type Environment struct {
	// Secrets returns the values of $secrets by name, for those names of use.secrets that have a value. It is called
	// each time a call that uses secrets is built, so that changed values take effect; it must be fast. The execution
	// owns the returned map.
	Secrets func() (map[string]any, error)
	// Runtime is the runtime descriptor, $runtime: name, version, metadata.
	Runtime map[string]any
	// MaxHistory bounds the size of the execution's history (Bytes), in bytes; 0: DefaultMaxHistory.
	MaxHistory int
	// MaxEvent bounds the data of one event, in bytes of JSON without what every event has; 0: MaxEventBytes. A task with more faults.
	MaxEvent int
}

// Execution is one execution of a workflow. It is not safe for concurrent use.
type Execution struct {
	def        *language.Workflow
	state      State
	transition []Event
	// NotSent reports whether a call whose start is recorded was certainly not sent yet. It may be nil: then none is.
	NotSent func(callID string) bool

	patterns   pattern.Cache
	meter      meter
	maxHistory int
	// deferred and settled are the results of Deferred and Settled.
	deferred, settled bool
	// size is the result of Size for the event sizedAt, with the calls as sizeSettled says.
	size        int
	sizedAt     uint64
	sizeSettled bool

	secrets  secretReader
	eval     evaluator
	calls    callBuilder
	consumer eventConsumer
	decider  decider
	reducer  reducer
}

func newExecution(def *language.Workflow, env Environment) *Execution {
	x := &Execution{def: def, secrets: secretReader{read: env.Secrets, declared: len(def.Use.Secrets) > 0}, maxHistory: env.MaxHistory}
	if x.maxHistory <= 0 {
		x.maxHistory = DefaultMaxHistory
	}
	if x.meter.maxEvent = env.MaxEvent; x.meter.maxEvent <= 0 {
		x.meter.maxEvent = MaxEventBytes
	}
	x.eval = evaluator{def: def, state: &x.state, secrets: &x.secrets, runtime: env.Runtime, meter: &x.meter}
	x.calls = callBuilder{def: def, state: &x.state, eval: &x.eval, secrets: &x.secrets}
	x.consumer = eventConsumer{def: def, state: &x.state, eval: &x.eval, matcher: eventMatcher{def, &x.patterns}}
	x.decider = decider{def: def, state: &x.state, eval: &x.eval, calls: &x.calls, consumer: &x.consumer, meter: &x.meter}
	x.reducer = reducer{def: def, state: &x.state}
	return x
}

var zeroTime time.Time

// Start begins an execution and returns the events of its first transition; the caller appends them before it acts on
// the outstanding effects. id is the permanent identity of the execution: call keys and jitter are derived from it.
// input is a JSON value of maps, lists and scalars; the execution takes ownership of it.
func Start(def *language.Workflow, id string, input any, now time.Time, env Environment) (*Execution, []Event) {
	return StartWithin(Slice{}, def, id, input, now, env)
}

// StartWithin is Start within a slice, which also bounds later calls until SetSlice. It returns nil, nil where a strict slice does not
// suffice: the caller repeats it with a larger one.
func StartWithin(s Slice, def *language.Workflow, id string, input any, now time.Time, env Environment) (*Execution, []Event) {
	x := newExecution(def, env)
	x.meter.slice = s
	x.meter.begin()
	if !x.meter.open() {
		return nil, nil
	}
	started, weight := x.started(id, input, now)
	if x.meter.cut() {
		return nil, nil
	}
	x.meter.close()
	x.transition = make([]Event, 0, 8) // the start, and a few calls without an effect; an event is half a kilobyte
	x.emit(&started, weight, now)
	x.decide(now)
	return x, x.takeTransition()
}

// started is the event that begins an execution.
func (x *Execution) started(id string, input any, now time.Time) (Event, int) {
	def := x.def
	started := Event{Type: ExecutionStarted, Execution: id, Input: ValueOf(input), Definition: &Definition{
		Namespace: def.Document.Namespace, Name: def.Document.Name, Version: def.Document.Version, Digest: def.Digest}}
	refuse := func(err error) (Event, int) {
		started.Input, started.Data, started.Error = ValueOf(nil), Value{}, x.eval.workflowError(err, "/input")
		return started, started.weigh(MaxEventBytes).weight
	}
	size := started.weigh(MaxEventBytes)
	if failure := x.meter.refusal(&size, "the input"); failure != nil {
		return refuse(failure)
	}
	if !x.meter.walk(size.weight) {
		return refuse(x.meter.fault())
	}
	if size.unusual || size.invalid {
		input = language.Normalize(rewrite(input, validText, func(number any) any { return number }))
		started.Input = ValueOf(input)
		size = started.weigh(MaxEventBytes)
	}
	// Expressions read $workflow before the event that sets the state is applied.
	x.state = State{Execution: id, Input: ValueOf(input), StartedAt: now}
	data, err := x.eval.workflowInput(input, now)
	if err != nil {
		started.Error = x.eval.workflowError(err, "/input")
	} else if def.Input != nil && def.Input.From != nil && !same(data, input) {
		started.Data = ValueOf(data)
	}
	if err == nil {
		if started.Deadline, err = x.eval.deadline(data, now); err != nil {
			started.Error = x.eval.workflowError(err, "/timeout")
		}
	}
	x.state = State{}
	if !started.Data.Set && started.Error == nil {
		return started, size.weight
	}
	size = started.weigh(MaxEventBytes)
	failure := x.meter.refusal(&size, "the input")
	if failure == nil && !x.meter.walk(size.weight) {
		failure = x.meter.fault()
	}
	if failure != nil {
		return refuse(failure)
	}
	return started, size.weight
}

// Restore rebuilds an execution by applying the events of its log. It decides nothing; Continue does.
func Restore(def *language.Workflow, env Environment, events []Event) (*Execution, error) {
	x := newExecution(def, env)
	for _, event := range events {
		if err := x.Apply(event); err != nil {
			return nil, fmt.Errorf("restoring an execution: %w", err)
		}
	}
	return x, nil
}

// Continue decides the events that are still to be decided and builds the calls that are still to be built, within the slice: after
// Restore, or when Settled is false. It returns no events when there are none; then more is to be done only if Settled is false.
func (x *Execution) Continue(now time.Time) []Event {
	x.meter.begin()
	x.decide(now)
	return x.takeTransition()
}

// Output is the output of a completed execution; nil for any other.
func (x *Execution) Output() any { return x.state.Output.V }

// Fault is the error of a faulted execution; nil for any other.
func (x *Execution) Fault() *Error { return x.state.Error }

// StartedAt is when the execution was started.
func (x *Execution) StartedAt() time.Time { return x.state.StartedAt }

// EndedAt is when the execution ended; zero while it is running.
func (x *Execution) EndedAt() time.Time { return x.state.EndedAt }

// Status is the status of the execution: Waiting when it runs and only timers, events and external calls can advance
// it.
func (x *Execution) Status() Status {
	s := &x.state
	if s.Status == "" {
		return Pending
	}
	if s.Status != Running {
		return s.Status
	}
	waits := false
	for _, run := range s.Runs {
		switch run.Phase {
		case PhaseCalling:
			if !x.calls.isExternal(run) {
				return Running
			}
			waits = true
		case PhaseWaiting, PhaseListening, PhaseRetrying:
			waits = true
		}
	}
	if waits {
		return Waiting
	}
	return Running
}

// emit numbers an event of a weight, applies it and adds it to the current transition. An event that would exceed a bound of the
// execution's life is replaced by the end of the execution.
func (x *Execution) emit(event *Event, weight int, now time.Time) {
	weight = x.bound(event, weight)
	event.Version, event.Sequence, event.At = EventVersion, x.state.Sequence+1, now
	event.Steps = x.meter.recordable()
	if x.transition == nil {
		x.transition = make([]Event, 0, 4) // the usual number between two calls
	}
	if err := x.applyDecided(event, weight); err != nil {
		panic("machine: " + err.Error()) // a decided event always applies; a failure is a bug of this package
	}
	x.transition = append(x.transition, *event)
}

func (x *Execution) takeTransition() []Event {
	turn := x.transition
	x.transition = nil
	return turn
}

// Apply applies one event. It returns an error for an event out of sequence, of an unknown version, or that does not fit the state;
// after an error the execution must not be used.
func (x *Execution) Apply(event Event) (err error) {
	x.settled = false
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("applying event %d of type %s: it does not fit the state: %v", event.Sequence, event.Type, r)
		}
	}()
	return x.reducer.apply(&event, event.weigh(math.MaxInt).weight)
}

// decide emits events and builds calls until nothing is left, the slice is spent, or the transition is full.
func (x *Execution) decide(now time.Time) {
	x.settled = false
	var event Event
	for len(x.transition) < MaxTransition {
		switch weight, is := x.decider.next(&event, now); is {
		case decisionMade:
			x.emit(&event, weight, now)
		case decisionDropped:
			return
		case nothingToDecide:
			x.settled = x.decider.buildCalls()
			return
		}
	}
}
